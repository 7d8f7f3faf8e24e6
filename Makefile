# Every target sets up .venv first. PYTHON chooses the interpreter (3.11 or newer).
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.PHONY: demo test slow-test kill-test lint format docs examples bench samples clean

demo: $(VENV)/.installed ## Redraw the cat in 2, 3, 7 and 20 colours
	$(BIN)/gmmquant sample_images/cat.jpg -k 2 3 7 20 -o demo --force

test: $(VENV)/.installed-dev ## Run the tests, without those that take long
	$(BIN)/python -m pytest -n 2 --dist worksteal

slow-test: $(VENV)/.installed-dev ## Run the tests that take long: the drawing page, clusters that die
	$(BIN)/python -m pytest -n 2 -m slow

kill-test: $(VENV)/.installed-dev ## Stop, kill and repeat batches at 50 random moments each (some minutes)
	GMMQUANT_KILLS=50 $(BIN)/python -m pytest -n 2 tests/pipeline/test_kills.py

lint: $(VENV)/.installed-dev ## Check style, types and the order of imports
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.installed-dev ## Format the code
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

docs: $(VENV)/.installed ## Update the options in docs/cli.md and the manual page from the command
	$(BIN)/python docs/reference.py
	$(BIN)/python docs/manpage.py

examples: $(VENV)/.installed-dev ## Run the example pages and draw their images
	$(BIN)/python docs/examples/run.py
	$(BIN)/python docs/draw.py
	$(BIN)/python docs/draw_shapes.py
	$(BIN)/python docs/draw_sheets.py
	$(BIN)/python docs/notebooks/run.py

bench: $(VENV)/.installed-bench ## Measure everything and write docs/benchmarks.md (PHOTOGRAPHS: other images)
	$(BIN)/python benchmarks/page.py $(PHOTOGRAPHS)

samples: $(VENV)/.installed ## Draw the small sample images again
	$(BIN)/python sample_images/draw.py

clean: ## Remove the files of all other targets
	rm -rf $(VENV) demo .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --upgrade "pip>=25.1"

$(VENV)/.installed: pyproject.toml | $(BIN)/python
	$(PIP) install --editable .
	touch $@

$(VENV)/.installed-dev: pyproject.toml | $(VENV)/.installed
	$(PIP) install --group dev
	touch $@

$(VENV)/.installed-bench: pyproject.toml | $(VENV)/.installed
	$(PIP) install --group bench
	touch $@
