"""What is noticed beside a timed stretch, on the CPU and, through a stand-in for NVML, on a GPU."""

import os
from types import SimpleNamespace

import pytest
from segbench.machine import nvml
from segbench.machine.cpu import this_machine
from segbench.machine.environment import config_hash, environment_record
from segbench.timing import disturbance
from segbench.timing.disturbance import Disturbance, Watch


class NVML:
    """Answers as nvidia-ml-py does; what is None is refused, as for a card that does not have it."""

    class NVMLError(Exception):
        """Its own."""

    def __init__(self, reasons=0, processes=1, held_ns=(0, 0), driver=True):
        self.reasons, self.processes, self.held_ns, self.driver = reasons, processes, held_ns, driver

    def nvmlInit(self):
        if not self.driver:
            raise self.NVMLError

    def nvmlDeviceGetHandleByIndex(self, index):
        return f"device {index}"

    def nvmlDeviceGetHandleByUUID(self, uuid):
        return f"device {uuid}"

    def nvmlDeviceGetClockInfo(self, device, kind):
        return {1: 1410, 2: 1593}[kind]

    nvmlDeviceGetMaxClockInfo = nvmlDeviceGetClockInfo

    def nvmlDeviceGetTemperature(self, device, sensor):
        return 61

    def nvmlDeviceGetCurrentClocksEventReasons(self, device):
        return self._or_refuse(self.reasons)

    def nvmlDeviceGetViolationStatus(self, device, policy):
        return SimpleNamespace(violationTime=self._or_refuse(self.held_ns)[policy])

    def nvmlDeviceGetComputeRunningProcesses(self, device):
        return [SimpleNamespace(pid=number) for number in range(self._or_refuse(self.processes))]

    def nvmlDeviceGetName(self, device):
        return "Made GPU"

    def nvmlDeviceGetMemoryInfo(self, device):
        return SimpleNamespace(total=16 * 2**30, used=3 * 2**30)

    def nvmlDeviceGetPowerUsage(self, device):
        return 250_000  # mW

    def nvmlDeviceGetEnforcedPowerLimit(self, device):
        raise self.NVMLError

    def _or_refuse(self, value):
        if value is None:
            raise self.NVMLError
        return value


def test_gpu_state_is_read():
    assert nvml.read(NVML(reasons=0x44, processes=3, held_ns=(2_000_000_000, 1))) == nvml.GPUState(
        sm_mhz=1410,
        memory_mhz=1593,
        temperature_c=61,
        reasons=("power cap", "thermal (hardware)"),
        other_processes=2,
        held_back_s=pytest.approx(2.000000001),
        power_w=250.0,
        memory_used_bytes=3 * 2**30,
    )


def test_idle_gpu_is_not_throttled():
    assert nvml.read(NVML(reasons=0x1)).reasons == ()


def test_what_a_card_does_not_tell_is_none():
    state = nvml.read(NVML(reasons=None, processes=None, held_ns=None))
    assert (state.reasons, state.other_processes, state.held_back_s) == (None, None, None)


def test_without_a_driver_nothing_is_told():
    assert nvml.read(NVML(driver=False)) is None
    assert nvml.facts(NVML(driver=False)) is None


def test_facts_of_a_gpu():
    facts = nvml.facts(NVML())
    assert (facts["name"], facts["memory_gib"], facts["power_limit_w"]) == ("Made GPU", 16, None)


def watched(*cards):
    """What a watch says between two readings."""
    states = iter(cards)
    return Watch(1, lambda: nvml.read(next(states))).stop()


def quiet(seen: Disturbance) -> bool:
    """Apart from what this machine's own CPU did."""
    return not seen.gpu_reasons and not seen.gpu_other_processes and not (seen.gpu_held_back_share or 0) > 0.01


@pytest.mark.parametrize(
    ("after", "expected"),
    [(NVML(), False), (NVML(reasons=0x8), True), (NVML(held_ns=(0, 10**12)), True), (NVML(reasons=0x1), False)],
)
def test_throttled_gpu_is_noticed(after, expected):
    seen = watched(NVML(), after)
    assert (seen.throttled, quiet(seen)) == (expected, not expected)


def test_another_process_on_the_gpu_counts_as_contention():
    assert watched(NVML(), NVML(processes=2)).contended(allowed_share=1)


def test_engine_on_the_cpu_has_no_facts_of_a_gpu():
    seen = Watch(1).stop()
    assert (seen.gpu_sm_mhz, seen.gpu_reasons, seen.gpu_other_processes) == (None, None, None)


def test_share_of_others_is_bounded_by_the_allowed_one():
    seen = Disturbance(1.0, 1.0, 0.04, 0.02, 0.0, None, None)
    assert seen.contended(0.05) and not seen.contended(0.06)


def test_environment_record_has_what_a_figure_depends_on():
    record = environment_record(this_machine(), 2)
    wanted = {"hardware_id", "machine", "gpu", "system", "software", "threads", "governor", "git_commit"}
    assert wanted <= record.keys()


def test_config_hash_is_of_the_settings_alone():
    request = {"variant": {"name": "a"}, "options": {}, "timing": {"seed": 0}, "threads": 2, "round": 1}
    assert config_hash(request) == config_hash({**request, "round": 2})
    assert config_hash(request) != config_hash({**request, "threads": 1})


def test_helpers_of_a_timed_process_are_not_others(monkeypatch):
    busy, used = iter([100.0, 110.0] * 2), {7: iter([1.0, 11.0])}
    monkeypatch.setattr(disturbance, "_system_times", lambda: (next(busy), 0.0))
    monkeypatch.setattr(disturbance, "_cpu_s_of", lambda process: next(used[process]))
    assert Watch(1, helpers=[7]).stop().other_share == 0
    assert Watch(1).stop().other_share > 0


def test_cpu_time_of_another_process_is_read():
    assert disturbance._cpu_s_of(os.getpid()) > 0
    assert disturbance._cpu_s_of(2**30) == 0
