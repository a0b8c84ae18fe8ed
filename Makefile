# Everything runs in .venv, made from the pinned requirements; nothing needs root.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.complete

.PHONY: help benchmark quick test test-slow test-slurm env env-cluster retry clean lint env-loadgen env-peers bench-clock
.PHONY: bench-speed accept-demo-models
help:            ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 20

benchmark: env   ## run the default: leaves results/report.html and results/table.md
	$(BIN)/snakemake

quick: env       ## the same with two models, three variants, few images
	$(BIN)/snakemake --configfile config/quick.yaml

test: env-dev    ## all tests that need no root
	$(BIN)/python -m pytest

test-slow: env-dev ## the full-size architectures on all engines: minutes
	$(BIN)/python -m pytest -m "slow and not slurm"

test-slurm: env-dev ## through a real Slurm that is set up on this machine; as root, writes /etc/slurm: 6 minutes
	$(BIN)/python -m pytest -m "slurm and not slow"

env-cluster: env ## the plugin for profiles/cluster-generic
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements/cluster.txt

lint: env-dev    ## what `make test` checks of style and types, alone
	$(BIN)/python -m pytest tests/unit/test_style.py

accept-demo-models: env ## copy what `snakemake demo_models` trained to resources/, and its SHA-256 to config/models.yaml
	$(BIN)/python workflow_scripts/accept_demo_models.py

retry: env       ## forget the rows that are not ok, and run again; ARGS="--configfile …" for another run
	$(BIN)/python workflow_scripts/retry.py
	$(BIN)/snakemake $(ARGS)

env: $(STAMP)    ## the environment of the workflow and the CPU engines

# Bytecode is compiled here: without it every job would compile its imports again where writing it is switched off.
$(STAMP): requirements/base.txt requirements/no-deps.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements/base.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -r requirements/no-deps.txt
	$(BIN)/python -m compileall -q $(VENV)/lib || true
	touch $@

.PHONY: env-dev
env-dev: env $(VENV)/.complete-dev
$(VENV)/.complete-dev: requirements/dev.txt requirements/dev-no-deps.txt $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements/dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -r requirements/dev-no-deps.txt
	touch $@

env-loadgen: env ## MLCommons LoadGen, an independent clock: snakemake results/loadgen/DATASET/MODEL/VARIANT.json
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements/loadgen.txt

PEERS := .venv-peers/bin/python -m pip install --quiet --disable-pip-version-check
env-peers: env   ## the packages that results/peers.md measures beside, in .venv-peers (1.6 GB and more)
	$(PYTHON) -m venv .venv-peers
	$(PEERS) --constraint requirements/base.txt -r requirements/peers.txt
	$(PEERS) --no-deps --constraint requirements/dev-no-deps.txt cityscapesscripts
	$(PEERS) --no-deps -r requirements/no-deps.txt

BUILT := $(addprefix results/engines/demo/gcnet_demo/,onnxruntime-fp32/status.json openvino-fp32/status.json)
bench-clock: env ## the clock's own figures, on a machine with nothing else to do: 20 minutes; results/benchmarks/
	$(BIN)/snakemake $(BUILT) results/data/demo/val/index.csv
	$(BIN)/python benchmarks/overhead.py
	$(BIN)/python benchmarks/planted_load.py
	$(BIN)/python benchmarks/planted_faults.py
	$(BIN)/python benchmarks/interval_coverage.py
	$(BIN)/python benchmarks/same_twice.py
	-$(BIN)/python benchmarks/against_loadgen.py # wants make env-loadgen

MEASURED := $(addprefix results/,runs/demo_large/gcnet_demo_large/openvino-fp32/1/0/predictions.zip \
	engines/demo/gcnet_demo/openvino-fp32/status.json data/demo/val/decoded.json)
bench-speed: env ## what runs outside the model, on a machine with nothing else to do: 5 minutes; results/benchmarks/
	$(BIN)/snakemake $(MEASURED)
	$(BIN)/python benchmarks/speed.py
	$(BIN)/python benchmarks/planning.py

clean:           ## remove results; environments stay
	rm -rf results/* .snakemake
	git checkout -- results/README.md
