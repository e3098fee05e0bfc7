# What there is to do, by one word each. `make train` and `make test` also install what is missing (cmake/setup).
#   make            build into build/release
#   make train      train gap-19k on MNIST       (more options: make train ARGS="--epochs 3 --save w.safetensors")
#   make test       build and run every test; where CUDA's headers are, also the CUDA kernels on the emulated device
#   make sanitize   the tests under AddressSanitizer + UndefinedBehaviorSanitizer, then ThreadSanitizer
#   make cuda-architectures  compile the CUDA kernels for every GPU that nvcc knows, from Turing on (about ten minutes)
#   make bench      a training step, then every op, beside PyTorch
#   make fuzz-pytorch      20,000 random cases of the ops against PyTorch (ARGS="--seed 7 --op conv2d")
#   make fuzz-safetensors  mutated weight files, read by Mica and by the official library
# The last three use PyTorch, which is put into build/pytorch first, or PYTHON=… of an environment that has it.
#   make gpu-bundle  pack programs, libraries and gpu-check for a machine with a GPU (docs/hardware/README.md)
#   make install    into PREFIX (default /usr/local)
# Where nvcc is, its kernels are compiled for this machine's GPU, or for one architecture to see that they compile; without
# CUDA_ARCHITECTURES, plain CMake compiles them for all.
CUDA_ARCHITECTURES ?= $(if $(shell nvidia-smi -L 2>/dev/null),native,90)
CUDA_HEADERS = $(firstword $(wildcard $(addsuffix /include/cuda_runtime.h,$(CUDA_HOME) $(CUDA_PATH) /usr/local/cuda /opt/cuda /usr)))
JOBS ?= $(shell nproc)
PREFIX ?= /usr/local
PYTHON ?= build/pytorch/bin/python
ARGS ?=
# The real data set, where it lies beside the project.
ifneq ($(wildcard ../shared/mnist/train-images-idx3-ubyte*),)
export MICA_DATA ?= $(abspath ../shared/mnist)
endif

.PHONY: all gpu-bundle emulated cuda-architectures setup train test sanitize pytorch bench fuzz-pytorch fuzz-safetensors install clean
all:
	cmake --preset release -DCMAKE_CUDA_ARCHITECTURES=$(CUDA_ARCHITECTURES)
	cmake --build build/release --parallel $(JOBS)

emulated:
	cmake --preset emulated
	cmake --build build/emulated --parallel $(JOBS)

setup:
	cmake/setup

train: setup
	$(MAKE) all
	build/release/examples/mnist $(ARGS)

test: setup
	$(MAKE) all
	ctest --test-dir build/release --output-on-failure --parallel $(JOBS)
ifneq ($(CUDA_HEADERS),)
	$(MAKE) emulated
	ctest --test-dir build/emulated --output-on-failure --parallel $(JOBS)
else
	@echo "No CUDA toolkit was found, so its kernels were not tested on the emulated device."
endif

cuda-architectures: setup
	cmake -S . -B build/cuda -DCMAKE_BUILD_TYPE=Release -DMICA_CUDA=ON -DMICA_TESTS=OFF -DMICA_EXAMPLES=OFF
	cmake --build build/cuda --parallel $(JOBS)
	tests/programs/kernel_resources.sh tests/programs/kernel_resources.txt build/cuda

sanitize: setup
	cmake --preset asan && cmake --build build/asan --parallel $(JOBS) && ctest --test-dir build/asan --output-on-failure
	cmake --preset tsan && cmake --build build/tsan --parallel $(JOBS) && ctest --test-dir build/tsan --output-on-failure
ifneq ($(CUDA_HEADERS),)
	cmake --preset emulated-tsan && cmake --build build/emulated-tsan --parallel $(JOBS) && ctest --test-dir build/emulated-tsan --output-on-failure
endif

pytorch:
	command -v $(PYTHON) >/dev/null || { python3 -m venv build/pytorch && build/pytorch/bin/pip install torch torchvision safetensors numpy packaging; }

bench: all pytorch
	$(PYTHON) benchmarks/compare_step.py
	$(PYTHON) benchmarks/compare_ops.py

fuzz-pytorch: all pytorch
	$(PYTHON) tests/pytorch/fuzz.py $(ARGS)

fuzz-safetensors: all pytorch
	$(PYTHON) tests/pytorch/fuzz_safetensors.py $(ARGS)

# Compiled for sm_90, with PTX for newer ones.
gpu-bundle: setup
	$(MAKE) all CUDA_ARCHITECTURES=90
	tests/hardware/pack.py build/release build

install: all
	cmake --install build/release --prefix $(PREFIX)

clean:
	rm -rf build

