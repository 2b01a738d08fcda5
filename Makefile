# make demo    the main job on real data: results in out/demo/
# make test    lint, types and the whole test suite
# make lint    ruff and mypy alone; make check: the test suite alone
# make bench-check  whether the ratios to the peers hold: a quick run beside the stored ones
# make cross   the agreement suite on kernels for AVX2, for SSE 4.2 and for NEON (in an emulator)
# make sanitize  the agreement suite on kernels under address, undefined-behaviour and thread
#              sanitizers, and with buffers that end at pages which nobody may touch
# make nightly  the errors of all functions on all 2^32 floats, against the C library's doubles:
#              an hour of one core; fails where a function is worse than its header says
#
# Each makes .venv first. PYTHON=python3.12 make test takes another interpreter (and makes .venv anew
# if it was made by a different version). Recipes use nothing but Python and the shell's own words,
# so that they run where there is neither a compiler nor much of a PATH.

SHELL := /bin/sh
PYTHON ?= python3
PYTEST_ARGS ?= -n 2

VERSION := $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>&1)
VENV := .venv
RUN := $(VENV)/bin/python
STAMP := $(VENV)/made-by-$(VERSION)
PIP := $(RUN) -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: demo test lint check cached bench-check cross sanitize nightly clean

demo: $(STAMP)
	$(RUN) -m experiments demo

test: lint cached

# Formulas that tests compile are kept here, so a second run is quick.
check cached: export GEOREDUCE_CACHE := $(CURDIR)/build/cache

check: $(STAMP)
	$(RUN) -m pytest $(PYTEST_ARGS)

# A cache behaves in two ways, so the engine's quick tests run twice: now nothing may be compiled.
cached: check
	GEOREDUCE_ASSERT_CACHED=1 $(RUN) -m pytest $(PYTEST_ARGS) -m "not slow" tests/engine

lint: $(STAMP)
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -c 'import os; os.makedirs("build/mypy/georeduce", exist_ok=True); [os.path.islink(p) or os.symlink("../../../" + n, p) for n in ("engine", "apps") for p in ["build/mypy/georeduce/" + n]]'
	$(RUN) -m mypy

# setuptools goes first and builds are not isolated: an isolated build would fetch an unpinned one.
$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Expected Python 3.11 or later, but got $(VERSION). Name one: make PYTHON=python3.12 ...")'
	@[ -e $(STAMP) ] || $(PYTHON) -m venv --clear $(VENV)
	$(PIP) pip setuptools
	$(PIP) --no-build-isolation --editable '.[torch,ot,hyperbolic,experiments,dev,nvrtc]'
	@: > $(STAMP)

# Not part of `test`: they need g++ and its sanitizers; a cross-compiler and an emulator for NEON.
SUITE := $(addprefix tests/engine/,test_agree.py test_reductions.py test_special_values.py \
    test_determinism.py codegen/test_golden.py)
X86 := $(if $(filter x86_64,$(shell uname -m 2>&1)),x86-64-v3 x86-64-v2)

cross: $(STAMP) $(X86)
	GEOREDUCE_CROSS=1 $(RUN) -m pytest $(PYTEST_ARGS) tests/engine/codegen/test_isa.py

.PHONY: $(X86)
$(X86): $(STAMP)
	CXX="$${CXX:-g++} -march=$@" GEOREDUCE_CACHE=$(CURDIR)/build/cross/$@ $(RUN) -m pytest $(PYTEST_ARGS) -m compiler $(SUITE)

# Not part of `test` either: machines are noisy.
bench-check: $(STAMP)
	$(RUN) -m experiments check

sanitize: $(STAMP)
	PYTHONPATH=tests $(RUN) -m sanitize

nightly: $(STAMP)
	$(RUN) -m experiments accuracy

clean:
	$(PYTHON) -c 'import shutil; [shutil.rmtree(p, True) for p in (".venv", "build", "out", "dist")]'
