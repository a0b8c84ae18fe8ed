"""A small workflow on a real Slurm: started, killed, gone on with; and what Slurm's own records say of it."""

from __future__ import annotations

import datetime
import os
import random
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import yaml

HERE = Path(__file__).parent
TIMED = ("infer", "infer_reference", "time_round", "time_round_control", "time_pair", "time_loadgen")
TERMINAL_S = 600  # a start that has not ended by then hangs


@dataclass
class Slurm:
    """A running Slurm whose files lie in `folder`."""

    folder: Path

    @classmethod
    def up(cls, folder: Path) -> Slurm:
        """Start it. Raises CalledProcessError when it does not come up."""
        slurm = cls(folder)
        try:
            subprocess.run([HERE / "up.sh", folder], check=True)
        except subprocess.CalledProcessError:
            slurm.down()
            raise
        return slurm

    def down(self) -> None:
        """Stop it."""
        subprocess.run([HERE / "down.sh", self.folder], check=True)

    def records(self) -> list[dict[str, str]]:
        """Every job that ran and ended, as Slurm's job completion plugin wrote it."""
        lines = (self.folder / "log" / "jobs.txt").read_text().splitlines()
        found = [dict(re.findall(r"(\w+)=(.*?)(?= \w+=|$)", line)) for line in lines]
        return [record for record in found if record["StartTime"] != "Unknown"]

    @staticmethod
    def gpus() -> dict[str, int]:
        """GPUs that jobs asked for, by job id; the records do not have them without a database behind Slurm."""
        jobs = _out("scontrol", "show", "jobs", "--oneliner").splitlines()
        found = [(re.search(r"JobId=(\d+)", job), re.search(r"TresPer\w+=\S*gpu:(\d+)", job)) for job in jobs]
        return {job[1]: int(gpus[1]) for job, gpus in found if job and gpus}

    @staticmethod
    def running() -> list[str]:
        """Ids of the jobs that run now."""
        return _out("squeue", "--noheader", "--states=RUNNING", "--format=%A").split()


@dataclass
class Run:
    """A workflow in `folder`, submitted to Slurm by profiles/slurm."""

    folder: Path
    arguments: tuple[str, ...] = ()
    printed: str = ""
    rules: dict[str, str] = field(default_factory=dict)  # of every Slurm job

    def start(self) -> None:
        """Start Snakemake; where it was killed before, clear up first, as docs/use/cluster.md says."""
        subprocess.run(["profiles/slurm/clear.sh"], cwd=self.folder, check=True)
        command = [sys.executable, "-m", "snakemake", "--configfile", "overlay.yaml"]
        subprocess.run([*command, "--unlock"], cwd=self.folder, check=True, capture_output=True)
        cores = len(os.sched_getaffinity(0))  # more is never to be had, and waited for without end
        profile = yaml.safe_load((self.folder / "profiles/slurm/config.yaml").read_text())
        command += [
            "--workflow-profile",
            "profiles/slurm",
            "--set-threads",
            *(f"{rule}={cores}" for rule in profile["set-threads"]),
        ]
        command += ["--default-resources", "mem_mb=1000", "runtime=20", "slurm_partition=test"]
        command += ["--slurm-no-account", "--slurm-status-command", "squeue"]
        command += ["--slurm-init-seconds-before-status-checks", "2", "--latency-wait", "5", *self.arguments]
        self._log = open(self.folder / "snakemake.log", "w+")  # noqa: SIM115  it stays open while Snakemake writes
        self.process = subprocess.Popen(command, cwd=self.folder, stdout=self._log, stderr=subprocess.STDOUT)

    def wait(self, timeout_s: float = TERMINAL_S) -> int:
        """Wait for the end; returns the exit status."""
        code = self.process.wait(timeout_s)
        self._read()
        return code

    def kill(self) -> None:
        """End Snakemake by SIGKILL: nothing of it can clear up."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self._read()

    @property
    def ended(self) -> bool:
        """Whether Snakemake has ended."""
        return self.process.poll() is not None

    def _read(self) -> None:
        self._log.seek(0)
        text = self._log.read()
        self._log.close()
        self.printed += text
        submitted = re.findall(r"SLURM jobid (\d+) \(log: .*?slurm_logs/rule_(\w+)/", text)
        self.rules.update(submitted)


def interrupt(run: Run, kind: str, chooser: random.Random) -> str:
    """Wait a random while, then do one of the things that end a job or the controller. Returns what was done.

    `controller`: SIGKILL to Snakemake, and start again; `job`: SIGKILL to a running job's processes; `requeue`: Slurm
    itself stops a running job and starts it again, as it does when a node dies.
    """
    time.sleep(chooser.uniform(5, 30))
    if kind == "controller":
        if run.ended:
            return "controller: had ended"
        run.kill()
        run.start()
        return "controller: killed, started again"
    deadline = time.monotonic() + 60
    while not run.ended and time.monotonic() < deadline:
        if jobs := Slurm.running():
            job = chooser.choice(jobs)
            time.sleep(chooser.uniform(0, 5))
            command = ["scontrol", "requeue", job] if kind == "requeue" else ["scancel", "--signal=KILL", "--full", job]
            if subprocess.run(command, check=False, capture_output=True).returncode == 0:
                return f"{kind}: job {job}"
        time.sleep(0.2)
    return f"{kind}: no job ran"


def overlaps(records: list[dict[str, str]], rules: dict[str, str], gpus: dict[str, int]) -> list[tuple[str, str]]:
    """Pairs of jobs that ran at the same time although one of them ran an engine and had no GPU of its own. Slurm's
    records have whole seconds."""
    found = []
    spans = [(_seconds(r["StartTime"]), _seconds(r["EndTime"]), r["JobId"]) for r in records]
    for number, (start, end, one) in enumerate(spans):
        for other_start, other_end, other in spans[number + 1 :]:
            together = max(start, other_start) < min(end, other_end)
            if together and any(rules[job] in TIMED and job not in gpus for job in (one, other)):
                found.append((one, other))
    return found


def most_gpus_at_once(records: list[dict[str, str]], gpus: dict[str, int]) -> int:
    """The largest number of GPUs that jobs had at any second."""
    events = []
    for record in records:
        count = gpus.get(record["JobId"], 0)
        events += [(_seconds(record["EndTime"]), -count), (_seconds(record["StartTime"]), count)]
    most = now = 0
    for _, change in sorted(events):  # at the same second ends come first
        now += change
        most = max(most, now)
    return most


def _seconds(text: str) -> float:
    return datetime.datetime.fromisoformat(text).timestamp()


def _out(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout
