"""One CPU per physical core, from made sysfs trees; and the control group's quota, made and real."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from segbench.machine import cgroup, topology

SCRIPTS = Path(__file__).parents[2] / "workflow_scripts"
REAL_GROUPS = [Path("/sys/fs/cgroup/cpu"), Path("/sys/fs/cgroup")]


def made(folder: Path, cores: list[tuple[tuple[int, ...], int, int]]) -> list[topology.Cpu]:
    """A sysfs tree of cores, each (its CPUs, socket, highest kHz), and what is read from it."""
    numbers = []
    for cpus, package, speed in cores:
        for number in cpus:
            cpu = folder / f"cpu{number}"
            (cpu / "topology").mkdir(parents=True)
            (cpu / "cpufreq").mkdir()
            (cpu / f"node{package}").mkdir()
            (cpu / "topology" / "thread_siblings_list").write_text(",".join(map(str, cpus)) + "\n")
            (cpu / "topology" / "physical_package_id").write_text(f"{package}\n")
            (cpu / "cpufreq" / "cpuinfo_max_freq").write_text(f"{speed}\n")
            numbers.append(number)
    return topology.read_cpus(numbers, folder)


APART = [((i, i + 16), 0, 3000) for i in range(16)]
SIDE_BY_SIDE = [((2 * i, 2 * i + 1), 0, 3000) for i in range(16)]
TWO_SOCKETS = [((2 * i, 2 * i + 1), i // 16, 3000) for i in range(32)]
IN_TURN = [((i, i + 8), i % 2, 3000) for i in range(8)]
HYBRID = [((2 * i, 2 * i + 1), 0, 5500 - 100 * (i > 1)) for i in range(8)] + [((i,), 0, 3900) for i in range(16, 32)]


@pytest.mark.parametrize(
    ("cores", "threads", "pinned"),
    [
        pytest.param(APART, 16, list(range(16)), id="siblings apart"),
        pytest.param(SIDE_BY_SIDE, 16, list(range(0, 32, 2)), id="siblings side by side"),
        pytest.param(TWO_SOCKETS, 16, list(range(0, 32, 2)), id="two sockets"),
        pytest.param(IN_TURN, 4, [0, 2, 4, 6], id="sockets in turn"),
        pytest.param(HYBRID, 8, list(range(0, 16, 2)), id="fast and slow cores"),
        pytest.param([((0,), 0, 3000)], 1, [0], id="one core"),
        pytest.param([((0, 1), 0, 3000)], 1, [0], id="one core with two threads"),
    ],
)
def test_each_physical_core_is_used_once(tmp_path, cores, threads, pinned):
    cpus = made(tmp_path, cores)
    assert topology.default_threads(cpus, None) == threads
    assert topology.cores(cpus)[:threads] == pinned


def test_more_threads_than_a_socket_has_cores_take_the_next_socket(tmp_path):
    assert topology.cores(made(tmp_path, TWO_SOCKETS)) == list(range(0, 64, 2))


def test_slow_cores_come_last(tmp_path):
    assert topology.cores(made(tmp_path, HYBRID))[8:] == list(range(16, 32))


def test_an_affinity_mask_without_a_cores_first_cpu_keeps_the_core(tmp_path):
    made(tmp_path, SIDE_BY_SIDE)
    assert topology.cores(topology.read_cpus([1, 2, 3, 5], tmp_path)) == [1, 2, 5]


def test_a_kernel_that_tells_no_topology_has_a_core_per_cpu(tmp_path):
    assert topology.cores(topology.read_cpus([0, 1, 2], tmp_path)) == [0, 1, 2]


@pytest.mark.parametrize(("quota", "threads"), [(None, 16), (2.5, 2), (0.5, 1), (64.0, 16)])
def test_threads_stay_within_the_quota(tmp_path, quota, threads):
    assert topology.default_threads(made(tmp_path, APART), quota) == threads


def group(root: Path, path: str, **files: str) -> None:
    folder = root / path
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("_", ".", 1)).write_text(text)


def test_the_least_quota_of_the_groups_above_counts(tmp_path):
    membership = tmp_path / "membership"
    membership.write_text("0::/pods/one\n")
    group(tmp_path / "fs", "pods/one", cpu_max="max 100000\n", cpu_stat="nr_throttled 0\n")
    group(tmp_path / "fs", "pods", cpu_max="150000 100000\n", cpu_stat="nr_throttled 7\nthrottled_usec 2500000\n")
    assert cgroup.cpu_quota(tmp_path / "fs", membership) == 1.5
    assert cgroup.throttled(tmp_path / "fs", membership) == (7, pytest.approx(2.5))


def test_a_container_sees_its_own_group_where_the_path_is_the_hosts(tmp_path):
    membership = tmp_path / "membership"
    membership.write_text("0::/../../kubepods/pod7\n")
    group(tmp_path / "fs", "", cpu_max="200000 100000\n", cpu_stat="nr_throttled 1\nthrottled_usec 10\n")
    assert cgroup.cpu_quota(tmp_path / "fs", membership) == 2.0


def test_no_quota_is_no_limit_and_has_no_throttling(tmp_path):
    membership = tmp_path / "membership"
    membership.write_text("4:cpu,cpuacct:/\n0::/\n")
    group(tmp_path / "fs", "cpu,cpuacct", **{"cpu_cfs_quota_us": "-1\n", "cpu_cfs_period_us": "100000\n"})
    assert cgroup.cpu_quota(tmp_path / "fs", membership) is None
    assert cgroup.throttled(tmp_path / "fs", membership) is None


@pytest.fixture
def one_cpu():
    """A real control group with one CPU's time; skipped where this machine lets nobody make one."""
    for root in REAL_GROUPS:
        folder = root / f"segbench-test-{os.getpid()}"
        try:
            folder.mkdir()
            if (folder / "cpu.cfs_quota_us").exists():
                (folder / "cpu.cfs_quota_us").write_text("100000")
            else:
                (folder / "cpu.max").write_text("100000 100000")
        except OSError:
            if folder.exists():
                folder.rmdir()
            continue
        yield folder
        for _ in range(50):  # the group empties a moment after its last process has ended
            try:
                folder.rmdir()
                return
            except OSError:
                time.sleep(0.1)
        return
    pytest.skip("control groups are not writable here")


BUSY = """
import os, sys, threading, time
sys.path.insert(0, {scripts!r})
from pathlib import Path
Path({group!r}, "cgroup.procs").write_text(str(os.getpid()))
from segbench.machine import cgroup, topology
facts = cgroup.cpu_quota(), topology.default_threads(topology.read_cpus(), cgroup.cpu_quota())
limit = Path({group!r}, "cpu.cfs_quota_us")  # low enough that a busy machine cannot hide it
limit.write_text("20000") if limit.exists() else Path({group!r}, "cpu.max").write_text("20000 100000")
before = cgroup.throttled()
for _ in range({processes}):
    if os.fork() == 0:
        end = time.monotonic() + 1
        while time.monotonic() < end:
            pass
        os._exit(0)
for _ in range({processes}):
    os.wait()
after = cgroup.throttled()
print(*facts, after[0] - before[0])
"""


def test_a_real_group_with_one_cpu_gets_one_thread_and_tells_when_it_is_stopped(one_cpu):
    script = BUSY.format(scripts=str(SCRIPTS), group=str(one_cpu), processes=2)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    quota, threads, throttled = done.stdout.split()
    assert (float(quota), int(threads)) == (1.0, 1)
    assert int(throttled) > 0
