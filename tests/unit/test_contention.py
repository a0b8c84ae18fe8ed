"""What is noticed beside a timed stretch, on the CPU and, through a stand-in for NVML, on a GPU."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.nvml import GPU, NVML
from segbench.machine import nvml
from segbench.machine.cpu import this_machine
from segbench.machine.environment import config_hash, environment_record
from segbench.timing import disturbance
from segbench.timing.disturbance import Disturbance, Watch

SCRIPTS = Path(__file__).parents[2] / "workflow_scripts"


def test_gpu_state_is_read():
    card = GPU(reasons=0x44, processes=3, held_ns=(2_000_000_000, 1), busy_percent=7)
    assert nvml.read(NVML(card)) == nvml.GPUState(
        sm_mhz=1410,
        memory_mhz=1593,
        temperature_c=61,
        reasons=("power cap", "thermal (hardware)"),
        processes=3,
        held_back_s=pytest.approx(1e-9),
        power_capped_s=pytest.approx(2.0),
        power_w=250.0,
        memory_used_bytes=3 * 2**30,
        busy_share=0.07,
    )


def test_idle_gpu_is_not_throttled():
    assert nvml.read(NVML(GPU(reasons=0x1))).reasons == ()


def test_what_a_card_does_not_tell_is_none():
    state = nvml.read(NVML(GPU(reasons=None, processes=None, held_ns=None, busy_percent=None)))
    assert (state.reasons, state.processes, state.held_back_s, state.busy_share) == (None, None, None, None)


def test_without_a_driver_nothing_is_told():
    assert nvml.read(NVML(driver=False)) is None
    assert nvml.facts(NVML(driver=False)) is None


def test_facts_of_a_gpu():
    facts = nvml.facts(NVML())
    assert (facts["name"], facts["memory_gib"], facts["power_limit_w"]) == ("Made GPU", 16, None)


def watched(before: GPU, after: GPU, resident: GPU | None = None) -> Disturbance:
    """What a watch says between two readings; `resident`: the GPU before the engine was opened."""
    states = iter((before, after))
    earlier = None if resident is None else nvml.read(NVML(resident))
    return Watch(1, lambda: nvml.read(NVML(next(states))), resident=earlier).stop()


def of_gpu(seen: Disturbance) -> Disturbance:
    """The same without what this machine's own CPU did."""
    return Disturbance(seen.wall_s, 1, 0, 0, 0, 0, None, **{k: v for k, v in vars(seen).items() if k[:4] == "gpu_"})


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        (GPU(), False),
        (GPU(reasons=0x8), True),
        (GPU(held_ns=(0, 10**12)), True),
        (GPU(reasons=0x1), False),
        (GPU(reasons=0x4 | 0x20), True),
    ],
)
def test_throttled_gpu_is_noticed(after, expected):
    assert of_gpu(watched(GPU(), after)).throttled == expected


def test_a_card_at_its_power_cap_is_not_throttled_but_noted():
    """A T4 under FP32 convolutions, in every round: nothing would be won by running one again."""
    seen = of_gpu(watched(GPU("T4", reasons=0x4), GPU("T4", reasons=0x4, held_ns=(10**12, 0))))
    assert not seen.throttled
    assert seen.gpu_reasons == ("power cap",) and seen.gpu_power_capped_share > 0.5


def test_another_process_on_the_gpu_counts_as_contention():
    assert watched(GPU(), GPU(processes=2)).contended(allowed_share=1)


def test_processes_that_were_there_before_and_idle_are_no_contention():
    """A desktop, or an MPS server: with this process there are three on the GPU."""
    desktop = GPU(processes=2)
    assert not of_gpu(watched(GPU(processes=3), GPU(processes=3), resident=desktop)).contended(0.05)
    assert of_gpu(watched(GPU(processes=3), GPU(processes=4), resident=desktop)).contended(0.05)


def test_a_gpu_that_was_busy_before_is_contended():
    training = GPU(processes=1, busy_percent=90)
    assert of_gpu(watched(GPU(processes=2), GPU(processes=2), resident=training)).contended(0.05)


def test_engine_on_the_cpu_has_no_facts_of_a_gpu():
    seen = Watch(1).stop()
    assert (seen.gpu_sm_mhz, seen.gpu_reasons, seen.gpu_other_processes) == (None, None, None)


def test_share_of_others_is_bounded_by_the_allowed_one():
    seen = Disturbance(1.0, 1.0, 0.04, 0.02, 0.0, None, None)
    assert seen.contended(0.05) and not seen.contended(0.06)


