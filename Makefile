# What the project can do, one word each. `make` lists it.
#
# Every target makes its own environment in .venv first: with uv when there is one (the versions of
# uv.lock), else with python3 -m venv and pip. Nothing but Python 3.11+, git and make is assumed.

SHELL := /bin/sh
MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help

BIN := .venv/bin
READY := .venv/.ready

.PHONY: help run demo test test-slow test-services test-all services smoke torture outages screenshots check format golden bench clean

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' Makefile

$(READY): pyproject.toml uv.lock .ci/environment
	@.ci/environment
	@touch $@

# The service tests import what only .ci/services installs.
ALONE := --ignore=tests/browser --ignore=tests/clients
SERVICES := .venv/.services
$(SERVICES): $(READY) .ci/services tests/clients/package-lock.json tests/services/pom.xml
	@.ci/services
	@touch $@

run: $(READY) ## start the server on 127.0.0.1:8080, sandbox included
	@exec $(BIN)/keytoll serve

demo: $(READY) ## from a first call to its invoice, by itself
	@exec $(BIN)/keytoll demo

test: $(READY) ## the tests that take seconds
	@$(BIN)/pytest -m "not slow and not services" $(ALONE)

test-slow: $(READY) ## the tests that take longer: kills, fuzzing, the wheel
	@$(BIN)/pytest -m "slow and not services" $(ALONE)

test-services: $(SERVICES) ## with other people's programs: Kafka, Postgres, browsers, SDKs
	@$(BIN)/pytest -m services

test-all: $(SERVICES) ## every test
	@$(BIN)/pytest

services: $(SERVICES) ## Kafka, Postgres and ClickHouse on loopback, until interrupted
	@exec $(BIN)/python -m tests.services

smoke: $(SERVICES) ## docker-compose.yml as plain processes: calls, an invoice, all down again
	@exec $(BIN)/python -m tests.services.smoke

torture: $(SERVICES) ## kill everything under load and check the books (ARGS='--kills 300 --seed 7')
	@$(BIN)/python -m tests.torture --topology scaled $(ARGS)

outages: $(SERVICES) ## no broker, no ClickHouse, no room on the disk (ARGS='broker --seconds 600')
	@$(BIN)/python -m tests.torture.outages $(or $(ARGS),broker clickhouse disk disk-sqlite)

screenshots: $(SERVICES) ## pictures of every page, into build/screenshots
	@$(BIN)/python -m tests.browser.screenshots

check: $(READY) ## what CI runs first: format, lint, types, imports, tests
	@echo "check: format" && $(BIN)/ruff format --check --quiet .
	@echo "check: lint" && $(BIN)/ruff check --quiet .
	@echo "check: types" && $(BIN)/mypy --no-error-summary
	@echo "check: imports" && $(BIN)/lint-imports --no-cache > .venv/lint-imports.log 2>&1 \
		|| { cat .venv/lint-imports.log; exit 1; }
	@echo "check: tests" && $(BIN)/pytest -m "not slow and not services" $(ALONE)

format: $(READY) ## put the source into the project's form
	@$(BIN)/ruff check --fix --quiet . ; $(BIN)/ruff format --quiet .

golden: $(READY) ## rewrite the golden files; then read the diff
	@$(BIN)/python -m tests.domain.events.golden
	@$(BIN)/python -m domain.events.asyncapi > docs/asyncapi.json
	@KEYTOLL_GOLDEN=write $(BIN)/pytest tests/contracts/test_dialects.py
	@git --no-pager diff --stat -- tests docs/asyncapi.json

bench: $(READY) ## the benchmarks, some minutes
	@for file in bench/[a-z]*.py; do \
		name=$$(basename $$file .py); \
		grep -q '^def main' $$file || continue; \
		echo "bench: $$name"; $(BIN)/python -m bench.$$name || exit 1; \
	done

clean: ## remove the environment and every cache (never data)
	@rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
