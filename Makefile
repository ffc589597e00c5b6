# make run      build and serve examples/bookshop on http://127.0.0.1:8000
# make test     build and run every test
# make bench    measure weft beside its peers (fetches them)
# make fuzz     a minute of each fuzz target
# make lint     formatters, linters, type checkers, stubs against the module
# make sanitize every test under ASan and UBSan
# make clean    throw away what was built
#
# PYTHON=...    which CPython (3.11 or newer); otherwise tools/find-python chooses
# VENV=...      where the virtual environment is made

PYTHON ?=
VENV ?= .venv
BUILD ?= build
FUZZ_SECONDS ?= 60
export PYTHON

bin = $(VENV)/bin
sources = meson.build meson.options pyproject.toml

.PHONY: run test test-c test-python test-all-pythons bench bench-loop bench-codec fuzz lint sanitize clean help
.DEFAULT_GOAL := help

help:
	@sed -n 's/^# //p' Makefile | sed '/^$$/q'

# A virtual environment with weft installed in editable form: importing weft rebuilds what changed.
$(VENV)/.built: $(sources) tools/requirements.txt
	@tools/install-system run
	@set -e; python=$$(tools/find-python) || { echo "no CPython 3.11+ with headers found; see README" >&2; exit 1; }; \
	echo "Making $(VENV) with $$($$python --version)"; \
	[ -x $(bin)/python ] || $$python -m venv $(VENV)
	@$(bin)/python -m pip install -q --disable-pip-version-check -r tools/requirements.txt
	@echo "Building weft"
	@PATH="$(CURDIR)/$(bin):$$PATH" $(bin)/python -m pip install -q --disable-pip-version-check --no-build-isolation \
	    --editable . --config-settings=build-dir=$(BUILD) --config-settings=setup-args=-Dtests=auto
	@touch $@

run: $(VENV)/.built
	@$(bin)/python -m weft examples.bookshop.main:app

$(VENV)/.tests: $(VENV)/.built tests/requirements.txt
	@$(bin)/python -m pip install -q --disable-pip-version-check -r tests/requirements.txt
	@touch $@

test: test-c test-python

test-c: $(VENV)/.built
	@tools/install-system test
	@PATH="$(CURDIR)/$(bin):$$PATH" meson configure $(BUILD) -Dtests=enabled
	@PATH="$(CURDIR)/$(bin):$$PATH" ninja -C $(BUILD) --quiet
	@PATH="$(CURDIR)/$(bin):$$PATH" meson test -C $(BUILD) --suite c --no-rebuild --print-errorlogs

test-python: $(VENV)/.tests
	@$(bin)/python -m pytest

# The other supported interpreters that this machine has, each with an environment of its own.
test-all-pythons:
	@tools/test-all-pythons

bench: $(VENV)/.built
	@tools/install-system bench
	@tools/bench

bench-loop: $(VENV)/.built
	@$(bin)/python bench/loop_bench.py

bench-codec: $(VENV)/.built
	@$(bin)/python bench/json_codec.py

fuzz: $(VENV)/.built
	@tools/install-system fuzz
	@PATH="$(CURDIR)/$(bin):$$PATH" tools/fuzz $(FUZZ_SECONDS)

lint: $(VENV)/.tests
	@tools/install-system lint
	@PATH="$(CURDIR)/$(bin):$$PATH" tools/lint

sanitize: $(VENV)/.tests
	@tools/install-system sanitize
	@PATH="$(CURDIR)/$(bin):$$PATH" tools/sanitize $(bin)/python

clean:
	rm -rf build build-* .venv .venv-* .mypy_cache .pytest_cache .ruff_cache
