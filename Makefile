# `make demo`, `make check` (the quick half), `make test` (all), `make stress`. Each sets up .venv first.
PYTHON ?= python3
ifneq ($(wildcard ../shared/data),)
export UNTRAINED_DATA ?= $(abspath ../shared/data)
endif

.PHONY: demo check test stress format

.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[onnx,test]'
	touch $@

demo: .venv/ready
	.venv/bin/untrained demo

# What most mistakes show up in; `make test` runs the rest too.
check: .venv/ready
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/mypy
	.venv/bin/pytest tests -m "not slow" --numprocesses 2

test: .venv/ready
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/mypy
	.venv/bin/pytest --numprocesses 2

# The stress suite: all of it takes about an hour. Less of it: make stress SHARE=0.1
SHARE ?= 1
stress: .venv/ready
	.venv/bin/pytest tests/stress --share $(SHARE) --numprocesses 2 --timeout 10000

format: .venv/ready
	.venv/bin/ruff check --fix
	.venv/bin/ruff format
