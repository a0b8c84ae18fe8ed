#!/usr/bin/env bash
# Stop what up.sh STATE_DIR started, by its process ids, and remove what it wrote to /etc/slurm.
set -uo pipefail
dir=$1
for file in "$dir/slurmd.pid" "$dir/slurmctld.pid" "$dir/munge/pid"; do
    [ -s "$file" ] || continue
    pid=$(cat "$file")
    kill "$pid"
    for _ in $(seq 50); do kill -0 "$pid" 2> /dev/null || break; sleep 0.1; done
done
if grep -q '^ClusterName=segbench-test$' /etc/slurm/slurm.conf 2> /dev/null; then
    rm -f /etc/slurm/slurm.conf /etc/slurm/gres.conf
fi
exit 0
