# Two commands matter from a fresh clone: `make demo` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
RUN := runs

BENCHMARKS := peak probes masked_lm fisher monitor shadows pruning contamination views masked_pictures objectives \
  battery large_graph planted_communities equivariant random_molecules system_size dynamics planted_contacts both_sides

.PHONY: demo test studies bench lint docs browser clean setup

setup: $(VENV)/.runs
$(VENV)/.runs: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[all]'
	touch $@

$(VENV)/.tests: $(VENV)/.runs
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test]'
	touch $@

$(VENV)/.docs: $(VENV)/.runs
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[docs]'
	touch $@

## demo: pre-train, adapt and prove on real handwritten digits, ending in a report
demo: $(VENV)/.runs
	$(BIN)/exapt run digits --out $(RUN)/digits
	@echo "Open $(RUN)/digits/report.html"

## test: lint, types, floors, and every quick test with coverage
test: $(VENV)/.tests browser lint
	$(BIN)/python -m pytest --cov --cov-report=term:skip-covered

lint: $(VENV)/.tests
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/ruff format --check src tests benchmarks
	$(BIN)/mypy
	$(BIN)/lint-imports

## studies: the heavy statistical tests and calibrations
studies: $(VENV)/.tests
	$(BIN)/python -m pytest -m slow

## bench: every benchmark that needs no file of yours; each prints ratios measured in one run
bench: $(VENV)/.tests
	for name in $(BENCHMARKS); do echo "== $$name"; $(BIN)/python benchmarks/$$name.py || exit 1; done
	@echo "shakespeare, cora, graph_classification and sparse_labels need files, simclr and potential_peers environments of their own: see docs/speed.md"

docs: $(VENV)/.docs
	$(BIN)/python docs/reference.py
	$(BIN)/mkdocs build --strict

# The report is tested in a real browser where one can be had; elsewhere those tests say why they skip.
browser:
	@command -v chromium >/dev/null && command -v chromedriver >/dev/null || \
	  { command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ] && \
	    apt-get -qq update >/dev/null && apt-get -qq install -y chromium chromium-driver >/dev/null 2>&1; } || \
	  echo "no chromium here: the browser tests will be skipped"

clean:
	rm -rf $(VENV) build dist site .mypy_cache .pytest_cache .ruff_cache