def test_environment_record_has_what_a_figure_depends_on():
    record = environment_record(this_machine(), 2)
    wanted = {"hardware_id", "machine", "gpu", "system", "software", "threads", "settings", "variables", "git_commit"}
    assert wanted <= record.keys()


def test_config_hash_is_of_the_settings_alone():
    request = {"variant": {"name": "a"}, "options": {}, "timing": {"seed": 0}, "threads": 2, "round": 1}
    assert config_hash(request) == config_hash({**request, "round": 2})
    assert config_hash(request) != config_hash({**request, "threads": 1})


class MadeCounters(disturbance.Counters):
    """A machine of `cpus` CPUs in files: seconds busy and stolen by CPU, and the process's threads."""

    def __init__(self, folder: Path, cpus: int, pinned: list[int], siblings: dict[int, str] | None = None) -> None:
        for cpu in range(cpus):
            topology = folder / f"cpu{cpu}" / "topology"
            topology.mkdir(parents=True)
            (topology / "thread_siblings_list").write_text((siblings or {}).get(cpu, str(cpu)))
        super().__init__(pinned, folder, folder)
        self.folder, self.cpus = folder, cpus
        self.set(0.0, {}, {})

    def set(
        self, wall_s: float, busy_s: dict[int, float], threads: dict[int, tuple[float, float, int]], **more
    ) -> None:
        """What the next reading says; `threads`: seconds run, waited, and the CPU, by thread."""
        lines = [
            f"cpu{n} {round(busy_s.get(n, 0) * 100)} 0 0 0 0 0 0 {more.get('steal', {}).get(n, 0)}"
            for n in range(self.cpus)
        ]
        (self.folder / "stat").write_text("cpu 0\n" + "\n".join(lines) + "\n")
        for thread, (ran, waited, cpu) in threads.items():
            task = self.folder / "self" / "task" / str(thread)
            task.mkdir(parents=True, exist_ok=True)
            (task / "schedstat").write_text(f"{round(ran * 1e9)} {round(waited * 1e9)} 1\n")
            (task / "stat").write_text(f"{thread} (a) b) " + " ".join(["R", *["0"] * 35, str(cpu)]))
        self._facts = {
            "wall_s": wall_s,
            "own_cpu_s": sum(ran for ran, _, _ in threads.values()),
            **more.get("facts", {}),
        }

    def read(self, helpers=()):
        return dataclasses.replace(super().read(helpers), **self._facts)


def seen(counters: MadeCounters, threads: int, *now, **more) -> Disturbance:
    watch = Watch(threads, counters=counters)
    counters.set(*now, **more)
    return watch.stop()


def test_a_process_on_one_of_64_cpus_is_flagged_and_named(tmp_path):
    counters = MadeCounters(tmp_path, 64, list(range(32)))
    threads = {thread: (0.5 if thread == 7 else 1.0, 0.5 if thread == 7 else 0.0, thread) for thread in range(32)}
    found = seen(counters, 32, 1.0, dict.fromkeys(range(32), 1.0), threads)
    assert (found.contended(0.05), found.other_cpu) == (True, 7)
    assert found.other_share == pytest.approx(0.5)
    assert found.run_delay_share == pytest.approx(0.5)


def test_processes_on_cpus_that_are_not_ours_disturb_nothing(tmp_path):
    counters = MadeCounters(tmp_path, 64, [0, 1])
    found = seen(counters, 2, 1.0, dict.fromkeys(range(64), 1.0), {1: (1.0, 0.0, 0), 2: (1.0, 0.0, 1)})
    assert (found.contended(0.05), found.other_share) == (False, 0)


def test_a_process_on_a_sibling_of_a_pinned_cpu_is_flagged_and_named(tmp_path):
    counters = MadeCounters(tmp_path, 4, [0, 2], {0: "0-1", 1: "0-1", 2: "2-3", 3: "2-3"})
    found = seen(counters, 2, 1.0, {0: 1.0, 2: 1.0, 3: 0.4}, {1: (1.0, 0.0, 0), 2: (1.0, 0.0, 2)})
    assert (found.contended(0.05), found.sibling_cpu, found.other_share) == (True, 3, 0)


def test_threads_that_change_their_cpu_are_not_taken_for_others(tmp_path):
    counters = MadeCounters(tmp_path, 2, [0, 1])
    found = seen(counters, 2, 1.0, {0: 1.0, 1: 1.0}, {1: (1.0, 0.0, 0), 2: (1.0, 0.0, 0)})
    assert (found.contended(0.05), found.other_share) == (False, 0)


