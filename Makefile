# Two commands on a fresh machine: make run, make test.
VENV   := .venv
PYTHON ?= python3
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
ARGS   ?=

.PHONY: run test lint types check picture clean

run: $(STAMP)
	@$(BIN)/iotcache-tui $(ARGS)

test: $(STAMP)
	@$(BIN)/python -m pytest $(ARGS)

lint: $(STAMP)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/lint-imports

types: $(STAMP)
	@$(BIN)/mypy

check: lint types test

# The README's picture, taken by the program itself of a live fleet.
picture: $(STAMP)
	@$(BIN)/python docs/make_picture.py

# uv when it is there, else venv and pip (25.1 or newer, for dependency groups).
$(STAMP): pyproject.toml
	@if command -v uv >/dev/null 2>&1; then \
	    echo "making $(VENV) with uv …"; \
	    [ -x $(BIN)/python ] || uv venv -q --python '>=3.11' $(VENV) || exit 1; \
	    uv pip install -q -p $(BIN)/python -e . --group dev; \
	else \
	    echo "making $(VENV) with venv and pip (a minute or two) …"; \
	    $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "iotcache needs Python 3.11 or newer; name one with make PYTHON=…")' || exit 1; \
	    [ -x $(BIN)/python ] || $(PYTHON) -m venv $(VENV) || exit 1; \
	    $(BIN)/python -m pip install -q --disable-pip-version-check -U 'pip>=25.1' && \
	    $(BIN)/python -m pip install -q --disable-pip-version-check -e . --group dev; \
	fi
	@touch $@

clean:
	rm -rf $(VENV) dist build .pytest_cache .mypy_cache .ruff_cache
