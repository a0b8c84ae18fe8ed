"""The self-test of synchronisation, on a made device whose clock is the test's: no machine's load can disturb it."""

import numpy as np
import pytest
from segbench.timing import clock, synchronization


class Stream:
    """A session on a device that works `work_s` for a run while the host goes on; time passes only in here."""

    def __init__(self, work_s=0.005, launch_s=0.0001, copy_s=0.001, waits=False, synchronizes=True, runs_again=True):
        self.work_s, self.launch_s, self.copy_s = work_s, launch_s, copy_s
        self.waits, self.synchronizes, self.runs_again = waits, synchronizes, runs_again
        self.now = self.free = 0.0
        self.ran = False

    def upload(self, image):
        self.now += self.copy_s
        self.ran = False

    def execute(self):
        self.now += self.launch_s
        if self.runs_again or not self.ran:
            self.free = max(self.now, self.free) + self.work_s
        self.ran = True
        if self.waits:
            self._wait()

    def synchronize(self):
        if self.synchronizes:
            self._wait()
        if not self.runs_again:
            self.ran = False

    def download(self):
        self._wait()
        self.now += self.copy_s
        return np.zeros((2, 2), np.uint8)

    def _wait(self):
        self.now = max(self.now, self.free)


@pytest.fixture
def check(monkeypatch):
    """The self-test, its clock being the session's."""

    def run(session):
        def elapsed_s(call):
            start = session.now
            call()
            return session.now - start

        monkeypatch.setattr(clock, "elapsed_s", elapsed_s)
        return synchronization.check(session, np.zeros((1, 3, 2, 2), np.float32))

    return run


def test_a_synchronised_stream_is_right_and_the_fault_would_be_seen(check):
    found = check(Stream())
    assert found["ok"] and found["say"] == ""
    assert found["without_synchronizing"].endswith("% of the work was still to be waited for after synchronising")
    assert found["synchronized"]["run_s"] == pytest.approx(0.005, rel=0.1)
    assert found["synchronized"]["doubling"] == pytest.approx(2, rel=0.05)
    assert found["unsynchronized"]["left_share"] > 1


def test_a_session_that_does_not_wait_is_wrong(check):
    found = check(Stream(synchronizes=False))
    assert not found["ok"]
    assert found["say"].endswith("of the work was still to be waited for after synchronising")


def test_a_call_that_waits_by_itself_is_right_without_synchronising(check):
    """ONNX Runtime's, and every engine's on the CPU."""
    found = check(Stream(waits=True))
    assert found["ok"] and found["without_synchronizing"] == "the call itself waits for the device"


def test_a_session_that_does_not_do_the_work_twice_is_wrong(check):
    found = check(Stream(runs_again=False))
    assert (found["ok"], found["say"]) == (False, "twice the work took 1.00 times as long")


@pytest.mark.parametrize("work_s", [1e-5, 1.0])
def test_short_and_long_networks_are_judged_alike(check, work_s):
    assert check(Stream(work_s=work_s, launch_s=work_s / 50))["ok"]
    assert not check(Stream(work_s=work_s, launch_s=work_s / 50, synchronizes=False))["ok"]
