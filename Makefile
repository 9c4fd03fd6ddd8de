# One command each, on a machine with Python 3.10 or later: `make demo`, `make test`.
# On a machine without make, run the lines of a target by hand.

PYTHON ?= python3
BIN = .venv/bin
# pins the versions that were tested; some of them need Python 3.11
PINS := $(shell $(PYTHON) -c "import sys; print('-c constraints.txt' if sys.version_info >= (3, 11) else '')")

.PHONY: demo test check docs clean

demo: .venv/demo-installed  ## install the package and print what it does
	$(BIN)/python examples/senses.py

test: .venv/dev-installed  ## run all tests
	$(BIN)/python -m pytest -n auto

check: .venv/dev-installed  ## run the linters, the type checker and the import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: .venv/dev-installed  ## build the documentation into site/
	$(BIN)/python -m mkdocs build --strict

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/demo-installed: .venv/bin/python setup.cfg constraints.txt
	$(BIN)/pip install -q $(PINS) .
	touch $@

.venv/dev-installed: .venv/bin/python setup.cfg constraints.txt
	$(BIN)/pip install -q $(PINS) -e ".[dev]"
	touch $@

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache build dist site
