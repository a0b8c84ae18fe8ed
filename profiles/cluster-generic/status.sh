#!/usr/bin/env bash
# How a job of Slurm stands, as the executor wants it: running, success or failed. usage: status.sh JOB_ID
state=$(scontrol show job --oneliner "$1" 2> /dev/null | grep -o 'JobState=[A-Z_]*' | cut -d= -f2)
case "${state:-$(sacct --noheader --allocations --parsable2 --format State --jobs "$1" 2> /dev/null | cut -d' ' -f1)}" in
    COMPLETED) echo success ;;
    PENDING | CONFIGURING | RUNNING | COMPLETING | SUSPENDED | REQUEUED | RESIZING) echo running ;;
    *) echo failed ;;
esac