@pytest.mark.parametrize(("ticks", "expected"), [(2, False), (3, True)])
def test_a_verdict_never_rests_on_fewer_than_three_ticks(tmp_path, ticks, expected):
    counters = MadeCounters(tmp_path, 2, [0, 1])
    busy = {0: 0.1 + ticks / 100, 1: 0.1}
    found = seen(counters, 2, 0.1, busy, {1: (0.1, 0.0, 0), 2: (0.1, 0.0, 1)})
    assert found.other_share == pytest.approx(ticks / 10)
    assert found.contended(0.05) is expected


def test_threads_that_wait_for_each_other_are_no_disturbance(tmp_path):
    counters = MadeCounters(tmp_path, 1, [0])
    found = seen(counters, 2, 1.0, {0: 1.0}, {1: (0.5, 0.5, 0), 2: (0.5, 0.5, 0)})
    assert (found.contended(0.05), found.run_delay_share) == (False, None)


def test_time_stolen_from_a_pinned_cpu_is_flagged(tmp_path):
    counters = MadeCounters(tmp_path, 2, [0, 1])
    found = seen(counters, 2, 1.0, {0: 0.9, 1: 1.0}, {1: (0.9, 0.0, 0), 2: (1.0, 0.0, 1)}, steal={0: 10})
    assert (found.contended(0.05), found.steal_share) == (True, pytest.approx(0.1))


def test_a_used_up_quota_counts_as_throttled(tmp_path):
    counters = MadeCounters(tmp_path, 1, [0])
    counters.set(0.0, {}, {}, facts={"quota": (3, 0.5)})
    found = seen(counters, 1, 1.0, {0: 0.3}, {1: (0.3, 0.0, 0)}, facts={"quota": (5, 1.2)})
    assert (found.throttled, found.quota_throttles, found.quota_throttled_s) == (True, 2, pytest.approx(0.7))


def test_what_could_not_be_read_is_no_verdict():
    unread = Disturbance(1.0, 1.0, None, None, 0.0, None, None)
    assert (unread.contended(0.05), unread.throttled) == (None, None)


def test_helpers_of_a_timed_process_are_not_others(tmp_path):
    counters = MadeCounters(tmp_path, 1, [0])
    assert seen(counters, 1, 1.0, {0: 1.0}, {1: (0.5, 0.0, 0)}, facts={"helpers_cpu_s": 0.5}).other_share == 0


def test_cpu_time_of_another_process_is_read():
    assert disturbance._cpu_s_of(os.getpid()) > 0
    assert disturbance._cpu_s_of(2**30) == 0


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two CPUs")
def test_a_real_hog_on_a_pinned_cpu_is_flagged_and_named():
    """On CPUs that others use too, the hog's must still come out as the one that is taken most."""
    second = sorted(os.sched_getaffinity(0))[1]
    script = (
        "import os, sys, time; sys.path.insert(0, sys.argv[1])\n"
        f"os.sched_setaffinity(0, {{{second}}})\n"
        "from segbench.timing.disturbance import Watch\n"
        "watch, end = Watch(1), time.monotonic() + 1.5\n"
        "while time.monotonic() < end: pass\n"
        "found = watch.stop(); print(found.contended(0.05), found.other_cpu)\n"
    )
    hog = f"import os\nos.sched_setaffinity(0, {{{second}}})\nwhile True: pass"
    with subprocess.Popen([sys.executable, "-c", hog]) as running:
        done = subprocess.run([sys.executable, "-c", script, str(SCRIPTS)], capture_output=True, text=True, check=True)
        running.kill()
    assert done.stdout.split() == ["True", str(second)]


def ids_in(variables: dict[str, str], threads: int = 2) -> tuple[str, str]:
    script = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from segbench.machine.cpu import this_machine\n"
        "from segbench.machine.environment import environment_record\n"
        "record = environment_record(this_machine(), int(sys.argv[2]))\n"
        "print(record['hardware_id'], record['software_id'])\n"
    )
    command = [sys.executable, "-c", script, str(SCRIPTS), str(threads)]
    done = subprocess.run(command, env={**os.environ, **variables}, capture_output=True, text=True, check=True)
    hardware, software = done.stdout.split()
    return hardware, software


def test_a_variable_that_slows_an_engine_changes_the_software_id_alone():
    plain, slowed = ids_in({}), ids_in({"ONEDNN_MAX_CPU_ISA": "AVX2"})
    assert plain[0] == slowed[0] and plain[1] != slowed[1]
    assert ids_in({"EDITOR": "vi"}) == plain
    assert ids_in({}, threads=1)[1] != plain[1]
