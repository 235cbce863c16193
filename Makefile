# `make demo` and `make test` set everything up by themselves, in .venv, and can be run again at any time.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
.DEFAULT_GOAL := help
# Where Python may not keep what it compiled, each process compiles torch again: a minute, a hundred times.
unexport PYTHONDONTWRITEBYTECODE
# `make test MINUTES=20` begins no test after that, and says how many were left out.
.PHONY: help install demo test test-again test-slow test-long lint bench clean

help:  ## Show this help
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

install: $(VENV)/.installed  ## Set up .venv with everything

# Of 16,000 modules, a tenth is ever imported: Python compiles those as it meets them, instead of all in minutes here.
$(VENV)/.installed: pyproject.toml constraints.txt
	@echo "==> Making $(VENV) and installing assetctl with its extras, as pinned in constraints.txt"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile -c constraints.txt torch
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile -c constraints.txt -e '.[generate,serve,dev]'
	@touch $@
	@echo "==> Installed: $$($(BIN)/assetctl --version)"

demo: install  ## Pull, list, inspect, check and generate with small assets, in ./demo-home
	@echo "==> The tour, in ./demo-home (delete it whenever you like)"
	@$(BIN)/assetctl --home demo-home demo
	@echo "==> To go on with its assets, as the README does:"
	@echo '. $(BIN)/activate'
	@echo 'export ASSETCTL_HOME="$$PWD/demo-home"'

test: install  ## Run the tests, the slow proofs in a short form
	@echo "==> Running the tests"
	@$(BIN)/python -m pytest $(if $(MINUTES),--minutes $(MINUTES))

test-again: install  ## Run what failed last time once more, one at a time
	@echo "==> Running what failed once more, one at a time"
	@$(BIN)/python -m pytest -m "" -n 0 --last-failed --last-failed-no-failures none

test-slow: install  ## Run the slow proofs at more length
	@echo "==> Running the slow proofs"
	@$(BIN)/python -m pytest -m 'slow and not long' --dist load --maxschedchunk 1 $(if $(MINUTES),--minutes $(MINUTES))

test-long: install  ## Run the proofs whole: an hour and more in all
	@echo "==> Running the long proofs"
	@$(BIN)/python -m pytest -m long --dist load --maxschedchunk 1

lint: install  ## Lint, type-check, and check the import direction
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: install  ## Print the benchmarks' ratios
	$(BIN)/python benchmarks/run.py

clean:  ## Remove what the other targets made
	rm -rf $(VENV) demo-home build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
