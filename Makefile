# What there is to do, by one word each. `make train` and `make test` also install what is missing (cmake/setup).
#   make            build into build/release
#   make train      train gap-19k on MNIST       (more options: make train ARGS="--epochs 3 --save w.safetensors")
#   make test       build and run every test
#   make sanitize   the tests under AddressSanitizer + UndefinedBehaviorSanitizer, then ThreadSanitizer
#   make bench      a training step beside PyTorch's (PYTHON=… of an environment with torch)
#   make install    into PREFIX (default /usr/local)
JOBS ?= $(shell nproc)
PREFIX ?= /usr/local
PYTHON ?= python3
ARGS ?=
# The real data set, where it lies beside the project.
ifneq ($(wildcard ../shared/mnist/train-images-idx3-ubyte*),)
export MICA_DATA ?= $(abspath ../shared/mnist)
endif

.PHONY: all setup train test sanitize bench install clean
all:
	cmake --preset release
	cmake --build build/release --parallel $(JOBS)

setup:
	cmake/setup

train: setup
	$(MAKE) all
	build/release/examples/mnist $(ARGS)

test: setup
	$(MAKE) all
	ctest --test-dir build/release --output-on-failure

sanitize: setup
	cmake --preset asan && cmake --build build/asan --parallel $(JOBS) && ctest --test-dir build/asan --output-on-failure
	cmake --preset tsan && cmake --build build/tsan --parallel $(JOBS) && ctest --test-dir build/tsan --output-on-failure

bench: all
	$(PYTHON) benchmarks/compare_step.py

.PHONY: fuzz-safetensors  # mutated weight files, read by Mica and by the official library (PYTHON=… with torch and safetensors)
fuzz-safetensors: all
	$(PYTHON) tests/pytorch/fuzz_safetensors.py $(ARGS)

install: all
	cmake --install build/release --prefix $(PREFIX)

clean:
	rm -rf build

