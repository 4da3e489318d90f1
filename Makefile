# Keel: `make demo` and `make test` each do all the set-up on a bare machine with Python >= 3.11.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help setup demo test compiled soak bench evidence pictures peers docs lint

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
# PYTHON=/path/to/python overrides the search for the first Python >= 3.11.
PYTHON ?=
# make soak SECONDS=900, make demo SECONDS=60: how long (the shell has a SECONDS of its own: only make's counts)
SECONDS_GIVEN := $(if $(filter command line,$(origin SECONDS)),$(SECONDS))
SECONDS_TO_SOAK := $(or $(SECONDS_GIVEN),3600)
# of the whole engine with faults on; each of the other soaks takes ten minutes at most
SECONDS_OF_OTHERS = $(shell echo $$(( $(SECONDS_TO_SOAK) < 600 ? $(SECONDS_TO_SOAK) : 600 )))

help:
	@echo "make setup   create $(VENV) with what the engine needs (no torch), compile the core"
	@echo "make demo    set up, watch the engine trade on a simulated exchange (SECONDS=60: ends by itself)"
	@echo "make test    set up, then ruff, mypy, import contracts and the tests (minutes)"
	@echo "make soak    the long tests: an hour with faults on (SECONDS=900), a thousand kills, chaos (an hour more)"
	@echo "make bench   measure the core and the whole engine over the wire (minutes; peers: make peers first)"
	@echo "make evidence  walk the strategies over the recorded markets into docs/evidence (KEEL_DATA_DIR; WORKERS=2)"
	@echo "make pictures  draw what each strategy saw on a recorded day into docs/strategies (KEEL_DATA_DIR)"
	@echo "make peers   install nautilus_trader and hftbacktest into .venv-peers"
	@echo "make docs    write docs/configuration.md and keel.example.toml from the settings"
	@echo "make lint    ruff, mypy and the import contracts only"

# Compiling takes a moment where this build was compiled before, so it needs no stamp.
setup: $(VENV)/.engine
	@$(BIN)/trading-cli compile

$(BIN)/python:
	@python=''; \
	for candidate in $(or $(PYTHON),python3.11 python3.12 python3.13 python3 python); do \
	    if "$$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then \
	        python="$$candidate"; break; \
	    fi; \
	done; \
	if [ -z "$$python" ]; then \
	    echo "No Python >= 3.11 with venv found (tried: $(or $(PYTHON),python3.11 python3.12 python3.13 python3 python))." >&2; \
	    echo "Install one, or name it: make setup PYTHON=/path/to/python3.11" >&2; exit 1; \
	fi; \
	echo "setup: creating $(VENV) with $$("$$python" --version)"; \
	"$$python" -m venv $(VENV)

$(VENV)/.engine: pyproject.toml constraints.txt | $(BIN)/python
	@echo "setup: installing the engine's packages (about a minute the first time)"
	@$(PIP) -c constraints.txt -e '.[engine]'
	@touch $@
	@echo "setup: done"

$(VENV)/.dev: $(VENV)/.engine
	@echo "setup: installing the test tools"
	@$(PIP) -c constraints.txt -e '.[engine,dev]'
	@touch $@

.venv-peers/.done: benchmarks/peers/requirements.txt | $(BIN)/python
	@echo "peers: creating .venv-peers (pandas < 3 lives apart from the engine's)"
	@$(BIN)/python -m venv .venv-peers
	@.venv-peers/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	@touch $@

.venv-clients/.done: tests/sandbox/peers/requirements.txt | $(BIN)/python
	@echo "setup: creating .venv-clients (other people's exchange clients, for the tests of the sandbox)"
	@$(BIN)/python -m venv .venv-clients
	@.venv-clients/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	@touch $@

demo: setup
	@$(BIN)/trading-cli demo $(if $(SECONDS_GIVEN),--seconds $(SECONDS_GIVEN))

lint: $(VENV)/.dev
	@echo "lint: ruff" && $(BIN)/ruff check .
	@echo "lint: mypy" && $(BIN)/mypy
	@echo "lint: import contracts" && $(BIN)/lint-imports --no-logo

# Tests wait for clocks and wires more than they compute, so there are more workers than cores; tests/conftest.py says
# which files go first.
test:
	@$(MAKE) --no-print-directory -j3 lint compiled .venv-clients/.done
	@echo "test: pytest" && $(BIN)/pytest -n 4 --dist loadfile --no-loadscope-reorder -m "not soak"

# Beside `lint` in `make test`, hence behind its packages: not while they are being installed.
compiled: $(VENV)/.dev
	@$(BIN)/trading-cli compile --backtests

soak: $(VENV)/.dev
	@echo "soak: the whole engine, faults on, $(SECONDS_TO_SOAK) s" && SECONDS_TO_SOAK=$(SECONDS_TO_SOAK) $(BIN)/pytest tests/soak -m soak -s
	@echo "soak: a thousand kills, chaos, the rest" && SECONDS_TO_SOAK=$(SECONDS_OF_OTHERS) $(BIN)/pytest -m soak -s --ignore=tests/soak

bench: $(VENV)/.dev
	@$(BIN)/trading-cli bench core --write benchmarks/results.json
	@$(BIN)/trading-cli bench wire --write benchmarks/results.json
	@$(BIN)/trading-cli bench restart --write benchmarks/results.json

evidence: setup
	@$(BIN)/trading-cli evidence --out docs/evidence --workers $(or $(WORKERS),2)

pictures: setup
	@$(BIN)/trading-cli pictures --out docs/strategies

peers: .venv-peers/.done
	@echo "peers: ready in .venv-peers"

docs: $(VENV)/.engine
	@$(BIN)/python docs/write_configuration.py
	@$(BIN)/python docs/write_order_life.py
