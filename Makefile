# What there is to do, by one word each. `make train` and `make test` also install what is missing (cmake/setup).
#   make            build into build/release
#   make train      train gap-19k on MNIST       (more options: make train ARGS="--epochs 3 --save w.safetensors")
#   make test       build and run every test
#   make sanitize   the tests under AddressSanitizer + UndefinedBehaviorSanitizer, then ThreadSanitizer
#   make bench      a training step, then every op, beside PyTorch
#   make fuzz-pytorch      20,000 random cases of the ops against PyTorch (ARGS="--seed 7 --op conv2d")
#   make fuzz-safetensors  mutated weight files, read by Mica and by the official library
# The last three use PyTorch, which is put into build/pytorch first, or PYTHON=… of an environment that has it.
#   make install    into PREFIX (default /usr/local)
JOBS ?= $(shell nproc)
PREFIX ?= /usr/local
PYTHON ?= build/pytorch/bin/python
ARGS ?=
# The real data set, where it lies beside the project.
ifneq ($(wildcard ../shared/mnist/train-images-idx3-ubyte*),)
export MICA_DATA ?= $(abspath ../shared/mnist)
endif

.PHONY: all setup train test sanitize pytorch bench fuzz-pytorch fuzz-safetensors install clean
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

pytorch:
	command -v $(PYTHON) >/dev/null || { python3 -m venv build/pytorch && build/pytorch/bin/pip install torch torchvision safetensors numpy packaging; }

bench: all pytorch
	$(PYTHON) benchmarks/compare_step.py
	$(PYTHON) benchmarks/compare_ops.py

fuzz-pytorch: all pytorch
	$(PYTHON) tests/pytorch/fuzz.py $(ARGS)

fuzz-safetensors: all pytorch
	$(PYTHON) tests/pytorch/fuzz_safetensors.py $(ARGS)

install: all
	cmake --install build/release --prefix $(PREFIX)

clean:
	rm -rf build

