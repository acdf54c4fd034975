# Two commands: `make demo`, `make test`; and `make stress`. All set up .venv first.
PYTHON ?= python3
ifneq ($(wildcard ../shared/data),)
export UNTRAINED_DATA ?= $(abspath ../shared/data)
endif

.PHONY: demo test stress format

.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[onnx,test]'
	touch $@

demo: .venv/ready
	.venv/bin/untrained demo

test: .venv/ready
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/mypy
	.venv/bin/pytest --numprocesses 2

# The stress suite: all of it takes about an hour. Less of it: make stress SHARE=0.1
SHARE ?= 1
stress: .venv/ready
	.venv/bin/pytest tests/stress --share $(SHARE) --timeout 3600

format: .venv/ready
	.venv/bin/ruff check --fix
	.venv/bin/ruff format
