# The one door. `make help` tells what is behind it.
# Needs Python >= 3.11 with pip and venv; no root. Another interpreter: `make PYTHON=python3.13 setup`.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.stamp
PYTEST_ARGS ?=
JOBS ?= 0
SECONDS ?= 600
SEED ?= 1
AWAY ?= 180

.DEFAULT_GOAL := help
.PHONY: help setup demo lab-demo test chaos away check bench docs wheel lock clean
.DELETE_ON_ERROR:

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-8s  %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## Make .venv from the pinned lock and install the project into it

$(STAMP): requirements/dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "setup: Python 3.11 or newer is needed, and '$(PYTHON)' is not that; say which: make PYTHON=/path/to/python3 $(MAKECMDGOALS)" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "setup: '$(PYTHON)' lacks venv or pip; on Debian: apt-get install python3-venv" >&2; exit 1; }
	@test -x $(BIN)/python && $(BIN)/python -c '' 2>/dev/null || $(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements/dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

demo: setup ## From nothing to a running cluster: deploy, change, survive kill -9, bear a load
	$(BIN)/rackwright demo

lab-demo: setup ## As root: three machines from power-off to a running cluster, by real PXE and real BMCs
	$(BIN)/rackwright lab demo

test: setup ## Run all tests; JOBS=auto: several at the same time
	$(BIN)/python -m pytest --numprocesses $(JOBS) $(PYTEST_ARGS)

chaos: setup ## Kill, cut and fill everything at random while it works (SECONDS=600 SEED=1)
	CHAOS_SECONDS=$(SECONDS) CHAOS_SEED=$(SEED) $(BIN)/python -m pytest -m '' tests/acceptance/test_chaos.py tests/integration/test_many_actors.py $(PYTEST_ARGS)

away: setup ## The region is away for minutes; DHCP, DNS and boot are asked twice a second (AWAY=180)
	AWAY_SECONDS=$(AWAY) $(BIN)/python -m pytest -rP tests/acceptance/test_region_away.py $(PYTEST_ARGS)

check: setup ## Check the law of the house, the types and the style
	$(BIN)/lint-imports
	$(BIN)/mypy
	$(BIN)/ruff check
	$(BIN)/ruff format --check

bench: setup ## Run every benchmark at a small size
	@for bench in $(wildcard benchmarks/[a-z]*.py); do echo "== $$bench"; $(BIN)/python "$$bench" --small || exit 1; done

docs: setup ## Build the documentation into site/
	$(BIN)/zensical build --clean --strict

wheel: setup ## Build the wheel into dist/
	$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation --wheel-dir dist .

lock: ## Make requirements/dev.txt anew from pyproject.toml (needs uv)
	uv pip compile pyproject.toml --group dev --universal --python-version 3.11 --generate-hashes --no-annotate --custom-compile-command "make lock" --quiet --output-file requirements/dev.txt

clean: ## Remove everything that the other targets made
	rm -rf $(VENV) build dist site .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
