# make run       build and serve examples/bookshop on http://127.0.0.1:8000
# make test      build and run every test
# make bench     measure weft beside its peers (fetches them)
# make plot      draw what make bench has measured, for the README
# make fuzz      a minute of each fuzz target
# make lint      formatters, linters, type checkers, stubs against the module
# make sanitize  every test under ASan and UBSan
# make test-dev  the event loop's tests in Python's development mode (-X dev: debug mode, checks of memory)
# make test-all-pythons   the Python tests under the other CPythons there are
# make test-ecosystem     other packages' tests on weft's loop, with asyncio's as the judge
# make soak               loops made, used and closed, 500 times or CYCLES, with no growth of anything
# make test-asyncio       CPython's own asyncio tests on weft's loop, under every CPython there is
# make docs      the guide as a web site, in site/
# make dist      build sdist and wheel, look at what is in them, install and import the wheel
# make bench-loop, make bench-codec   the event loop, and JSON and BSON, by themselves
# make bench-instructions   the instructions of a request, beside those recorded
# make clean     throw away what was built
#
# PYTHON=...     which CPython (3.11 or newer) to make the environment with; otherwise tools/find-python chooses
# VENV=...       where that environment is, .venv if not said
# PORT=...       which port make run serves on, 8000 if not said

PYTHON ?=
VENV ?= .venv
PORT ?= 8000
BUILD ?= build
FUZZ_SECONDS ?= 60
export PYTHON

bin := $(abspath $(VENV))/bin
in_venv := PATH="$(bin):$$PATH"
pip := $(bin)/python -m pip install -q --disable-pip-version-check

.PHONY: help run test test-c test-python test-dev test-all-pythons test-asyncio test-ecosystem soak bench plot bench-loop bench-codec bench-instructions fuzz lint sanitize docs dist clean
.DEFAULT_GOAL := help

help:
	@sed -n '/^#/!q; s/^# \{0,1\}//p' Makefile

# An environment with weft installed in editable form: importing weft rebuilds what changed.
$(VENV)/.built: meson.build meson.options pyproject.toml tools/requirements.txt tools/requirements-pages.txt
	@tools/install-system run
	@$(bin)/python -m pip --version >/dev/null 2>&1 || { python=$$(tools/find-python) && \
	    echo "Making $(VENV) with $$($$python --version), $$python" && $$python -m venv --clear $(VENV); }
	@$(pip) -r tools/requirements.txt
	@echo "Building weft"
	@$(in_venv) $(pip) --no-build-isolation --editable . --config-settings=build-dir=$(BUILD)
	@$(pip) --no-deps -r tools/requirements-pages.txt
	@touch $@

$(VENV)/.tests: $(VENV)/.built tests/requirements.txt tests/clients/typescript/package-lock.json
	@$(pip) -r tests/requirements.txt
	@$(in_venv) tools/bson-corpus
	@cd tests/clients/typescript && { ! command -v npm >/dev/null || npm ci --silent --no-audit --no-fund; } || \
	    echo "The packages of the TypeScript client cannot be had: its test is skipped" >&2
	@touch $@

run: $(VENV)/.built
	@$(bin)/python -m weft examples.bookshop.main:app --port $(PORT)

test: test-c test-python

test-c: $(VENV)/.built
	@tools/install-system test
	@$(in_venv) tools/build c -Dbuildtype=release -Db_lto=true -Dmodule=false -Dtests=enabled
	@$(in_venv) meson test -C build-c --suite c --no-rebuild --print-errorlogs

test-python: $(VENV)/.tests
	@tools/run-pytest $(bin)/python

# A warning that nobody asked for, ResourceWarning included, is an error in every run (pyproject.toml).
test-dev: $(VENV)/.tests
	@PYTHONDEVMODE=1 tools/run-pytest $(bin)/python tests/test_loop*.py tests/test_bad_input_loop*.py

# Each with an environment of its own.
test-all-pythons:
	@tools/install-system run
	@tools/test-all-pythons

soak: $(VENV)/.tests
	@$(bin)/python -X dev -m tests.soak $(CYCLES)

test-ecosystem: $(VENV)/.built
	@tools/install-system ecosystem
	@tools/test-ecosystem

test-asyncio: $(VENV)/.built
	@tools/install-system asyncio
	@tools/test-asyncio

bench: $(VENV)/.built
	@tools/install-system bench
	@$(in_venv) tools/bench

plot:
	@$$(tools/find-python) bench/plot.py bench/results/http.json docs/measured.svg

bench-loop: $(VENV)/.built
	@tools/bench-peers
	@$(bin)/python bench/loop_bench.py --peers .venv-bench/bin/python --out bench/results/loop.md

bench-codec: $(VENV)/.built
	@$(in_venv) tools/bench-codec

bench-instructions: $(VENV)/.built
	@$(in_venv) tools/bench-instructions

fuzz: $(VENV)/.tests
	@tools/install-system fuzz
	@$(pip) --only-binary :all: -r fuzz/requirements.txt || echo "There is no atheris for this Python: its target is left out" >&2
	@$(in_venv) tools/fuzz $(FUZZ_SECONDS)

lint: $(VENV)/.tests
	@tools/install-system lint
	@$(in_venv) tools/lint

sanitize: $(VENV)/.tests
	@tools/install-system sanitize
	@$(in_venv) tools/sanitize $(bin)/python

docs: $(VENV)/.built
	@$(pip) -r tools/requirements-docs.txt
	@$(bin)/zensical build --clean --strict

dist: $(VENV)/.tests
	@$(in_venv) tools/dist

clean:
	rm -rf build build-* dist site .venv .venv-* .mypy_cache .pytest_cache .ruff_cache .hypothesis
