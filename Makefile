# The doors of the project. Each target installs what it needs into .venv; `make demo` and `make test` are the two to know.
PYTHON ?= python3
BIN := .venv/bin
export OMP_WAIT_POLICY = passive
XLIP_DATA ?= ../shared/data
export XLIP_DATA
STAMP := .venv/.installed

.PHONY: setup system test test-slow lint format type bench bench-full finetune finetune-folds mutants demo real-mini real-open docs schema parity house clean

setup: $(STAMP)
$(STAMP): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -c 'import torch' 2>/dev/null || $(BIN)/pip install -q torch==2.13.0
	$(BIN)/pip install -q -e '.[dev]'
	touch $(STAMP)

# Tests open the pages in Chromium, exchange films with Orthanc and let dciodvfy look at what is written; without apt-get or
# root those tests are skipped and say so. Each package by itself: one that a distribution lacks keeps no other away.
SYSTEM := chromium fonts-dejavu-core orthanc orthanc-dicomweb dicom3tools
system:
	@{ command -v chromium && command -v dciodvfy && test -x /usr/sbin/Orthanc && \
	test -e /usr/share/orthanc/plugins/libOrthancDicomWeb.so; } >/dev/null || { [ "$$(id -u)" = 0 ] && \
	command -v apt-get >/dev/null && apt-get update -qq && for name in $(SYSTEM); do \
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$name >/dev/null; done; } || true

test: setup system
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --durations=10

test-slow: setup
	$(BIN)/pytest -m slow

lint: setup
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

format: setup
	$(BIN)/ruff check --fix . ; $(BIN)/ruff format .

type: setup
	$(BIN)/mypy

# Quick sizes, printed only; the figures in docs/ come from `bench-full` on an otherwise idle machine.
bench: setup
	for name in prepare audit tag metrics; do $(BIN)/python bench/$$name.py || exit 1; done

bench-full: setup
	for name in prepare audit tag; do $(BIN)/python bench/$$name.py --full || exit 1; done
	$(BIN)/python bench/metrics.py

finetune: setup
	$(BIN)/python bench/finetune.py --data $(XLIP_DATA)

finetune-folds: setup
	$(BIN)/python bench/finetune_folds.py --data $(XLIP_DATA)

# Wrong changes of the method's core, one by one, and the tests that notice them: docs/mutants.md. Takes minutes.
mutants: setup
	OMP_NUM_THREADS=1 $(BIN)/python bench/mutants.py

demo: setup
	$(BIN)/xlip demo --out demo

real-mini: setup
	$(BIN)/python bench/real_mini.py --data $(XLIP_DATA) --out runs/real_mini

# Four variants of configs/real_open.yaml with three seeds each; what is finished in runs/real_open is not done again.
real-open: setup
	$(BIN)/python bench/real_open.py --data $(XLIP_DATA) --out runs/real_open

docs: setup schema
	$(BIN)/python bench/results.py

schema: setup
	$(BIN)/python bench/schema.py

# A fixed small run: `make parity AGAINST=old.json` says whether any figure changed since the run that wrote old.json.
parity: setup
	$(BIN)/python bench/parity.py --out parity.json $(if $(AGAINST),--against $(AGAINST))

house: setup
	$(BIN)/python bench/house.py $(if $(BASE),--base $(BASE))

clean:
	rm -rf demo runs build .pytest_cache .mypy_cache .ruff_cache
