# Everything that make does, pip and the command line can do as well; nothing in the package needs make.
# On a machine with Python 3.11+ and make, `make demo` and `make test` do the whole set-up by themselves.

SHELL := /bin/sh
VENV := .venv
PY := $(VENV)/bin/python
STAMP := $(VENV)/installed.stamp
UV ?= uv
WORKERS ?= 2

# The first Python that is new enough; `make demo PYTHON=/path/to/python3.12` names another.
CANDIDATES := python3 python3.13 python3.12 python3.11 python
PYTHON ?= $(shell for python in $(CANDIDATES); do \
	"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && { echo "$$python"; break; }; \
	done)

# Tests that say nothing on the versions of the libraries, or take long: the other lanes leave them out.
QUICK := -m "not slow" --ignore=tests/fuzz --ignore=tests/test_notebooks.py --ignore=tests/test_packaging.py \
	--ignore=tests/report/test_report_browser.py --ignore=tests/widget/test_editor_page.py \
	--ignore=tests/widget/test_editor_lab.py --ignore=tests/widget/test_review_board.py --ignore=tests/widget/test_treg_walk.py \
	--ignore=tests/widget/test_states.py --ignore=tests/widget/test_modules_alone.py

.PHONY: quick pandas3 torture fuzz faults differential cluster bench simulations campaign help demo test lint format lock docs notebooks clean install
.DEFAULT_GOAL := help

help:  ## List the targets
	@grep -E '^[a-z0-9]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9]+):.*## (.*)/  make \1@\2/' | awk -F@ '{printf "%-18s %s\n", $$1, $$2}'

demo: $(STAMP)  ## Simulate a trial, gate it, and write the reports to demo/
	@$(VENV)/bin/immunoprofile demo --out demo || { code=$$?; [ $$code -eq 3 ] || exit $$code; \
		echo "(left out on purpose: the simulated trial holds a damaged file, to show how it is reported)"; }

test: $(STAMP)  ## Run the whole test suite
	$(PY) -m pytest -n $(WORKERS)

quick: $(STAMP)  ## Run the quick tests, for instance: make quick VENV=.venv-new PYTHON=python3.13
	$(PY) -m pytest -n $(WORKERS) $(QUICK)

# FlowKit pins pandas below 3; pip is told to put it beside all the same. docs/dependencies.md says what fails.
pandas3:  ## Run the quick tests on pandas 3, which the lock leaves out; may fail
	$(MAKE) install VENV=.venv-pandas3
	.venv-pandas3/bin/python -m pip install -q --disable-pip-version-check --no-deps "pandas>=3,<4"
	-.venv-pandas3/bin/python -m pytest -n $(WORKERS) $(QUICK)

lint: $(STAMP)  ## Check style, types and the order of imports
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	$(VENV)/bin/lint-imports

format: $(STAMP)  ## Format the code
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

docs: $(STAMP)  ## Build the user guide to site/
	$(PY) docs/make_tables.py
	$(PY) -m mkdocs build --strict

notebooks: $(STAMP)  ## Execute the notebooks as the tests do
	$(PY) -m pytest tests/test_notebooks.py

install: $(STAMP)  ## Create .venv and install the locked environment

torture: $(STAMP)  ## Print what becomes of every damaged or strange FCS file of the test data
	$(PY) -m benchmarks.torture

fuzz: $(STAMP)  ## The long fuzzing run of the FCS reader (100,000 damaged files)
	$(PY) -m tests.fuzz.fcs_mutations --cases 100000

faults: $(STAMP)  ## Kill runs at 200 random moments, and read 100,000 damaged results (docs/faults.md)
	$(PY) -m tests.faults.kills --cases 200 --double 50
	$(PY) -m tests.faults.damage --cases 100000

differential: $(STAMP)  ## Random gates (3,000 cases) and workspaces (10,000) against FlowKit
	$(PY) -m tests.gate.engine.differential --cases 3000
	$(PY) -m tests.gate.workspace_differential --cases 10000

cluster: $(STAMP)  ## A study on local workers that are killed, and 50,000 tasks through the queue (half an hour)
	$(PY) -m benchmarks.cluster

bench: $(STAMP)  ## Engine against FlowKit, memory, scale, a whole run (needs a quiet machine, about an hour)
	$(PY) -m benchmarks.engine
	$(PY) -m benchmarks.batch_memory
	$(PY) -m benchmarks.scale
	$(PY) -m benchmarks.whole_run

simulations: $(STAMP)  ## Type-I error, coverage and power of the statistics by simulation (about half an hour)
	$(PY) -m benchmarks.statistics
	$(PY) -m benchmarks.event_statistics

campaign: $(STAMP)  ## Level and coverage in awkward trials, 1,000 of each cell (hours; stopped, it goes on where it stood)
	$(PY) -m benchmarks.campaign --out build/campaign --replicates 1000
	$(PY) -m benchmarks.campaign --out build/campaign --table

lock:  ## Resolve pyproject.toml anew into requirements.lock (needs uv)
	$(UV) pip compile --quiet --universal --no-emit-index-url --no-emit-find-links --python-version 3.11 \
		--all-extras pyproject.toml --output-file requirements.lock --no-annotate --custom-compile-command "make lock"

clean:  ## Remove what was built or generated, and the environment
	rm -rf $(VENV) .venv-* demo site build dist .pytest_cache .ruff_cache .mypy_cache .import_linter_cache .hypothesis

$(PY):
	@if [ -z "$(PYTHON)" ] || ! "$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then \
		echo "Python 3.11 or newer is needed. Install it, or name one: make demo PYTHON=/path/to/python3.12" >&2; exit 1; fi
	@"$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "This Python lacks venv or ensurepip (on Debian and Ubuntu: the package python3-venv)." >&2; exit 1; }
	"$(PYTHON)" -m venv $(VENV)

# The stamp is touched last: an interrupted installation is taken up again by the next command.
$(STAMP): requirements.lock pyproject.toml | $(PY)
	@echo "Installing the locked environment into $(VENV) (once, a few minutes) ..."
	$(PY) -m pip install -q --disable-pip-version-check -r requirements.lock
	$(PY) -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $(STAMP)
