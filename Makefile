# Every target sets up .venv when it is missing, with the first of these that runs and is a version that will do (a name
# may stand for an interpreter that is not there). Another one: make PYTHON=python3.12 test
FITS := import sys; v = sys.version_info[:2]; sys.exit(not (3, 10) <= v < (3, 13))
PYTHON ?= $(shell for name in python3.11 python3.12 python3.10 python3; do \
    $$name -c '$(FITS)' 2>/dev/null && echo $$name && exit; done; echo python3)
VENV := .venv
PIP := $(VENV)/bin/python -m pip --disable-pip-version-check --no-input
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)

.PHONY: quickstart fuzz parity test check format test-gpu bench install wheel
.DELETE_ON_ERROR:

quickstart: $(VENV)/.installed
	$(VENV)/bin/python scripts/quickstart.py

test: $(VENV)/.installed
	@$(VENV)/bin/python -m pytest -m "not gpu" -n auto --dist loadfile --no-loadscope-reorder

fuzz parity: $(VENV)/.installed
	@$(VENV)/bin/python -m tests.$@

test-gpu: $(VENV)/.installed
	$(VENV)/bin/python -m pytest -m gpu

check: $(VENV)/.installed-dev
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .

format: $(VENV)/.installed-dev
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

bench: $(VENV)/.installed
	bash scripts/train/multi30k.sh --stage bench

install: $(VENV)/.installed

# One for each platform, whatever the Python; not without all of the compiled libraries.
wheel: $(VENV)/.installed
	rm -rf build dist
	$(PIP) wheel --no-deps --no-build-isolation --wheel-dir dist .
	@! $(VENV)/bin/python -m zipfile --list dist/*.whl | grep _native_build || \
	    { echo "make wheel: some libraries could not be compiled, see above: install GCC 8 or later, or clang" >&2; exit 1; }

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; (3, 10) <= v < (3, 13) or sys.exit( \
	    "PYTHON must be Python 3.10, 3.11 or 3.12, got %d.%d: pass for example PYTHON=python3.11" % v)'
	$(PYTHON) -m venv $(VENV)

# fairseq is built from source on 3.10 and 3.11, without build isolation, in which pip would download a second torch:
# fairseq-fixed against the torch that is here, fairseq 0.12.2 (Python 3.10) before torch comes, since its archive lacks
# a source file that it wants where it sees torch. pip >= 24.1 refuses the metadata of the omegaconf that 0.12.2 needs.
# The compiler flags and the parallel build only shorten that build.
BUILD := CFLAGS="-g0 $$CFLAGS" DIST_EXTRA_CONFIG=$(CURDIR)/$(VENV)/build.cfg \
    $(PIP) install -c constraints.txt --no-build-isolation
$(VENV)/.installed: setup.py constraints.txt $(wildcard fairseq_specdec/engine/native/csrc/*) | $(VENV)/bin/python
	$(PIP) install "pip<24.1"
	$(PIP) install -c constraints.txt numpy cython setuptools wheel
	printf '[build_ext]\nparallel = %s\n' "$$(getconf _NPROCESSORS_ONLN)" > $(VENV)/build.cfg
	if $(VENV)/bin/python -c 'import sys; sys.exit(sys.version_info >= (3, 11))'; then \
	    $(BUILD) --no-deps fairseq==0.12.2; fi
	$(PIP) install -c constraints.txt torch
	$(BUILD) -e ".[fairseq,test]"
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(PIP) install -c constraints.txt ruff pre-commit
	touch $@
