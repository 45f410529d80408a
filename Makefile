# Everything from nothing: Python 3.11+, pip and make are enough. `make` alone lists the targets.
#
# Wheels are fetched once into .cache/wheels; .venv is built from there without the index, so that it can be thrown away and
# built again with no network. A changed pyproject.toml, constraints.txt or Python makes both anew.

PYTHON ?= python3
BIN := .venv/bin
WHEELS := .cache/wheels
KEY := $(shell { cat pyproject.toml constraints.txt; $(PYTHON) -V; } | cksum | tr ' ' '-')
FETCHED := $(WHEELS)/.fetched-$(KEY)
READY := .venv/.ready-$(KEY)
PEERS := .cache/peers
PEERS_WANTED := benchmarks/peers/requirements.txt $(if $(shell command -v nvidia-smi),benchmarks/peers/requirements-cuda.txt)
PEERS_READY := $(PEERS)/.ready-$(shell { cat $(PEERS_WANTED); $(PYTHON) -V; } | cksum | tr ' ' '-')
TRACKERS := .cache/trackers
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet --no-input

# A process for each core and one more, at most 4: tests also wait, for disks and for processes of their own. The file is
# the unit, the long ones first (tests/conftest.py).
PROCESSES ?= $(shell n=$$(getconf _NPROCESSORS_ONLN); echo $$((n < 4 ? n + 1 : 4)))
PYTEST := $(BIN)/python -m pytest --numprocesses $(PROCESSES) --dist loadfile --no-loadscope-reorder

# What depends on the processor and on time; the kill sweep writes the same bytes on each.
NUMERIC_TESTS := $(PYTEST) --ignore tests/engine/test_kill_sweep.py tests/engine tests/parity tests/e2e
THREADS ?= 2
SMALLER := ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 MKL_ENABLE_INSTRUCTIONS=AVX2

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-smaller test-busy test-trackers check fuzz bench bench-data calibrate clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' Makefile | sed 's/:.*## /\t/' | expand -t 14

setup: $(READY) ## .venv with everything in it, the embedded model, the sample data
	@$(BIN)/tunesmith models --fetch

demo: setup ## the whole way on the sample data: baselines, tuning, evaluation, verdict, report.html
	@$(BIN)/tunesmith demo

test: setup ## the tests, in processes with one thread each (PROCESSES: one more than cores, at most 4)
	OMP_NUM_THREADS=1 $(PYTEST)

test-smaller: setup ## engine, parity and end-to-end tests as on a processor with AVX2 only (THREADS=2 a process)
	$(SMALLER) OMP_WAIT_POLICY=passive OMP_NUM_THREADS=$(THREADS) $(NUMERIC_TESTS) # passive: no waiting in a loop

test-busy: setup ## the same tests while every core is kept busy by other work
	OMP_NUM_THREADS=1 $(BIN)/python tools/keep_busy.py $(NUMERIC_TESTS)

test-trackers: setup ## the callbacks for MLflow, W&B, Trackio and TensorBoard, with the real packages (fetched once)
	@test -x $(TRACKERS)/bin/python || $(PYTHON) -m venv $(TRACKERS)
	@$(TRACKERS)/bin/python -m pip --disable-pip-version-check --quiet --no-input install -c constraints.txt \
		"$(CURDIR)[mlflow,wandb,trackio,tensorboard]" pytest
	$(TRACKERS)/bin/python -m pytest tests/api/test_trackers.py -rs

check: $(READY) ## linters, types, import rules, size budgets, guides
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python tools/budgets.py
	$(BIN)/python tools/plain_words.py
	$(BIN)/python tools/docs.py --check

fuzz: $(READY) ## search for inputs that break a reader (MINUTES=5, TARGET=name for one, SEED=0)
	$(BIN)/python -m tests.fuzz --minutes $(or $(MINUTES),5) $(if $(TARGET),--target $(TARGET)) --seed $(or $(SEED),0)

bench: bench-data setup $(PEERS_READY) ## tunesmith beside TRL and transformers (WORKLOAD=name, SEARCH=1: find their best settings, DATA=folder)
	@$(BIN)/python -m benchmarks $(if $(DATA),--data $(DATA)) $(if $(WORKLOAD),--workload $(WORKLOAD)) $(if $(SEARCH),--search)

bench-data: # without the public data: says where to get it, before anything is installed
	@$(PYTHON) -m benchmarks.public_data $(if $(DATA),--data $(DATA))

calibrate: setup ## simulations that hold the statistics and the verdict against their promises (QUICK=1: few, nothing kept)
	$(BIN)/python -m benchmarks.calibrate $(if $(QUICK),--quick)

clean: ## throw away .venv and the caches in this folder (the model in ~/.tunesmith stays)
	rm -rf .venv .cache .mypy_cache .ruff_cache .import_linter_cache

$(READY): $(FETCHED)
	@echo "building .venv"
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(PIP) install --no-index --find-links $(WHEELS) -r constraints.txt
	@$(PIP) install --no-index --no-build-isolation --no-deps --editable .
	@$(PIP) check
	@touch $@

$(PEERS_READY): # what others are measured in stays out of our own environment
	@echo "building $(PEERS) (once)"
	@rm -rf $(PEERS) && $(PYTHON) -m venv $(PEERS)
	@$(PEERS)/bin/python -m pip --disable-pip-version-check --quiet --no-input install $(PEERS_WANTED:%=-r %)
	@touch $@

$(FETCHED):
	@echo "fetching the pinned packages into $(WHEELS) (once)"
	@rm -rf .venv $(WHEELS) && mkdir -p $(WHEELS) && $(PYTHON) -m venv .venv
	@$(PIP) wheel --wheel-dir $(WHEELS) -r constraints.txt
	@touch $@
