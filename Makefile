# Everything starts here: `make help`. Each target sets up what it needs, from nothing but Python 3.11 and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.DEFAULT_GOAL := help
.PHONY: help demo test bench check format lint types protos protos-check charts lock clean

help: ## Show this list
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Liên Thông needs Python 3.11 or newer; set PYTHON=...")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing into $(VENV) (once; a minute or two) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

demo: $(READY) ## Play a real day over four nodes: Government to commune, and a reply back
	@$(BIN)/lienthong demo $(ARGS)

test: $(READY) ## Run all tests, a file a processor (T=path narrows, ARGS=... goes to pytest)
	@$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile $(T) $(ARGS)

bench: $(READY) ## Measure, beside the limits of this machine (ARGS="chain link" narrows); results in build/bench
	@$(BIN)/python -m tests.bench $(ARGS)

check: $(READY) lint types protos-check charts ## Run every check that is not a test

lint: $(READY) ## Style, import rules
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/lint-imports --no-cache

types: $(READY) ## Static types, strict
	@$(BIN)/mypy

format: $(READY) ## Rewrite files in the house style
	@$(BIN)/ruff check --fix-only --quiet .
	@$(BIN)/ruff format --quiet .
	@cd protos && ../$(BIN)/buf format -w

protos: $(READY) ## Generate protos/gen
	@protos/generate.sh $(abspath $(BIN))/python

protos-check: $(READY) ## Lint the contracts, compare generated code, look for breaking changes
	@cd protos && ../$(BIN)/buf lint && ../$(BIN)/buf format -d --exit-code
	@rm -rf build/protos && protos/generate.sh $(abspath $(BIN))/python ../build/protos && diff -r -x __pycache__ build/protos/lienthong protos/gen/lienthong
	@if git rev-parse -q --verify origin/main >/dev/null; then cd protos && ../$(BIN)/buf breaking --against '../.git#branch=origin/main,subdir=protos'; fi

charts: $(READY) ## Lint and render the chart with every values file, against the schemas of Kubernetes
	@$(BIN)/python k8s/check.py

lock: ## Resolve requirements.lock anew, and from it what the image installs
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --all-extras --generate-hashes --no-emit-index-url --no-header pyproject.toml -o requirements.lock
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --constraint requirements.lock --override k8s/not-in-image.txt pyproject.toml -o k8s/requirements.lock

clean: ## Remove what was built
	@rm -rf build $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis
