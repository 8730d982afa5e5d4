# `make demo` and `make test` are all a newcomer needs: each sets up .venv from nothing.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install -qq --disable-pip-version-check
SOURCES := envs datasets ssl_robot experiments tests
TYPES := build/types
# Extra arguments of pytest, as in: make test ARGS="-m 'not slow' tests/packaging"
ARGS ?=
# Tests side by side, one thread each: processes that share cores otherwise wait for each other.
JOBS ?= 2

.DEFAULT_GOAL := help
# Targets share .venv and build/.
.NOTPARALLEL:
.PHONY: help demo test types lint format check clean

help:
	@echo "make demo    the whole story on PushT, a few minutes"
	@echo "make test    the tests"
	@echo "make lint    ruff: rules and format        make format   repair what ruff can"
	@echo "make types   mypy --strict on the wheel    make check    lint, types and test"
	@echo "make clean   remove what was built, .venv too"

demo: $(VENV)/installed
	$(BIN)/ssl-robot demo

test: $(VENV)/installed-dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses $(JOBS) --dist worksteal $(ARGS)

lint: $(VENV)/installed-dev
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)

format: $(VENV)/installed-dev
	$(BIN)/ruff check --fix $(SOURCES)
	$(BIN)/ruff format $(SOURCES)

# The folders become one package only in the wheel, so that is where mypy looks.
# build/ goes first: setuptools would pack files again that have left the tree.
types: $(VENV)/installed-dev
	@rm -rf build
	@mkdir -p $(TYPES)
	$(BIN)/python -m build --wheel --no-isolation --outdir $(TYPES) . > $(TYPES)/build.log 2>&1 \
		|| { cat $(TYPES)/build.log; exit 1; }
	$(BIN)/python -m zipfile -e $(TYPES)/*.whl $(TYPES)/wheel
	cd $(TYPES)/wheel && $(CURDIR)/$(BIN)/mypy --strict --config-file $(CURDIR)/pyproject.toml \
		--cache-dir $(CURDIR)/.mypy_cache --package ssl_robot

check: lint types test

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find $(SOURCES) -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2> /dev/null || \
		{ echo "ssl-robot needs Python 3.11 or newer; name one: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

# The stamps are younger than what they were made from, so a second call installs nothing.
$(VENV)/installed: setup.cfg pyproject.toml | $(BIN)/python
	@echo "Installing ssl-robot into $(VENV) (some minutes the first time)"
	@$(PIP) --editable .
	@touch $@

$(VENV)/installed-dev: setup.cfg pyproject.toml | $(BIN)/python
	@echo "Installing ssl-robot and its development tools into $(VENV) (some minutes the first time)"
	@$(PIP) --editable '.[dev]'
	@touch $(VENV)/installed $@
