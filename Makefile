# make run | test | check | whole | compat | fuzz | bench | docs: nothing else to remember.
# Each target sets up what it needs: a virtual environment in .venv, and Debian packages where we are root.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
LONG := tests/whole/test_crash.py tests/whole/test_disk_trouble.py tests/whole/test_reload.py
# Tests wait more than they compute: two for a core, six at most.
WORKERS ?= $(shell n=$$(( $$(nproc) * 2 )); [ $$n -gt 6 ] && echo 6 || echo $$n)

# Python keeps what it has compiled: without that, each of the many processes of the tests compiles 300 files again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: run test check whole root compat fuzz bench docs clean

$(STAMP): pyproject.toml
	@tools/system-packages run
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev,pcre]'
	@touch $@

run: $(STAMP)           ## start a mail server for this machine in the foreground, mail in ./run
	@$(BIN)/estafeta up --dir run

test: $(STAMP)          ## everything that any machine can run; as root also what needs it
	@tools/system-packages test
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal

check: $(STAMP)         ## style, types, import rules
	$(BIN)/ruff check src tests bench
	$(BIN)/mypy
	$(BIN)/lint-imports

whole: $(STAMP)         ## the long crash tests: kill -9 at every state of the queue
	@tools/system-packages test
	ESTAFETA_LONG=1 $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal --timeout 600 $(LONG)

compat: $(STAMP)        ## record real Postfix anew, and compare (root)
	@tools/system-packages compat
	$(BIN)/python -m tests.compat.record

fuzz: $(STAMP)          ## hypothesis with many more examples
	HYPOTHESIS_PROFILE=long $(BIN)/python -m pytest --timeout 1800 tests/fuzz

bench: $(STAMP)         ## side by side with real Postfix (root)
	@tools/system-packages compat
	$(BIN)/python bench/side_by_side.py
	$(BIN)/python bench/scale.py
	$(BIN)/python bench/storm.py

docs: $(STAMP)          ## the manual of every parameter, in build/docs
	$(BIN)/python -m estafeta.commands.manual build/docs

clean:
	rm -rf $(VENV) build dist src/*.egg-info .pytest_cache .mypy_cache .ruff_cache
