# Each target does its own set-up in .venv, so that `make demo` and `make test` work on a fresh machine with
# Python >= 3.10, a C++17 compiler and CMake. `make PYTHON=python3.12 ...` chooses the interpreter of a new .venv.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip
# Warnings of the C++ compiler are errors here, but not where somebody only installs bitvit. The C library is made of the
# same objects, and tests/c tries it.
BUILD_OPTIONS := --config-settings=cmake.define.BITVIT_WERROR=ON --config-settings=cmake.define.BITVIT_C=ON

# Two stamps: dependencies follow pyproject.toml, the compiled core follows the C++ sources.
INSTALLED := $(VENV)/.installed
CORE := $(VENV)/.core
CORE_SOURCES := CMakeLists.txt $(shell find cpp -type f 2>/dev/null)

# Tests and the demo share two cores: one computing thread per process is faster than threads that wait for each other.
# On two cores a third process computes while another waits for a program that it started.
TEST_WORKERS ?= 3
export OMP_NUM_THREADS ?= 1
# Threads that spin while they wait make training many times slower as soon as another process wants a core.
export OMP_WAIT_POLICY ?= passive

# CMake and Ninja come from .venv where the system has none.
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: help setup core docs demo demo-segmentation test test-everywhere test-everywhere-short test-ecosystem test-gpu web wheels results check format sanitize fuzz soak bench clean

help:
	@echo "make setup   install bitvit with everything for development into $(VENV)"
	@echo "make demo    train, export and run a 1-bit vision transformer on small digits (about 5 minutes)"
	@echo "make demo-segmentation   the same for a class of every pixel"
	@echo "make test    run all tests"
	@echo "make test-everywhere  compare AArch64, 32-bit ARM (under an emulator), WebAssembly (in Node and Chromium) and Windows (under Wine) with Python, to the bit"
	@echo "make test-everywhere-short  the part of it that .ci/run runs"
	@echo "make test-ecosystem  run bitvit inside other people's engines: Ray, Spark, ONNX Runtime; the notebook; what the pages show"
	@echo "make test-gpu  train every recipe on a CUDA device, compare its gradients with the CPU's"
	@echo "make web     build the npm package and the page for browsers into build/web"
	@echo "make wheels  build wheels for Linux (x86-64, AArch64) and Windows into dist, and test those that run here"
	@echo "make results check the published studies against today's recipes"
	@echo "make docs    build the site into build/site; warnings are errors"
	@echo "make check   run linters, the type checker and the C++ format check"
	@echo "make format  apply the formatters"
	@echo "make sanitize  run the engine's tests under AddressSanitizer and ThreadSanitizer (builds both)"
	@echo "make fuzz MINUTES=n   fuzz the reader and the engine with libFuzzer (needs clang)"
	@echo "make soak    run a model a million times over threads, reloads and forks, in constant memory"
	@echo "make bench   time the kernels and a whole model against other engines"
	@echo "make core    rebuild the C++ core after a change under cpp/ (the other targets do this too)"

setup: $(CORE)

core: $(CORE)

$(INSTALLED): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "bitvit needs Python 3.10 or newer")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet "pip>=25.1" "scikit-build-core>=0.11" "nanobind>=2.4" "nlohmann-json>=3.12" "setuptools-scm>=8"
	@command -v cmake >/dev/null || $(PIP) install --quiet cmake
	@command -v ninja >/dev/null || $(PIP) install --quiet ninja
	$(PIP) install --quiet --no-build-isolation $(BUILD_OPTIONS) --editable ".[train,hub,onnx]" --group dev
	@$(BIN)/python -c 'import torchvision, timm, lightning' || \
		{ echo "torch, torchvision, timm and lightning do not work together in $(VENV): remove it and run make setup"; exit 1; }
	@touch $@

$(CORE): $(INSTALLED) $(CORE_SOURCES)
	$(PIP) install --quiet --no-build-isolation $(BUILD_OPTIONS) --no-deps --editable .
	@touch $@

demo: $(CORE)
	$(BIN)/python examples/demo.py --out runs/demo

demo-segmentation: $(CORE)
	$(BIN)/python examples/segmentation.py --out runs/segmentation

test: $(CORE)
	$(BIN)/python -m pytest -n $(TEST_WORKERS) --dist worksteal

# Tests whose tools are missing, and cannot be installed, are skipped. The short ones are about ten minutes of a processor.
PLAYWRIGHT = $(PIP) install --quiet --group browser || echo "playwright cannot be installed: the tests of the page are skipped"
test-everywhere: $(CORE)
	@tests/everywhere/install_tools.sh all
	@$(PLAYWRIGHT)
	@$(PIP) install --quiet --group wheels || echo "ziglang cannot be installed: the tests of Windows are skipped"
	$(BIN)/python -m pytest -m everywhere tests/everywhere

test-everywhere-short: $(CORE)
	@tests/everywhere/install_tools.sh
	@$(PLAYWRIGHT)
	$(BIN)/python -m pytest -m "everywhere and not long" tests/everywhere

test-ecosystem: $(CORE)
	$(PIP) install --quiet --group ecosystem
	@command -v java >/dev/null || { apt-get -qq update && apt-get -qq install -y --no-install-recommends default-jre-headless; } >/dev/null 2>&1 || \
		echo "there is no Java, and it cannot be installed here: Spark's test will be skipped"
	$(BIN)/python -m pytest -m ecosystem -n $(TEST_WORKERS) --dist worksteal

# On a machine with a CUDA device only.
test-gpu: $(CORE)
	$(BIN)/python -m pytest -m gpu tests/gpu

web: $(CORE)
	$(BIN)/python web/build.py

wheels: web
	$(PIP) install --quiet --group wheels
	$(BIN)/python wheels/build.py
	$(BIN)/python -m pytest -m everywhere tests/everywhere/test_wheels.py

# The published studies belong to the recipes of today. Not part of `make test`: a recipe may change before its studies are run again.
results: $(CORE)
	$(BIN)/python -m pytest -m published tests/cli/test_published_results.py

check: $(CORE)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	find cpp -name '*.cc' -o -name '*.h' -o -name '*.inl' -o -name '*.inc' | xargs $(BIN)/clang-format --dry-run -Werror

docs: $(INSTALLED)
	$(PIP) install --quiet --group docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict
	@echo "open build/site/index.html"

format: $(CORE)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	find cpp -name '*.cc' -o -name '*.h' -o -name '*.inl' -o -name '*.inc' | xargs $(BIN)/clang-format -i

sanitize: $(CORE)
	$(BIN)/python tests/sanitize.py

MINUTES ?= 5
fuzz: $(CORE)
	$(BIN)/python tests/fuzz.py --minutes $(MINUTES)

soak: $(CORE)
	$(BIN)/python benchmarks/soak.py

bench: $(CORE)
	$(PIP) install --quiet --no-build-isolation --editable ".[bench]"
	$(BIN)/python benchmarks/kernels.py
	$(BIN)/python benchmarks/latency.py --model gsb_deit_small_patch16_224

clean:
	rm -rf build dist .mypy_cache .pytest_cache .ruff_cache
