#!/usr/bin/env bash
# What the container's recipes run, in the project's folder:
#   install.sh packages       print the Debian packages that are needed
#   install.sh system         install them (as root)
#   install.sh ENVIRONMENT    cpu, gpu, onnxruntime-gpu or rtx: .venv, and what the engines of that name need, by `make`
# CI runs it in a clean folder (tests/workflow/test_container.py), so that only the base image is untried there.
set -euo pipefail
packages="ca-certificates git libgomp1 make python3 python3-venv" # Debian 12's Python is 3.11

case "${1:-}" in
    packages) echo "$packages" ;;
    system)
        apt-get update -qq
        # shellcheck disable=SC2086  the list is meant to be split
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $packages
        rm -rf /var/lib/apt/lists/*
        ;;
    cpu) make env ;;
    gpu) make env env-gpu ;;
    onnxruntime-gpu) make env env-onnxruntime-gpu ;;
    rtx) make env env-rtx ;;
    kubernetes) # profiles/kubernetes: the storage that its jobs share
        make env
        .venv/bin/python -m pip install --quiet --disable-pip-version-check snakemake-storage-plugin-s3==0.3.6
        ;;
    *)
        echo "error: install.sh: '${1:-}' is none of packages, system, cpu, gpu, onnxruntime-gpu, rtx, kubernetes" >&2
        exit 2
        ;;
esac
