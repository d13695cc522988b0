# Each target installs what it needs into .venv; `make demo` and `make test` are the two to know. `make help` prints these:
#? demo            train on the embedded phantom and write demo/index.html (7 minutes on 2 cores)
#? test            install everything and pass the tests
#? setup           install everything into .venv
#? lint            what must hold before a commit: ruff, its format, mypy
#? format          repair most of what lint finds
#? type            mypy alone
#? test-slow       the tests that take minutes
#? test-lowest     the fast tests with the lowest versions that pyproject.toml allows, in an environment of its own
#? newcomer        a wheel in an empty environment of an empty home: the quick demo, a search, Python
#? newcomer-no-torch  the same without torch: a set is prepared and tagged, and the checkpoint asked
#? newcomer-smallest  that with the packages that .venv has, without a network: what CI runs
#? system          what tests need of the system: a browser, Orthanc, dciodvfy (root only; else those tests are skipped)
#? dist            build wheel and sdist into dist/, and check them
#? sbom            the packages of .venv as a CycloneDX bill of materials: build/reports/sbom.json
#? licences        their licences: build/reports/licences.md
#? install-sizes   install every extra alone, check it and measure it: docs/data/install_sizes.json
#? phantom         make the checkpoint that comes with the package anew, from the run of `make demo`
#? docs            the documentation
#? results         docs/results.md and the table of README.md, from the figures of the long runs
#? schema          the JSON schema of the figures
#? real-mini       the trial on real radiographs (hours; needs the data sets)
#? real-open       the trial with real pairs, three seeds (hours; needs the data sets)
#? finetune        fine-tuning on real radiographs (hours)
#? finetune-folds  the same with every patient held out once
#? bench           quick measurements of speed, printed only
#? bench-full      the measurements of the documentation, on an otherwise idle machine
#? mutants         wrong changes of the method's core, and the tests that notice them
#? parity          whether any figure of a small fixed run changed: AGAINST=old.json
#? house           lengths of functions and files
#? clean           remove what the targets made, but for .venv
#? help            this list
PYTHON ?= python3
BIN := .venv/bin
export OMP_WAIT_POLICY = passive
XLIP_DATA ?= ../shared/data
export XLIP_DATA
STAMP := .venv/.installed

.PHONY: setup system test test-slow lint format type bench bench-full finetune finetune-folds mutants demo real-mini real-open docs results schema parity house clean

.PHONY: help dist newcomer newcomer-no-torch newcomer-smallest test-lowest sbom licences install-sizes phantom

help:
	@sed -n 's/^#? /  make /p' $(firstword $(MAKEFILE_LIST))

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

# Without torch's build for a graphics card: the CPU build of the oldest version is enough to test with.
test-lowest:
	$(PYTHON) bench/lowest.py --venv build/lowest --run

# What somebody does who has just heard of XLIP, with nothing on the machine but Python: tests/newcomer.sh.
newcomer: dist
	sh tests/newcomer.sh dist/xlip-*.whl

newcomer-no-torch: dist
	sh tests/newcomer.sh --no-torch dist/xlip-*.whl

newcomer-smallest: dist
	LENDER=$(BIN)/python sh tests/newcomer.sh --smallest dist/xlip-*.whl

dist: setup
	rm -rf dist build/lib && $(BIN)/python -m build --outdir dist . >/dev/null && $(BIN)/python bench/release.py --dist dist

REPORTS := build/reports
sbom: setup
	$(BIN)/cyclonedx-py --version >/dev/null 2>&1 || $(BIN)/pip install -q -e '.[release]'
	mkdir -p $(REPORTS) && $(BIN)/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible \
	--output-format JSON --output-file $(REPORTS)/sbom.json $(BIN)/python && echo $(REPORTS)/sbom.json

licences: setup
	$(BIN)/pip-licenses --version >/dev/null 2>&1 || $(BIN)/pip install -q -e '.[release]'
	mkdir -p $(REPORTS) && $(BIN)/pip-licenses --python $(BIN)/python --from mixed --order license --format markdown \
	--output-file $(REPORTS)/licences.md >/dev/null && echo $(REPORTS)/licences.md

install-sizes: setup
	$(BIN)/python bench/install_sizes.py --json docs/data/install_sizes.json

phantom: setup
	test -e demo/metrics.json || $(MAKE) demo
	$(BIN)/python bench/phantom_checkpoint.py --demo demo

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

# Wrong changes of the method's core, one by one, and the tests that notice them: docs/measurements/mutants.md. Takes minutes.
mutants: setup
	OMP_NUM_THREADS=1 $(BIN)/python bench/mutants.py

demo: setup
	$(BIN)/xlip demo --out demo

real-mini: setup
	$(BIN)/python bench/real_mini.py --data $(XLIP_DATA) --out runs/real_mini

# Four variants of configs/real_open.yaml with three seeds each; what is finished in runs/real_open is not done again.
real-open: setup
	$(BIN)/python bench/real_open.py --data $(XLIP_DATA) --out runs/real_open

docs: setup results
	$(BIN)/python -c 'import sphinx, myst_nb, pydata_sphinx_theme' 2>/dev/null || $(BIN)/pip install -q -e '.[docs]'
	$(BIN)/sphinx-build -q -j auto -W --keep-going -b html docs build/site && echo "open build/site/index.html"

results: setup schema
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
