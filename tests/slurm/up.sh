#!/usr/bin/env bash
# Start a real one-node Slurm on this machine, as root, without systemd or cgroups: up.sh STATE_DIR (stop it: down.sh).
# A requeued job starts when its credential has expired: cred_expire.
# Its two GPUs are stand-ins that no program can use: Slurm hands them out and keeps the books, which is what is tested.
# The configuration has to lie in /etc/slurm: Snakemake's job step strips SLURM_CONF from the environment.
set -euo pipefail
dir=$1
gpus=2
cpus=$(env -u OMP_NUM_THREADS -u OMP_THREAD_LIMIT nproc) # it would take them for a number of cores
memory_mb=$(awk '/MemTotal/ {print int($2 / 1024) - 256}' /proc/meminfo)
host=$(hostname -s)
if [ -s /etc/slurm/slurm.conf ] && ! grep -q '^ClusterName=segbench-test$' /etc/slurm/slurm.conf; then
    echo "/etc/slurm/slurm.conf is another cluster's: these tests would overwrite it" >&2
    exit 1
fi
mkdir -p "$dir"/{state,spool,log,munge} /etc/slurm
chmod 0755 "$dir"
chmod 0711 "$dir/munge"

# munge: a key and a socket of its own, so nothing of /etc/munge or /run is needed
head -c 1024 /dev/urandom > "$dir/munge/key"
chmod 0400 "$dir/munge/key"
munged --force --key-file="$dir/munge/key" --socket="$dir/munge/socket" \
    --pid-file="$dir/munge/pid" --log-file="$dir/munge/log" --seed-file="$dir/munge/seed"

cat > /etc/slurm/slurm.conf << CONF
ClusterName=segbench-test
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=$dir/munge/socket,cred_expire=20
CredType=cred/munge
SlurmctldPort=16817
SlurmdPort=16818
StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/spool
SlurmctldPidFile=$dir/slurmctld.pid
SlurmdPidFile=$dir/slurmd.pid
SlurmctldLogFile=$dir/log/slurmctld.log
SlurmdLogFile=$dir/log/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/filetxt
JobCompLoc=$dir/log/jobs.txt
SwitchType=switch/none
MpiDefault=none
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,bf_interval=1
MailProg=/bin/true
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
MinJobAge=3600
ReturnToService=2
KillWait=5
OverTimeLimit=0
JobRequeue=1
GresTypes=gpu
NodeName=$host NodeAddr=127.0.0.1 CPUs=$cpus Boards=1 SocketsPerBoard=1 CoresPerSocket=$cpus ThreadsPerCore=1 RealMemory=$memory_mb Gres=gpu:$gpus State=UNKNOWN
PartitionName=test Nodes=$host Default=YES MaxTime=INFINITE State=UP OverSubscribe=NO
CONF
# Slurm wants a device file per GPU; a count alone registers as none.
for number in $(seq 0 $((gpus - 1))); do
    [ -e "$dir/gpu$number" ] || mknod -m 666 "$dir/gpu$number" c 1 3
    echo "NodeName=$host Name=gpu File=$dir/gpu$number"
done > /etc/slurm/gres.conf

slurmctld -c
slurmd -c
for _ in $(seq 100); do
    if [ ! -e "$dir/slurmctld.pid" ]; then break; fi # it gave up
    if [ "$(sinfo -h -o %T 2> /dev/null || true)" = idle ]; then exit 0; fi
    sleep 0.2
done
echo "Slurm did not come up" >&2
tail -n 20 "$dir"/log/*.log >&2
exit 1
