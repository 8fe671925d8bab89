# Two commands for a fresh clone: `make demo` and `make test`. Each makes its own virtual environment first.
PYTHON ?= python3
VENV ?= .venv
TORCH ?= torch
BIN = $(VENV)/bin
SOURCES = pyproject.toml CMakeLists.txt $(shell find csrc cmake -type f)

.PHONY: demo test soak test-asan test-neon neon-tools test-cuda-asan test-gpu gpu-sanitize cuda-archs wheel-check docs lint format bench bench-gpu clean help

help:
	@echo "make demo    install into $(VENV), train on real digits, search, report (about five minutes, most of it the install)"
	@echo "make test    install into $(VENV), lint, run all tests"
	@echo "make soak    threads change, search, save and load one index at once, for less than two minutes"
	@echo "make test-asan  replays the op cases against the CPU kernels under AddressSanitizer"
	@echo "make test-neon  the same for the NEON kernels, cross-compiled and emulated"
	@echo "make test-cuda-asan  runs the tests of the emulated CUDA kernels under AddressSanitizer"
	@echo "make test-gpu      the CUDA kernels on the GPU of this machine, against the CPU"
	@echo "make gpu-sanitize  the same on small inputs under compute-sanitizer, where that works"
	@echo "make cuda-archs    compiles the CUDA kernels for every architecture, prints registers, fails on spills"
	@echo "make wheel-check   builds sdist and wheel, and runs the tests against the wheel away from the sources"
	@echo "make lint    ruff, mypy, clang-format"
	@echo "make format  put Python and C++ sources into shape"
	@echo "make bench   this machine's ceilings, and fasthash beside FAISS and others (about 20 minutes)"
	@echo "make bench-gpu  this GPU's ceilings, and fasthash beside torch and others on it (about 8 minutes)"
	@echo "make docs    the documents and the API as a site, in build/site"
	@echo "Variables: PYTHON=$(PYTHON) VENV=$(VENV) TORCH=$(TORCH)"

demo: $(VENV)/demo.stamp
	$(BIN)/fasthash demo

test: $(VENV)/test.stamp
	$(MAKE) lint
	$(BIN)/python -m pytest

soak: $(VENV)/test.stamp
	$(BIN)/python tests/index/soak.py --seconds 100

# The CPU kernels and csrc/runner in a build folder of their own: $(1) its name, $(2) more settings.
define build_runner
mkdir -p build/$(1)
$(BIN)/cmake -S . -B build/$(1) -G "Unix Makefiles" -DFASTHASH_RUNNER=ONLY $(2) > build/$(1)/cmake.log
$(BIN)/cmake --build build/$(1) --parallel $$(nproc) -- --no-print-directory
endef
RUNNER = csrc/runner/fasthash_runner

test-asan: build/cases.bin
	$(call build_runner,asan,-DCMAKE_CXX_FLAGS="-g -fsanitize=address -fsanitize=undefined -fno-sanitize-recover=all")
	build/asan/$(RUNNER) build/cases.bin

test-neon: neon-tools build/cases.bin
	$(call build_runner,neon,-DCMAKE_TOOLCHAIN_FILE=cmake/aarch64-linux-gnu.cmake)
	qemu-aarch64 build/neon/$(RUNNER) build/cases.bin --levels scalar,neon

neon-tools:
	@command -v aarch64-linux-gnu-g++ > /dev/null && command -v qemu-aarch64 > /dev/null \
	|| { echo "test-neon needs a cross compiler and an emulator: apt-get install g++-aarch64-linux-gnu qemu-user" >&2; exit 1; }

