# `make help` lists what there is. Everything that a target needs is set up first, once; a second run takes moments.
#
# PYTHON=python3.12    another interpreter for the virtual environment
# DARKROOM_HOME=path   another folder than .darkroom for the stack's state; DARKROOM_PORT sets the edge's port
# ARGS="..."           more arguments for pytest, or for the command behind the target
# TEST_WORKERS=3       how many processes run the tests of `make test`
# GPU_SECONDS=150      how long `make gpu` may run: after it no test begins, and the run fails
# GPU_PACKAGES=file    what is installed beside a machine's own PyTorch: shorter where the machine has the rest

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-print-directory
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

# An empty HOME would send pip's cache to the root of the file system.
ifeq ($(strip $(HOME)),)
export HOME := $(shell getent passwd "$$(id -u)" | cut -d: -f6)
endif

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMPS := $(VENV)/.stamps
PIP := $(BIN)/pip --disable-pip-version-check -qq
LOCAL := $(BIN)/python -m darkroom_local
TEST_WORKERS ?= 3

# What needs a GPU runs around a PyTorch with CUDA that the machine brings, where it brings one: torch is never replaced.
GPU_VENV := .venv-gpu
GPU_PYTHON = $(shell test -e $(GPU_VENV)/.ready && echo $(GPU_VENV)/bin/python || echo $(BIN)/python)
GPU_SECONDS ?= 150
GPU_PACKAGES ?= deploy/local/gpu-packages.txt

# In the order of their dependence. The extra `cli` brings what a service's commands import; pip ignores it where a
# service has none. The worker's extra `render` is what renders; torch itself is installed before, by itself.
SERVICES := $(patsubst %/pyproject.toml,%,$(filter-out services/chassis/%,$(wildcard services/*/pyproject.toml)))
DISTRIBUTIONS := contracts services/chassis client[ed25519] $(SERVICES:%=%[cli]) services/gpu-consumer[render] deploy/local
TOOLS := check-jsonschema hypothesis import-linter mypy pre-commit pytest pytest-asyncio pytest-timeout pytest-xdist pyyaml \
	ruff scipy standardwebhooks testcontainers trustme types-cachetools types-psutil types-pyyaml
SOURCES := contracts client services deploy/local tests bench tools training
PACKAGES := contracts/darkroom_contracts client/darkroom $(patsubst %/__init__.py,%,$(wildcard services/*/*/__init__.py)) \
	deploy/local/darkroom_local tests bench tools training
EMPTY :=
MYPYPATH := $(subst $(EMPTY) $(EMPTY),:,contracts client deploy/local services/chassis $(SERVICES))

.PHONY: help
help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

.PHONY: setup
setup: $(STAMPS)/python $(STAMPS)/parts ## Install what all other targets need: Python packages and RabbitMQ

$(STAMPS)/venv:
	@command -v $(PYTHON) >/dev/null || { echo "Python 3.11 or newer is missing; install it, or say PYTHON=/path/to/python." >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "$(PYTHON) is too old: Darkroom needs Python 3.11 or newer; say PYTHON=/path/to/python." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { echo "$(PYTHON) can't make virtual environments; on Debian, apt-get install python3-venv." >&2; exit 1; }
	@echo "Making the virtual environment in $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	@mkdir -p $(STAMPS) && touch $@

# torch goes first and pinned: which build is right depends on the machine, and nothing after it may resolve it anew.
$(STAMPS)/torch: $(STAMPS)/venv constraints.txt
	@echo "Installing PyTorch (minutes, the first time)"
	@$(PIP) install "$$(grep '^torch==' constraints.txt)"
	@touch $@

$(STAMPS)/python: $(STAMPS)/torch constraints.txt Makefile $(wildcard */pyproject.toml */*/pyproject.toml)
	@echo "Installing Python packages"
	@$(PIP) install -c constraints.txt hatchling editables
	@$(PIP) install -c constraints.txt --no-build-isolation $(TOOLS) $(DISTRIBUTIONS:%=-e %)
	@touch $@

$(STAMPS)/parts: deploy/local/ensure-package | $(STAMPS)/venv
	@deploy/local/ensure-package rabbitmq-server
	@touch $@

.PHONY: hooks
hooks: setup ## Check each commit, and run the quick tests before each push, by git hooks
	@$(BIN)/pre-commit install

.PHONY: model
model: setup ## Install the project's own models without starting the stack
	@$(LOCAL) model

.PHONY: demo
demo: setup ## Start the stack and render one picture through the API (PROMPT="four green stars on pink")
	@$(LOCAL) demo $(if $(PROMPT),--prompt "$$PROMPT") $(ARGS)

.PHONY: up
up: setup ## Start the stack
	@$(LOCAL) up $(ARGS)

.PHONY: down
down: ## Stop the stack; its data stays in .darkroom
	@if [ -e $(STAMPS)/python ]; then $(LOCAL) down $(ARGS); else echo "This checkout is not set up, so no stack is running."; fi

.PHONY: status
status: setup ## Show each program's state, pid and readiness (ARGS=--json)
	@$(LOCAL) status $(ARGS)

.PHONY: logs
logs: setup ## Show logs (ARGS="gateway rabbitmq" selects programs)
	@$(LOCAL) logs $(ARGS)

.PHONY: quick
quick: setup ## Run the tests that need neither PyTorch nor a running part, in seconds
	@$(BIN)/pytest -n 2 --no-loadscope-reorder $(ARGS) tests/unit tests/contract

# Most tests wait for a process more than they compute, so a core carries more than one worker.
.PHONY: test
test: setup ## Run the tests on real parts, all but the long ones (ARGS="-k name" selects some)
	@$(BIN)/pytest -m "not long and not gpu" -n $(TEST_WORKERS) --no-loadscope-reorder --durations=25 $(ARGS)

.PHONY: chaos
chaos: setup ## Run the tests that kill, freeze and restart, the long ones included
	@$(BIN)/pytest -m "(chaos or long) and not gpu" $(ARGS)

.PHONY: gpu-setup
gpu-setup: ## Install what gpu and bench-gpu need, around a PyTorch with CUDA where this machine brings one
	@if [ -e $(GPU_VENV)/.ready ] || $(PYTHON) -c 'import sys, torch; sys.exit(not torch.cuda.is_available())' 2>/dev/null; \
		then $(MAKE) $(GPU_VENV)/.ready; else $(MAKE) setup; fi

$(GPU_VENV)/.ready: constraints.txt $(GPU_PACKAGES) deploy/local/gpu-environment
	@echo "Making the virtual environment in $(GPU_VENV), around the PyTorch of $(PYTHON)"
	@deploy/local/gpu-environment $(PYTHON) $(GPU_VENV) $(GPU_PACKAGES)
	@touch $@

# The conftest.py above tests/gpu is left out: it needs the packages of all services.
.PHONY: gpu
gpu: gpu-setup ## Run the tests that need a CUDA device, and print what they measure (ARGS="-m gpu" adds the long ones)
	@$(GPU_PYTHON) -m pytest -m "gpu and not long" -s --confcutdir=tests/gpu -p tests.support.models \
		--session-timeout=$(GPU_SECONDS) $(ARGS) tests/gpu

.PHONY: lint
lint: setup ## Check style, format and the direction of imports
	@$(BIN)/ruff check $(SOURCES)
	@$(BIN)/ruff format --check $(SOURCES)
	@for file in pyproject.toml services/*/pyproject.toml; do \
		$(BIN)/lint-imports --no-logo --config $$file || exit 1; \
	done

.PHONY: typecheck
typecheck: setup ## Check types, strictly
	@MYPYPATH=$(MYPYPATH) $(BIN)/mypy $(PACKAGES)

.PHONY: docs
docs: setup ## Write the tables of docs/api.md and docs/operating.md from the code
	@$(BIN)/python -m tools.docs

.PHONY: check
check: lint typecheck test ## Run lint, typecheck and test

.PHONY: bench
bench: setup ## Run the benchmarks and record the figures under bench/results (ARGS="compare --against FOLDER")
	@deploy/local/ensure-package wrk
	@$(BIN)/python -m bench $(ARGS)
	@$(if $(ARGS),,$(MAKE) --no-print-directory bench-webhooks)

.PHONY: bench-webhooks
bench-webhooks: setup ## Measure webhooks alone: rate, latency, memory, and what they cost a settle (ARGS=--quick)
	@$(BIN)/python -m bench.webhooks $(ARGS)

.PHONY: bench-desk
bench-desk: setup ## Measure the operators' desk over a million letters: looks, ingest, settles, pace (ARGS=--quick)
	@$(BIN)/python -m bench.desk $(ARGS)
	@$(BIN)/python -m bench.desk.pacing $(ARGS)

.PHONY: bench-backlog
bench-backlog: setup ## Measure the effect of the republish sweep on a million waiting jobs
	@deploy/local/ensure-package wrk
	@$(BIN)/python -m bench.republish $(ARGS)

.PHONY: bench-idle
bench-idle: setup ## Measure the idle share of the render process alone (ARGS="--size 512 --steps 2")
	@$(BIN)/python -m bench.idle $(ARGS)

.PHONY: bench-gpu
bench-gpu: gpu-setup ## On a GPU, measure full-size models with each option, in seven minutes (ARGS="--seconds 900")
	@$(GPU_PYTHON) -m bench.gpu $(ARGS)

.PHONY: shapes
shapes: setup ## Train the model shapes again (85 minutes on two cores; ARGS="--denoiser-minutes 30")
	@$(BIN)/python -m training.shapes train $(ARGS)

.PHONY: shapes-score
shapes-score: setup ## Render held-out captions with shapes, and score the pictures by their pixels
	@$(BIN)/python -m training.shapes evaluate $(ARGS)

.PHONY: clean
clean: down ## Stop the stack; remove the virtual environment and caches, never the stack's data
	@rm -rf $(VENV) $(GPU_VENV) .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	@find $(SOURCES) -name __pycache__ -type d -prune -exec rm -rf {} +
