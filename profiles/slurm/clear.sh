#!/usr/bin/env bash
# After a Snakemake that was killed: cancel the jobs that it left in Slurm, and wait until they are gone. To be run in
# the workflow's folder before the next start, which would else make the same files beside them.
set -euo pipefail
left() { squeue --me --noheader --format '%A %Z' | while read -r job folder; do
    if [ "$folder" = "$PWD" ]; then echo "$job"; fi
done; }
left | xargs --no-run-if-empty scancel
while [ -n "$(left)" ]; do sleep 1; done
