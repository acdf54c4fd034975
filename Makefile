# `make demo`, `make check` (the quick half), `make test` (all), `make stress`, `make cluster`, `make docs`,
# `make package`. Each sets up .venv first, and `make oldest` an environment of its own.
PYTHON ?= python3
ifneq ($(wildcard ../shared/data),)
export UNTRAINED_DATA ?= $(abspath ../shared/data)
endif
# Compiled modules are kept, or each process of a test compiles all of its own.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo check test stress cluster oldest docs package release plotly format

.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[onnx,postgresql,test]'
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

# Ray, 240 MB, is installed for this alone.
.venv/ray: .venv/ready
	.venv/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[ray]'
	touch $@

# A Ray cluster of three nodes on this machine, two drivers on one store of a server, and the live page in Chromium. Each
# mishap by itself, for some ten minutes; at five moments, for an hour: make cluster MOMENTS=5; all of them at one
# run, for a few minutes: make cluster MOMENTS=0
MOMENTS ?= 1
cluster: .venv/ray
	.venv/bin/pytest tests/test_cluster.py tests/test_two_drivers.py tests/test_serve_browser.py tests/test_runs.py -m cluster --moments $(MOMENTS) --timeout 10000

# The whole suite with the oldest Python, torch, numpy and the rest that pyproject.toml allows. Not
# part of .ci/run: a torch this old comes from the registry with gigabytes of CUDA, needed or not.
# Without test_devices.py, whose pretended device needs hooks that torch got later, and without ONNX.
.venv-oldest/ready: pyproject.toml constraints-oldest.txt
	python3.11 -m venv .venv-oldest
	.venv-oldest/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints-oldest.txt --editable '.[test]'
	touch $@

oldest: .venv-oldest/ready
	.venv-oldest/bin/pytest --numprocesses 2 --ignore tests/test_devices.py

# plotly.js as reports hold it: the smallest bundle that is published and has heat maps.
PLOTLY ?= 4.1.1
plotly:
	mkdir -p build && cd build && npm pack --silent plotly.js-cartesian-dist-min@$(PLOTLY) && tar xzf plotly.js-*-$(PLOTLY).tgz
	gzip -9nc build/package/plotly-cartesian.min.js > untrained/pages/plotly.js.gz
	cp build/package/LICENSE untrained/pages/plotly_license.txt
.venv/docs: .venv/ready
	.venv/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[docs]'
	touch $@

# The site, in `site`: links, anchors, files that pages include, every public name, the notebook. Doctests are part of
# `make test`, tutorials of `make package`.
docs: .venv/docs
	NO_MKDOCS_2_WARNING=1 .venv/bin/mkdocs build --strict --quiet

.venv/release: .venv/ready
	.venv/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[release]'
	touch $@

# Wheel and sdist in dist, used in an empty environment. Fewer tutorials are followed: make package TUTORIALS=theorist
TUTORIALS ?= engineer researcher theorist
package: .venv/release
	.venv/bin/python publishing/package.py --tutorials $(TUTORIALS)

# Tags what is here, after `make test` and `make package`; uploads nothing: make release VERSION=0.2.0
release: .venv/release
	.venv/bin/python publishing/release.py $(VERSION)

format: .venv/ready
	.venv/bin/ruff check --fix
	.venv/bin/ruff format
