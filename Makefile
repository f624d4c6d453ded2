# Needs Python 3.11 or later and make. Everything else is installed into .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# One thread for each worker: several on small grids are slower, and fight each other.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/pytest -q --numprocesses=auto --dist=worksteal --durations=10
PARTS := lint fast slow wheel

.PHONY: help demo test test-all lint fast slow wheel bench bench-physics bench-store bench-estimation bench-training bench-coverage clean

help:  ## show this
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

$(VENV)/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Cotwin needs Python 3.11 or later: make PYTHON=/path/to/python3.11 …")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt pip hatchling editables
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

demo: $(VENV)/installed  ## train the default experiment and show its verdict, table and picture
	$(BIN)/cotwin train burgers --overwrite

lint: $(VENV)/installed  ## formatting, lint, types, import layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: lint fast  ## lint, and all tests but the long ones: five minutes on two cores

test-all:  ## lint, all tests and the wheel, as CI runs them; prints the time of each part
	@for part in $(PARTS); do \
		begin=$$(date +%s); $(MAKE) --no-print-directory $$part || exit 1; \
		echo "make $$part: $$(($$(date +%s) - begin)) s"; \
	done

fast: $(VENV)/installed  ## all tests but the long ones
	$(PYTEST) -m 'not slow'

slow: $(VENV)/installed  ## the long tests: whole presets, coverage, kills, third-party data
	$(PYTEST) -m slow

wheel: $(VENV)/installed  ## build the wheel, and run what is in it
	rm -rf build/wheel
	$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation -w build/wheel .
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --target build/wheel/there build/wheel/*.whl
	cd build/wheel && PYTHONPATH=there ../../$(BIN)/python -m cotwin config show burgers > burgers.yaml
	cd build/wheel && PYTHONPATH=there ../../$(BIN)/python -m cotwin config validate burgers.yaml

bench: bench-physics bench-store bench-estimation bench-training  ## speed and accuracy of all parts, as ratios in one run

bench-physics: $(VENV)/installed  ## speed of the simulators alone, batches of 1, 16 and 64 (ten minutes)
	$(BIN)/python benchmarks/physics

bench-store: $(VENV)/installed  ## cost of the placements alone, in time and memory (a quarter of an hour)
	$(BIN)/python benchmarks/store

bench-estimation: $(VENV)/installed  ## error and speed of estimates, against the least possible error and scipy
	$(BIN)/python benchmarks/estimation

bench-training: $(VENV)/installed  ## a training step against a bare loop's, and where a cycle's time goes (three minutes)
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/training

bench-coverage: $(VENV)/installed  ## do intervals cover where starts are noisy: 200 draws of three problems (two hours; goes on)
	$(BIN)/python benchmarks/estimation/coverage.py

bench-suite: $(VENV)/installed  ## cooperating against alone and distilled on nine problems: a night; goes on (--seeds 3: two hours)
	$(BIN)/python benchmarks/suite --whole

clean:  ## remove the virtual environment and tool caches; runs and data stay
	rm -rf $(VENV) .mypy_cache .ruff_cache .import_linter_cache .hypothesis
