# Everything starts here. Each target does all it needs, once, and says what it does:
#
#   make demo    a pooled client beside a connection per request, on a real memcached
#   make test    the whole suite, on the pure build (with branch coverage) and on the compiled one
#   make proof   the proofs in full: every cancel, storms of tasks and faults, steady memory
#   make lint    ruff, mypy and pyright
#   make bench   cenote beside its peers
#   make clean   remove everything that was made here
#
# What is missing comes from apt and PyPI. What has been done is remembered inside the virtual
# environment. Another interpreter has an environment of its own: make test PYTHON=python3.12

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.SUFFIXES:

PYTHON ?= python3
VENV ?= .venv$(if $(filter-out python3,$(PYTHON)),-$(notdir $(PYTHON)))
BIN := $(VENV)/bin
DONE := $(VENV)/.done
METADATA := pyproject.toml setup.py
# What setup.py names, and what those include.
COMPILED := setup.py $(shell sed -n 's|.*"\(src/.*\)".*|\1|p' setup.py) $(shell find src -name '*.px[di]')
LAYERS := */cenote/pool/*,*/cenote/protocol/*,*/cenote/connection/*,*/cenote/node/*
# Tracing the others would make them several times as slow, and prove nothing of the layers.
TRACED := $(addprefix tests/,client connection connectors node pool protocol)
# What reads the sources, or runs both builds by itself, runs once: with the compiled build.
ONCE := $(patsubst %,--ignore=tests/%,test_architecture.py test_unasync.py typing bench)
# Each of the processes begins with tests of its own, and helps the other at the end.
PYTEST := -m pytest --numprocesses=2 --dist=worksteal

say = @echo '==> $(1)'

.PHONY: demo test proof lint bench dev clean

demo: $(DONE)/cli $(DONE)/compiled
	$(call say,demo: one workload through four kinds of client and a real memcached)
	@$(BIN)/cenote demo

test: $(DONE)/test $(DONE)/servers $(DONE)/compiled
	$(call say,the layers on the pure build with branch coverage)
	@$(BIN)/coverage erase
	@CENOTE_IMPL=native $(BIN)/coverage run $(PYTEST) $(TRACED) -m 'not stress and not tracer'
	@$(BIN)/coverage combine --quiet
	@$(BIN)/coverage report --fail-under=95 --include='$(LAYERS)'
	$(call say,the rest of the suite on the pure build: untraced)
	@CENOTE_IMPL=native $(BIN)/python $(PYTEST) $(ONCE) -m 'stress or tracer or not traced'
	$(call say,the suite on the compiled build)
	@CENOTE_IMPL=speedups $(BIN)/python $(PYTEST)

# A bounded form of it is in the suite. A storm that fails names its seed: CENOTE_SEED=7 replays it.
proof: $(DONE)/test $(DONE)/servers $(DONE)/compiled
	$(call say,the proofs in full on the pure build: some minutes)
	@CENOTE_PROOF=1 CENOTE_SEEDS=600 CENOTE_IMPL=native $(BIN)/python $(PYTEST) -m proof
	$(call say,the proofs in full on the compiled build)
	@CENOTE_PROOF=1 CENOTE_SEEDS=600 CENOTE_IMPL=speedups $(BIN)/python $(PYTEST) -m proof

lint: $(DONE)/lint
	$(call say,linters and type checkers)
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/pyright

bench: $(DONE)/bench $(DONE)/compiled
	$(call say,cenote beside its peers: some minutes)
	@$(BIN)/python -m bench

# An environment to work in: everything but the peers.
dev: $(DONE)/dev $(DONE)/compiled

clean:
	rm -rf .venv .venv-* build dist .coverage* .hypothesis .mypy_cache .pytest_cache .ruff_cache
	rm -rf src/build src/*.egg-info
	find src tests tools bench examples -name __pycache__ -prune -exec rm -rf {} +
	find src \( -name '*.so' -o -name '*.c' \) -delete

# The steps the targets above are made of.

$(DONE)/venv:
	$(call say,system: Python with venv and headers; a compiler; memcached)
	@PYTHON=$(PYTHON) tools/system_packages
	$(call say,virtual environment: $(VENV))
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@mkdir -p $(DONE) && touch $@

$(DONE)/servers: | $(DONE)/venv
	$(call say,system: what only tests need: PostgreSQL; Prometheus; Chromium)
	@PYTHON=$(PYTHON) tools/system_packages servers
	@touch $@

$(DONE)/build: pyproject.toml | $(DONE)/venv
	$(call say,build tools: setuptools and Cython)
	@$(BIN)/python tools/build_requirements.py | xargs -d '\n' $(BIN)/python -m pip install --quiet
	@touch $@

# Extras that include others, which are then done too.
INCLUDED_test := cli
INCLUDED_bench := cli
INCLUDED_dev := cli lint test

# The package is installed as a link to src/; its extensions are compiled by the next step, once.
$(DONE)/%: $(METADATA) $(DONE)/build
	$(call say,packages: cenote[$*])
	@CENOTE_PURE_PYTHON=1 $(BIN)/python -m pip install --quiet --no-build-isolation --editable '.[$*]'
	@touch $@ $(addprefix $(DONE)/,$(INCLUDED_$*))

# All of them: they share the layout of each other's objects.
$(DONE)/compiled: $(COMPILED) $(DONE)/build
	$(call say,compile the extensions)
	@CENOTE_REQUIRE_COMPILED=1 $(BIN)/python setup.py --quiet build_ext --force --inplace --parallel=2
	@touch $@
