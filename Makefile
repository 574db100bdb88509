# Every target sets up what it needs: python3, venv, make and git are enough.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
INSTALLED_BENCH := $(VENV)/.installed-bench
PYTEST := $(BIN)/python -m pytest -n 2 --dist loadscope -q
export HF_HUB_OFFLINE ?= 1
export TOKENIZERS_PARALLELISM ?= false

.PHONY: help setup demo test test-fast test-all check format bench clean
.DEFAULT_GOAL := help

help:  ## Show the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## /\1\t/' | expand -t 12

$(INSTALLED): pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing vlft and its tools into $(VENV) (a few minutes, about 6 GB, once)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]' -c constraints.txt
	@touch $@

$(INSTALLED_BENCH): $(INSTALLED)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[bench]' -c constraints.txt
	@touch $@

setup: $(INSTALLED)  ## Create .venv with everything that the other targets need

demo: $(INSTALLED)  ## Train, tune and measure a tiny VLM and a tiny CLIP on this machine
	@$(BIN)/python scripts/demo.py

test: $(INSTALLED)  ## The suite (2 workers), real launches of two processes included
	@$(PYTEST) -m "not full and not gpu and not network"

test-fast: $(INSTALLED)  ## What runs in under two minutes
	@$(PYTEST) -m "not slow and not distributed and not full and not gpu and not network"

test-all: $(INSTALLED)  ## The suite with the full matrix of launches and the long kill tests
	@$(PYTEST) -m "not gpu and not network"

check: $(INSTALLED)  ## Lint, format, types, import direction, spelling
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/lint-imports --no-logo > $(VENV)/lint-imports.log || { cat $(VENV)/lint-imports.log; exit 1; }
	@$(BIN)/pyrefly check >$(VENV)/pyrefly.log 2>&1 || { cat $(VENV)/pyrefly.log; exit 1; }
	@$(BIN)/typos
	@echo "check: lint, format, imports, types and spelling are fine"

format: $(INSTALLED)  ## Rewrite the sources in the house format
	@$(BIN)/ruff check --fix --quiet . ; $(BIN)/ruff format --quiet .

bench: $(INSTALLED_BENCH)  ## Run the speed and memory bars side by side (docs/performance.md)
	@for script in scripts/bench_*.py; do echo "== $$script"; $(BIN)/python $$script || exit 1; done

clean:  ## Remove runs and caches, keep the environment
	rm -rf runs build dist .cache .pytest_cache .ruff_cache
