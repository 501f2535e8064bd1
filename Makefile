# Every target sets itself up: a fresh machine needs Python 3.11 to 3.13 and make, nothing else.
# Choose another interpreter with PYTHON=/path/to/python3.12.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin
# As old as the last installation; a lock or project file that is newer installs again.
STAMP := $(VENV)/.installed
# A version manager's shim may be on PATH without its interpreter: each is tried, not only found.
ifndef PYTHON
PYTHON := $(shell for p in python3.13 python3.12 python3.11 python3 python; do \
	"$$p" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' \
	>/dev/null 2>&1 && { echo "$$p"; break; }; done)
endif
PYTEST := $(BIN)/python -m pytest

.PHONY: help install demo test lint format calibrate bench ui schemas lock clean

help: ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(STAMP): requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "Python 3.11, 3.12 or 3.13 is needed and none was found on PATH." \
		"Install one, or name it: make $(MAKECMDGOALS) PYTHON=/path/to/python3" >&2; exit 2; }
	@echo "Setting up $(VENV) with $(PYTHON): about 130 packages, one to three minutes, once."
	@"$(PYTHON)" -c 'import venv, ensurepip' 2>/dev/null || { echo "This Python has no venv module." \
		"On Debian or Ubuntu: apt install python3-venv" >&2; exit 2; }
	@if [ -d $(VENV) ] && ! $(BIN)/python -c '' 2>/dev/null; then rm -rf $(VENV); fi
	@test -d $(VENV) || "$(PYTHON)" -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $(STAMP)

install: $(STAMP) ## set up the private environment

demo: $(STAMP) ## two generated markets through every gate, and the truth revealed (3 minutes)
	@$(BIN)/quantlab demo

test: $(STAMP) ## every test but calibration and benchmarks (9 minutes)
	@$(PYTEST) -n 2 --dist loadfile --no-loadscope-reorder -m "not calibrate and not benchmark"

lint: $(STAMP) ## style, types and import order
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/lint-imports

format: $(STAMP) ## lay the code out
	@$(BIN)/ruff format . && $(BIN)/ruff check --fix-only --quiet .

calibrate: $(STAMP) ## the certificate of gate V1, then the other planted-truth experiments (an hour)
	@$(BIN)/quantlab calibrate
	@$(PYTEST) -n 2 --dist loadfile -m calibrate

bench: $(STAMP) ## speed, on a quiet machine
	@$(PYTEST) -m benchmark -s

ui: $(STAMP) ## the Dagster UI on 127.0.0.1
	@$(BIN)/quantlab ui

schemas: $(STAMP) ## write specs/schemas anew from the models
	@$(BIN)/python -m quantlab_pipeline_tests.spec_schemas

lock: ## resolve requirements.lock anew (needs uv)
	@uv pip compile pyproject.toml --group dev --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-strip-extras --quiet --custom-compile-command "make lock" \
		-o requirements.lock

clean: ## remove the environment and every cache; data/ stays
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find quantlab_pipeline quantlab_pipeline_tests -name __pycache__ -type d -prune -exec rm -rf {} +
