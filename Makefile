# Everything that a newcomer needs, with nothing on the machine but Python 3.11 and make.
.DEFAULT_GOAL := help
PYTHON ?= python3
UV_VERSION := 0.13.9
UV := $(shell command -v uv 2>/dev/null || echo .bootstrap/bin/uv)
RUN := .venv/bin/python
export PYTHONHASHSEED ?= 0
# Where a machine forbids bytecode files, every process would compile every import anew.
export PYTHONDONTWRITEBYTECODE :=

help: ## what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

.bootstrap/bin/uv:
	$(PYTHON) -m venv .bootstrap
	.bootstrap/bin/pip install --quiet uv==$(UV_VERSION)

.venv/.synced: pyproject.toml uv.lock | $(filter .bootstrap/bin/uv,$(UV))
	$(UV) sync --frozen --quiet
	touch $@

.venv/.synced-tests: .venv/.synced
	$(UV) sync --frozen --quiet --inexact --group mlflow --group locust --group cluster --group clients --group staging \
		--group census
	touch $@

.venv/.synced-bench: .venv/.synced
	$(UV) sync --frozen --quiet --inexact --group bench --group census
	touch $@

setup: .venv/.synced ## install everything that is locked into .venv

bundles: setup ## train and package the models of the reference service
	$(RUN) -m scenarios.prepare

certify: bundles ## run all shipped scenarios, write reports/latest, print the verdict
	.venv/bin/seatrial run scenarios/*.scenario.yaml --out reports/latest --workers 2

campaign: bundles ## run the scenarios that are too long for every commit
	.venv/bin/seatrial run scenarios/campaign --out reports/campaign --workers 2

test: .venv/.synced-tests bundles ## run the tests
	# Live runs first and alone: beside other tests the driver would be late, and a late driver decides nothing.
	$(RUN) -m pytest tests/live -m "alone and not slow"
	$(RUN) -m pytest -n 2 --dist worksteal -m "not alone and not slow" --ignore tests/staging

staging: .venv/.synced-tests bundles ## run the tests that need a Docker engine, or say why they cannot run
	$(RUN) -m pytest tests/staging

slow: .venv/.synced-tests bundles ## run the tests that take minutes: whole fleets, long trials, saboteurs of no list, trials in the docs' examples
	$(RUN) -m pytest -m slow

lint: setup ## check style and types
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy

bench: .venv/.synced-bench bundles ## measure every figure that the README claims, beside its peer
	@for name in virtual_throughput service core cold_start canary; do $(RUN) -m benchmarks.$$name || exit 1; done

.PHONY: help setup bundles certify campaign test staging slow lint bench