# The CUDA kernels, emulated, and their tests. Python is not built with the sanitizers, so their library comes first;
# with it comes libstdc++, in which it looks for what throws. Leaks are Python's.
test-cuda-asan: $(VENV)/test.stamp
	mkdir -p build/cuda_asan
	$(BIN)/cmake -S . -B build/cuda_asan -G "Unix Makefiles" -DFASTHASH_EMULATION=ON -DFASTHASH_CUDA=OFF \
		-DCMAKE_CXX_COMPILER=$(CXX) -DPYBIND11_FINDPYTHON=ON -DPython_EXECUTABLE=$(abspath $(BIN))/python \
		-Dpybind11_DIR=$$($(BIN)/python -m pybind11 --cmakedir) -DCMAKE_BUILD_TYPE=Release \
		-DCMAKE_CXX_FLAGS="-g -fsanitize=address -fsanitize=undefined -fno-sanitize-recover=all" > build/cuda_asan/cmake.log
	$(BIN)/cmake --build build/cuda_asan --target _emulated --parallel $$(nproc) -- --no-print-directory
	FASTHASH_EMULATED=$$(ls build/cuda_asan/csrc/emulation/_emulated*.so) \
		LD_PRELOAD="$$($(CXX) -print-file-name=libasan.so) $$($(CXX) -print-file-name=libstdc++.so)" \
		ASAN_OPTIONS=detect_leaks=0 $(BIN)/python -m pytest tests/emulation

test-gpu: $(VENV)/test.stamp
	$(BIN)/python -m pytest tests/gpu

gpu-sanitize: $(VENV)/test.stamp
	$(BIN)/python tests/gpu/sanitize.py

cuda-archs:
	$(PYTHON) cmake/cuda_archs.py

# WITH="torch==2.6.0 numpy==2.0.0" tests with these; PYTHON names the interpreter.
wheel-check:
	$(PYTHON) tests/wheel_check.py $(addprefix --with ,$(WITH))

build/cases.bin: $(VENV)/test.stamp $(wildcard tests/*_cases.py) fasthash/ops/reference.py
	mkdir -p build
	$(BIN)/python tests/native_cases.py $@

lint: $(VENV)/test.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/clang-format --dry-run -Werror $$(git ls-files 'csrc/*.h' 'csrc/*.cpp' 'csrc/*.cu' 'csrc/*.cuh' 'benchmarks/*.cpp' 'benchmarks/*.cu')

format: $(VENV)/test.stamp
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/clang-format -i $$(git ls-files 'csrc/*.h' 'csrc/*.cpp' 'csrc/*.cu' 'csrc/*.cuh' 'benchmarks/*.cpp' 'benchmarks/*.cu')

bench: $(VENV)/bench.stamp
	$(BIN)/python benchmarks/peers.py

bench-gpu: $(VENV)/bench.stamp
	$(BIN)/python benchmarks/gpu.py

docs: $(VENV)/docs.stamp
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "written to build/site/index.html"

$(VENV)/torch.stamp:
	@$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 10), "fasthash needs Python 3.10 or newer, this is " + sys.version; import venv'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet "$(TORCH)"
	touch $@

$(VENV)/demo.stamp: $(VENV)/torch.stamp $(SOURCES)
	$(BIN)/pip install --quiet --editable ".[demo]"
	touch $@

# The tests also want the CUDA kernels compiled for the CPU, and the runner of op cases.
$(VENV)/test.stamp: $(VENV)/torch.stamp $(SOURCES)
	$(BIN)/pip install --quiet --editable ".[dev]" --config-settings cmake.define.FASTHASH_EMULATION=ON \
		--config-settings cmake.define.FASTHASH_RUNNER=ON
	touch $@

# The peers that fasthash is measured against.
$(VENV)/bench.stamp: $(VENV)/test.stamp
	$(BIN)/pip install --quiet --editable ".[dev,bench]" --config-settings cmake.define.FASTHASH_EMULATION=ON \
		--config-settings cmake.define.FASTHASH_RUNNER=ON
	touch $@

# The API is read from the sources, so what makes the site needs no build of the package.
$(VENV)/docs.stamp: $(VENV)/torch.stamp pyproject.toml
	$(BIN)/pip install --quiet "mkdocs-material>=9.6" "mkdocstrings-python>=2"
	touch $@

clean:
	rm -rf build $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis
