# Everything runs in .venv, made from the pinned requirements; nothing needs root.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.complete
INSTALL := install --quiet --disable-pip-version-check

.PHONY: help benchmark quick test test-slow test-slurm test-gpu-env env env-cluster env-gpu env-loadgen env-peers
.PHONY: retry clean lint bench-clock bench-throughput bench-speed bench-zoo accept-demo-models
help:            ## print this list
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 28

benchmark: compiled ## run the default, which writes results/report.html and results/table.md
	$(BIN)/snakemake

quick: compiled  ## run a small version: two models, three variants, few images
	$(BIN)/snakemake --configfile config/quick.yaml

# Whole files go to a process each, since the tests of a file share what they have made. `make test` starts them in
# pytest's order, in which the longest come first: xdist's own starts those with the most tests first.
SIDE_BY_SIDE := --numprocesses 2 --dist loadfile
test: env-dev env-rtx ## run all tests that need no root
	$(BIN)/python -m pytest $(SIDE_BY_SIDE) --no-loadscope-reorder

test-slow: env-dev env-rtx ## test the full-size architectures on all engines (minutes)
	$(BIN)/python -m pytest $(SIDE_BY_SIDE) -m "slow and not slurm"

test-slurm: env-dev ## test through a real Slurm that is set up on this machine: needs root, writes /etc/slurm, takes 6 minutes
	$(BIN)/python -m pytest -m "slurm and not slow"

env-cluster: env ## install the plugin for profiles/cluster-generic
	$(BIN)/python -m pip $(INSTALL) -r requirements/cluster.txt

lint: env-dev    ## check style and types only, as `make test` does
	$(BIN)/python -m pytest tests/unit/test_style.py

accept-demo-models: env ## copy models that `snakemake demo_models` trained to resources/, and their SHA-256 to config/models.yaml
	$(BIN)/python workflow_scripts/accept_demo_models.py

retry: env       ## forget the rows that are not ok, and run them again; ARGS="--configfile …" for another run
	$(BIN)/python workflow_scripts/retry.py
	$(BIN)/snakemake $(ARGS)

env: $(STAMP)    ## make the environment of the workflow and the CPU engines

# Bytecode is compiled, here and below. Otherwise every job compiles its imports again where writing bytecode is off.
$(STAMP): requirements/base.txt requirements/no-deps.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip $(INSTALL) -r requirements/base.txt
	$(BIN)/python -m pip $(INSTALL) --no-deps -r requirements/no-deps.txt
	$(BIN)/python -m compileall -q $(VENV)/lib || true
	touch $@

.PHONY: compiled
compiled: env
	$(BIN)/python -m compileall -q workflow_scripts || true

.PHONY: env-dev
env-dev: env $(VENV)/.complete-dev
$(VENV)/.complete-dev: requirements/dev.txt requirements/dev-no-deps.txt $(STAMP)
	$(BIN)/python -m pip $(INSTALL) -r requirements/dev.txt
	$(BIN)/python -m pip $(INSTALL) --no-deps -r requirements/dev-no-deps.txt
	touch $@

env-gpu: .venv-gpu/.complete ## install Paddle with TensorRT for NVIDIA GPUs in .venv-gpu: 3 GB of downloads, 7 GB of disk, no GPU needed

.venv-gpu/.complete: requirements/gpu.txt envs/gpu.post-deploy.sh
	$(PYTHON) -m venv .venv-gpu
	.venv-gpu/bin/python -m pip $(INSTALL) -r requirements/gpu.txt
	PATH="$(CURDIR)/.venv-gpu/bin:$$PATH" bash envs/gpu.post-deploy.sh
	touch $@

.PHONY: gpu gpu-check
gpu: env         ## on a GPU machine: the environment, doctor, the demo; with dataset_root=PATH the page's rows, resumable
	$(BIN)/python tools/gpu.py --dataset-root "$(dataset_root)"

gpu-check: env   ## ten minutes on a GPU: four variants of a network, a test of synchronisation; leaves gpu-check.json
	$(BIN)/python tools/gpu_check.py

.PHONY: env-paddle3
env-paddle3: .venv-paddle3/.complete ## Paddle 3 on the CPU, in .venv-paddle3: 0.3 GB of downloads, 1.2 GB of disk

