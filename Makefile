# Every target sets up .venv first. PYTHON chooses the interpreter (3.11 or newer); with LOCKED=1, the development set-up
# has the versions in .ci/locked.txt, which passed the tests.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
LOCK := $(if $(LOCKED),--constraint .ci/locked.txt)
COMPILE := uv pip compile pyproject.toml --quiet --all-extras --no-header --no-annotate

.PHONY: demo test slow-test kill-test sweep soak fuzz mutants coverage oldest-test lint format docs examples bench \
	samples lock audit release clean

demo: $(VENV)/.installed ## Redraw the cat in 2, 3, 7 and 20 colours
	$(BIN)/gmmquant sample_images/cat.jpg -k 2 3 7 20 -o demo --force

test: $(VENV)/.installed-dev ## Run the tests, without those that take long
	$(BIN)/python -m pytest -n 2 --dist worksteal

slow-test: $(VENV)/.installed-dev ## Run the tests that take long: the site, the recipes, clusters that die
	$(BIN)/python -m pytest -n 2 -m slow

coverage: $(VENV)/.installed-dev ## Run all tests, and print the lines and branches that none takes; fail below 97 %
	rm -rf .coverage
	$(BIN)/coverage run -m pytest -n 2 --dist worksteal -m ""
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

kill-test: $(VENV)/.installed-dev ## Stop and kill batches, and workers of a cluster, at many random moments (20 minutes)
	GMMQUANT_KILLS=50 $(BIN)/python -m pytest -n 2 -m "slow or not slow" \
		tests/pipeline/test_kills.py tests/system/test_killed_workers.py

sweep: $(VENV)/.installed-dev ## Let every single call of the system and request to a store fail (an hour)
	GMMQUANT_SWEEP=1 $(BIN)/python -m pytest -n 2 -m "slow or not slow" \
		tests/pipeline/test_failing_calls.py tests/pipeline/test_failing_requests.py

soak: $(VENV)/.installed-dev ## Run over N (20000) small images and watch memory, files and processes (an hour)
	OPENBLAS_NUM_THREADS=1 $(BIN)/python tests/soak.py --images $(or $(N),20000) --folder soak

fuzz: $(VENV)/.installed-dev ## Change files at random and use them for SECONDS (60); failures are saved
	OPENBLAS_NUM_THREADS=1 $(BIN)/python tests/fuzz.py --seconds $(or $(SECONDS),60)

mutants: $(VENV)/.installed-mutation ## Change models/ and colors/ in ten thousand places; do tests fail? (NAMES: some)
	OPENBLAS_NUM_THREADS=1 $(BIN)/mutmut run --max-children $(or $(JOBS),1) $(NAMES)
	$(BIN)/mutmut results | grep -v 'not checked$$' || true # none is left

oldest-test: $(VENV)/.installed-release ## Run the tests with the oldest versions that pyproject.toml allows
	$(BIN)/$(COMPILE) --no-deps --resolution lowest-direct --output-file $(VENV)/oldest.txt
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python .venv-oldest
	$(BIN)/uv pip install --quiet --python .venv-oldest --constraint $(VENV)/oldest.txt --editable . --group test
	.venv-oldest/bin/python -m pytest -n 2 --dist worksteal

lint: $(VENV)/.installed-dev ## Check style, types and the order of imports
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.installed-dev ## Format the code
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

docs: $(VENV)/.installed-docs ## Update docs/cli.md and the manual page from the command, and build site/
	$(BIN)/python docs/reference.py
	$(BIN)/python docs/manpage.py
	$(BIN)/python -m sphinx -q -W --keep-going docs site
	@echo "Open site/index.html in a browser."

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

lock: $(VENV)/.installed-release ## Write the versions of the development set-up to .ci/locked.txt
	$(BIN)/$(COMPILE) --universal --group dev --upgrade --output-file .ci/locked.txt

audit: $(VENV)/.installed-release ## Look up known vulnerabilities of the dependencies
	$(BIN)/pip-audit --skip-editable

release: lint test audit ## Build dist/ twice, compare, and install it anew without and with each extra; upload nothing
	$(BIN)/python .ci/release.py

clean: ## Remove the files of all other targets
	rm -rf $(VENV) .venv-oldest .coverage demo dist site soak fuzz_failures mutants .pytest_cache .mypy_cache .ruff_cache \
		.hypothesis .import_linter_cache

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --upgrade "pip>=25.1"

$(VENV)/.installed: pyproject.toml | $(BIN)/python
	$(PIP) install $(LOCK) --editable .
	touch $@

$(VENV)/.installed-dev: pyproject.toml | $(VENV)/.installed
	$(PIP) install $(LOCK) --group dev
	touch $@

$(VENV)/.installed-mutation: pyproject.toml | $(VENV)/.installed-dev
	$(PIP) install --group mutation
	touch $@

$(VENV)/.installed-docs: pyproject.toml | $(VENV)/.installed
	$(PIP) install $(LOCK) --group docs
	touch $@

$(VENV)/.installed-bench: pyproject.toml | $(VENV)/.installed
	$(PIP) install --group bench
	touch $@

$(VENV)/.installed-release: pyproject.toml | $(VENV)/.installed-dev
	$(PIP) install --group release
	touch $@
