# `make help` says what there is. Everything runs from a fresh clone; what is needed is installed into .venv and .uv here,
# and into ~/.cache/proctor.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# uv is used if it is there, and else installed beside the code, in the version and with the hashes that are written down.
export PATH := $(CURDIR)/.uv/bin:$(PATH)
export UV_PYTHON_DOWNLOADS := never
RUN := uv run --no-sync
PYTEST := $(RUN) pytest
FAST := not cluster and not slow and not byo

.PHONY: help setup check test unit lint format types crds clean

help: ## what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | sort | while IFS=$$'\t' read -r name what; do printf '  %-18s %s\n' "$$name" "$$what"; done
	@echo
	@echo '  make check          after each change: style, types, structure, fast tests; about a minute'
	@echo '  make demo           see it work, in a Kubernetes of its own'
	@echo '  make test           everything, with end-to-end tests on a real Kubernetes; what CI runs'

setup: .venv/.ready ## install what development needs, from the lock

.uv/bin/uv:
	@command -v uv > /dev/null || { python3 -m venv .uv && .uv/bin/pip install --quiet --disable-pip-version-check --require-hashes -r cluster/images/uv.txt; }

.venv/.ready: pyproject.toml uv.lock | .uv/bin/uv
	@uv sync --frozen --quiet
	@touch $@

lint: setup ## style, structure, generated files
	@$(RUN) ruff format --check . > .format.log || { grep -h '^Would' .format.log; echo 'run: make format' >&2; exit 1; }
	@$(RUN) ruff check --quiet .
	@$(RUN) lint-imports > .import_linter.log || { cat .import_linter.log; exit 1; }
	@test ! -e operator/__init__.py || { echo 'operator/__init__.py shadows the standard library: remove it' >&2; exit 1; }

types: setup ## mypy, strict
	@$(RUN) mypy operator/proctor runtime/proctor_gateway runtime/proctor_agent demo/proctor_demo cluster/proctor_cluster

format: setup ## put the code into its form
	@$(RUN) ruff format .
	@$(RUN) ruff check --fix .

unit: setup ## the fast tests alone
	@$(PYTEST) tests -m "$(FAST)" -n auto

check: lint types unit ## all that is fast: after each change

# The gateway's store is tested on both of its engines. Where no PostgreSQL can be had, its tests are skipped, but not in CI.
.PHONY: postgresql
postgresql:
	@ls /usr/lib/postgresql/*/bin/initdb > /dev/null 2>&1 || command -v initdb > /dev/null || \
	if [ "$$(id -u)" = 0 ] && command -v apt-get > /dev/null; then \
		echo 'installing PostgreSQL for the tests' >&2; \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends postgresql > /dev/null; \
	fi

# The alerts that are made of objectives are evaluated by Prometheus' own checker.
.PHONY: promtool
promtool:
	@command -v promtool > /dev/null || \
	if [ "$$(id -u)" = 0 ] && command -v apt-get > /dev/null; then \
		echo 'installing Prometheus for the tests' >&2; \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends prometheus > /dev/null; \
	fi

test: lint types postgresql promtool ## everything: unit, simulation, end to end on a real Kubernetes
	@$(PYTEST) tests -n auto

crds: setup ## make the kinds' CRDs and their reference from the models
	@$(RUN) python -m proctor.cli.crds

clean: ## remove what was installed here
	@rm -rf .venv .uv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter.log .format.log

include cluster.mk
-include bench.mk