.venv-paddle3/.complete: requirements/paddle3.txt
	$(PYTHON) -m venv .venv-paddle3
	.venv-paddle3/bin/python -m pip install --quiet --disable-pip-version-check -r requirements/paddle3.txt
	touch $@

# TORCH_INDEX=ADDRESS: an index with a PyTorch that has no CUDA, as PyTorch's own guide names it.
TORCH_INSTALL := install --quiet --disable-pip-version-check $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX))
.PHONY: env-torch env-exports test-huggingface bench-exports
env-torch: .venv-torch/.complete ## PyTorch, which exports models of kind huggingface, in .venv-torch: 1.2 GB of disk with TORCH_INDEX=ADDRESS, else 6 GB

.venv-torch/.complete: requirements/torch.txt
	$(PYTHON) -m venv .venv-torch
	.venv-torch/bin/python -m pip $(TORCH_INSTALL) -r requirements/torch.txt
	touch $@

env-exports: .venv-exports/.complete ## and the networks that make bench-exports exports, in .venv-exports

.venv-exports/.complete: requirements/torch.txt requirements/exports.txt
	$(PYTHON) -m venv .venv-exports
	.venv-exports/bin/python -m pip $(TORCH_INSTALL) -r requirements/torch.txt -r requirements/exports.txt
	touch $@

test-huggingface: env-dev ## tests of kind huggingface with PyTorch (after make env-torch)
	$(BIN)/python -m pytest tests/huggingface

test-gpu-env:    ## tests of .venv-gpu, with or without a GPU; skipped, with the reason, where it was not made
	@if [ -e .venv-gpu/.complete ]; then .venv-gpu/bin/python -m pytest tests/gpu_env; \
	else echo "skipped: there is no .venv-gpu (make env-gpu)"; fi

env-loadgen: env ## install MLCommons LoadGen, an independent clock; then: snakemake results/loadgen/DATASET/MODEL/VARIANT.json
	$(BIN)/python -m pip $(INSTALL) -r requirements/loadgen.txt

PEERS := .venv-peers/bin/python -m pip $(INSTALL)
env-peers: env   ## install the packages that results/peers.md compares with, in .venv-peers (at least 1.6 GB)
	$(PYTHON) -m venv .venv-peers
	$(PEERS) --constraint requirements/base.txt -r requirements/peers.txt
	$(PEERS) --no-deps --constraint requirements/dev-no-deps.txt cityscapesscripts
	$(PEERS) --no-deps -r requirements/no-deps.txt

# Each of NVIDIA's engines has its own environment; only TensorRT for RTX goes into .venv (docs/use/tensorrt.md).
PYTHON310 ?= python3.10
.PHONY: test-onnxruntime-gpu named-index env-rtx env-tensorrt env-tensorrt8 env-onnxruntime-gpu env-onnxruntime-tensorrt test-tensorrt8
env-rtx: env $(VENV)/.complete-rtx ## TensorRT for RTX, which builds engines without a GPU
$(VENV)/.complete-rtx: requirements/tensorrt_rtx.txt $(STAMP)
	$(BIN)/python -m pip $(INSTALL) --no-deps -r requirements/tensorrt_rtx.txt
	touch $@

env-tensorrt8:   ## install standalone TensorRT 8.5.3.1 in .venv-tensorrt8 (3 GB; needs Python 3.10: PYTHON310=…)
	$(PYTHON310) -m venv .venv-tensorrt8
	.venv-tensorrt8/bin/python -m pip $(INSTALL) -r requirements/tensorrt8.txt

test-tensorrt8:  ## test the real TensorRT 8.5.3.1 bindings, without a GPU (after make env-tensorrt8)
	.venv-tensorrt8/bin/python -m pytest tests/tensorrt8

named-index:
	@test -n "$(NVIDIA_INDEX)" || \
	    { echo "error: add NVIDIA_INDEX=ADDRESS: the package index that NVIDIA's TensorRT guide names" >&2; exit 2; }

env-tensorrt: named-index ## install the current TensorRT in .venv-tensorrt, from NVIDIA_INDEX=ADDRESS
	$(PYTHON) -m venv .venv-tensorrt
	.venv-tensorrt/bin/python -m pip $(INSTALL) -r requirements/base.txt
	.venv-tensorrt/bin/python -m pip $(INSTALL) \
	    --extra-index-url $(NVIDIA_INDEX) -r requirements/tensorrt.txt

env-onnxruntime-gpu: ## install ONNX Runtime's CUDA provider in .venv-onnxruntime-gpu (2 GB)
	$(PYTHON) -m venv .venv-onnxruntime-gpu
	.venv-onnxruntime-gpu/bin/python -m pip $(INSTALL) -r requirements/onnxruntime_gpu.txt

test-onnxruntime-gpu: env-dev ## tests of the real onnxruntime-gpu, without a GPU (after make env-onnxruntime-gpu)
	$(BIN)/python -m pytest tests/onnxruntime_gpu

env-onnxruntime-tensorrt: named-index env-onnxruntime-gpu ## and what its TensorRT provider loads, from NVIDIA_INDEX=ADDRESS
	.venv-onnxruntime-gpu/bin/python -m pip $(INSTALL) \
	    --extra-index-url $(NVIDIA_INDEX) -r requirements/onnxruntime_tensorrt.txt

BUILT := $(addprefix results/engines/demo/gcnet_demo/,onnxruntime-fp32/status.json openvino-fp32/status.json)
bench-clock: env ## validate the clock on an idle machine, into results/benchmarks/ (90 minutes)
	$(BIN)/snakemake $(BUILT) results/data/demo/val/index.csv
	$(BIN)/python -m validation.clock.overhead
	$(BIN)/python -m validation.clock.planted_load
	$(BIN)/python -m validation.clock.planted_faults
	$(BIN)/python -m validation.clock.interval_coverage
	$(BIN)/python -m validation.clock.same_twice
	$(BIN)/python -m validation.clock.same_twice --apart
	$(BIN)/python -m validation.clock.truth
	-$(BIN)/python -m validation.clock.against_loadgen # needs make env-loadgen

RATES := $(addprefix results/engines/demo/gcnet_demo/openvino-fp32,/status.json -b4/status.json -s2/status.json)
bench-throughput: env ## compare our images per second with benchmark_app's and LoadGen's on an idle machine (10 minutes)
	$(BIN)/snakemake $(RATES) results/data/demo/val/index.csv --configfile config/studies/throughput.yaml
	$(BIN)/python -m validation.clock.against_benchmark_app
	-$(BIN)/python -m validation.clock.against_loadgen --scenario Offline \
	    --variants openvino-fp32,openvino-fp32-b4,openvino-fp32-s2 # needs make env-loadgen

bench-zoo: env   ## run a network of each family of PaddleSeg on seven CPU variants, into results/benchmarks/ (hours); ARGS="--package CLONE"
	$(BIN)/python -m validation.zoo.zoo $(ARGS)

bench-exports: env ## run sixteen networks that PyTorch exports on two engines, into results/benchmarks/ (an hour; after make env-exports)
	$(BIN)/python -m validation.exports.exports $(ARGS)

MEASURED := $(addprefix results/,predictions/demo_large/gcnet_demo_large/openvino-fp32/0/predictions.zip \
	engines/demo/gcnet_demo/openvino-fp32/status.json engines/demo/gcnet_demo/onnxruntime-fp32/status.json \
	data/demo/val/decoded.json)
bench-speed: compiled ## measure what runs outside the model on an idle machine, into results/benchmarks/ (5 minutes)
	$(BIN)/snakemake $(MEASURED)
	$(BIN)/python -m validation.speed.speed
	$(BIN)/python -m validation.speed.planning
	$(BIN)/python -m validation.speed.launchers --variant openvino-fp32
	$(BIN)/python -m validation.speed.launchers --variant onnxruntime-fp32

.PHONY: docs faults fuzz licences
faults: env-dev  ## try kills, full disks, damage, hostile input and load, and report losses (over half an hour, partly as root)
	$(BIN)/python tests/faults/run.py

fuzz: env-dev    ## fuzz each of our parsers for half a minute
	$(BIN)/python -m pip $(INSTALL) -r requirements/fuzz.txt
	$(BIN)/python tests/faults/fuzz.py

docs: env-dev    ## make every generated page; a test names stale ones
	$(BIN)/python tools/document.py

licences: env-dev ## list the licences of pinned dependencies in docs/develop/licences.md
	$(BIN)/python tools/licences.py

clean:           ## remove results, but keep environments
	rm -rf results/* .snakemake
	git checkout -- results/README.md
