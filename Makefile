# Two commands: `make demo`, `make test`. Both set up .venv first.
PYTHON ?= python3

.PHONY: demo test format

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

format: .venv/ready
	.venv/bin/ruff check --fix
	.venv/bin/ruff format
