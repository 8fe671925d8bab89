# Two commands for a fresh clone: `make demo` and `make test`. Each makes its own virtual environment first.
PYTHON ?= python3
VENV ?= .venv
TORCH ?= torch
BIN = $(VENV)/bin
SOURCES = pyproject.toml CMakeLists.txt $(shell find csrc cmake -type f)

.PHONY: demo test lint format bench clean help

help:
	@echo "make demo    install into $(VENV), train on real digits, search, report (about five minutes, most of it the install)"
	@echo "make test    install into $(VENV), lint, run all tests"
	@echo "make lint    ruff, mypy, clang-format"
	@echo "make format  put Python and C++ sources into shape"
	@echo "make bench   this machine's ceilings, and fasthash beside FAISS and others (about 20 minutes)"
	@echo "Variables: PYTHON=$(PYTHON) VENV=$(VENV) TORCH=$(TORCH)"

demo: $(VENV)/demo.stamp
	$(BIN)/fasthash demo

test: $(VENV)/test.stamp
	$(MAKE) lint
	$(BIN)/python -m pytest

lint: $(VENV)/test.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/clang-format --dry-run -Werror $$(git ls-files 'csrc/*.h' 'csrc/*.cpp' 'csrc/*.cu' 'csrc/*.cuh' 'benchmarks/*.cpp')

format: $(VENV)/test.stamp
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/clang-format -i $$(git ls-files 'csrc/*.h' 'csrc/*.cpp' 'csrc/*.cu' 'csrc/*.cuh' 'benchmarks/*.cpp')

bench: $(VENV)/bench.stamp
	$(BIN)/python benchmarks/peers.py

$(VENV)/torch.stamp:
	@$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 10), "fasthash needs Python 3.10 or newer, this is " + sys.version; import venv'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet "$(TORCH)"
	touch $@

$(VENV)/demo.stamp: $(VENV)/torch.stamp $(SOURCES)
	$(BIN)/pip install --quiet --editable ".[demo]"
	touch $@

# The tests also want the CUDA kernels compiled for the CPU.
$(VENV)/test.stamp: $(VENV)/torch.stamp $(SOURCES)
	$(BIN)/pip install --quiet --editable ".[dev]" --config-settings cmake.define.FASTHASH_EMULATION=ON
	touch $@

# The peers that fasthash is measured against.
$(VENV)/bench.stamp: $(VENV)/test.stamp
	$(BIN)/pip install --quiet --editable ".[dev,bench]" --config-settings cmake.define.FASTHASH_EMULATION=ON
	touch $@

clean:
	rm -rf build $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis
