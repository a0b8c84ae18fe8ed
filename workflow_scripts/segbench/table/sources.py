"""Sources of one row: the result files of a model and variant, and the figures that several columns share."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from segbench.engines.base import Engine, load
from segbench.files import checked, read_json
from segbench.images import shards
from segbench.scoring.predictions import Predictions
from segbench.scoring.score_record import NO_FIGURES
from segbench.timing import flags
from segbench.timing.intervals import Interval, interval_of_rounds, median_of_rounds
from segbench.timing.latencies import LatencyLine, read_latencies

Record = dict[str, Any]
MIN_WALL_S = 1.0  # of a round whose threads are counted
MANIFEST = ("latencies.csv", "predictions.zip", "environment.json")  # files of a round that its status.json vouches for


@dataclass
class Sources:
    """The files of one model and variant below `results`. Each is read once, when a column asks for it.

    `selection`: dataset, rounds, shards, models with their titles, variants by name. `reference` is the row of the same
    table that this row's accuracy is compared with. `first_hardware` is the `hardware_id` of the table's first measured
    row. Either is None where there is none.
    """

    results: Path
    selection: Record
    model: str
    variant: str
    reference: Sources | None = None
    first_hardware: str | None = None

    def __post_init__(self) -> None:
        for folder, run in zip(self.folders, self.runs, strict=True):
            for name in MANIFEST:
                checked(folder / name, run)

    @property
    def here(self) -> str:
        """Return the row's place below each folder of `results`."""
        return f"{self.selection['dataset']}/{self.model}/{self.variant}"

    @property
    def entry(self) -> Record:
        """Return the variant's entry in the selection."""
        entry: Record = self.selection["variants"][self.variant]
        return entry

    @cached_property
    def engine(self) -> Engine:
        """Return the object of the engine's file."""
        return load(self.entry["engine"])

    @cached_property
    def built(self) -> Record:
        """Return the record of the engine's build."""
        return read_json(self.results / "engines" / self.here / "status.json")

    @cached_property
    def score(self) -> Record:
        """Return the record of scoring round 1."""
        return read_json(self.results / "scores" / f"{self.here}.json")

    @cached_property
    def figures(self) -> Record:
        """Return `score`, without figures where a round did not run."""
        return self.score if self.ok else {**self.score, **NO_FIGURES}

    @cached_property
    def rounds(self) -> list[list[Path]]:
        """Return the folders of each round, one for each of its shards."""
        count = self.selection["shards"]
        return [shards.folders(self.results, self.here, n, count) for n in range(1, self.selection["rounds"] + 1)]

    @cached_property
    def folders(self) -> list[Path]:
        """Return the folders of all rounds."""
        return [folder for round_ in self.rounds for folder in round_]

    @cached_property
    def runs(self) -> list[Record]:
        """Return the status.json of each of `folders`."""
        return [read_json(folder / "status.json") for folder in self.folders]

    @cached_property
    def numbered_runs(self) -> list[tuple[int, Record]]:
        """Return the timed runs with the numbers of their rounds; none where a round did not run."""
        numbers = [number for number, round_ in enumerate(self.rounds, 1) for _ in round_]
        return list(zip(numbers, self.runs, strict=True)) if self.compute else []

    @cached_property
    def environments(self) -> list[Record]:
        """Return the environment.json of each of `folders`."""
        return [read_json(folder / "environment.json") for folder in self.folders]

    @cached_property
    def worst(self) -> tuple[str, str]:
        """Return status and reason of the first run that is not ok, else of the first run. The reason names a shard."""
        for folder, run in zip(self.folders, self.runs, strict=True):
            if run["status"] != "ok":
                whose = "" if folder.name == shards.WHOLE else f"shard {folder.name}: "
                return run["status"], f"{whose}{run['reason']}"
        return self.runs[0]["status"], self.runs[0]["reason"]

    @property
    def ok(self) -> bool:
        """Return whether every round ran."""
        return self.worst[0] == "ok"

    @cached_property
    def latencies(self) -> list[list[LatencyLine]]:
        """Return every timed image by round; none where a round did not run."""
        by_round = [
            [line for folder in round_ for line in read_latencies(folder / "latencies.csv")] for round_ in self.rounds
        ]
        return [lines for lines in by_round if lines] if self.ok else []

    @cached_property
    def compute(self) -> list[list[float]]:
        """Return `compute_s` of every timed image by round."""
        return [[line.compute_s for line in lines] for lines in self.latencies]

    @cached_property
    def end_to_end(self) -> list[list[float]]:
        """Return `end_to_end_s` of every timed image by round."""
        return [[line.end_to_end_s for line in lines] for lines in self.latencies]

    @cached_property
    def pooled(self) -> list[float]:
        """Return `compute_s` of all rounds."""
        return [time for times in self.compute for time in times]

    @cached_property
    def medians(self) -> list[float]:
        """Return each round's median `compute_s`."""
        return [median_of_rounds([times]) for times in self.compute]

    @cached_property
    def interval(self) -> Interval:
        """Return the 95% interval of the median over rounds."""
        return interval_of_rounds(self.medians) if self.medians else Interval(None, None, "")

    def any_flag(self, name: str) -> bool | None:
        """Return whether any round has a flag; None where nothing was timed, or no round knows."""
        return flags.any_known(run.get(name) for run in self.runs) if self.compute else None

    @property
    def steady(self) -> bool | None:
        """Return whether warm-up settled in every round; None where a round had no warm-up."""
        settled = [run.get("steady") for run in self.runs]
        return all(settled) if self.compute and None not in settled else None

    @property
    def flags(self) -> list[str]:
        """Return a sentence for each flag."""
        return flags.sentences(self.numbered_runs)

    @cached_property
    def changed(self) -> list[str]:
        """Report rounds whose class map of an image is not the first round's. They timed something that was not
        scored.
        """
        first = [Predictions.open(folder / "predictions.zip") for folder in self.rounds[0]]
        found = []
        for number, (folder, *_) in enumerate(self.rounds[1:], 2):
            later = Predictions.open(folder / "predictions.zip")
            differing = [i for i in later.ids if any(i in one and one.digest(i) != later.digest(i) for one in first)]
            if differing:
                found.append(
                    f"round {number}: {len(differing)} class map(s) differ from round 1's, e.g. of {differing[0]}"
                )
        return found

    @cached_property
    def hardware_ids(self) -> list[str]:
        """Return the different `hardware_id` of all rounds, sorted."""
        return sorted({environment["hardware_id"] for environment in self.environments})

    @property
    def hardware_id(self) -> str | None:
        """Return the hardware that the row was measured on; None where a round did not run."""
        return ";".join(self.hardware_ids) if self.ok else None

    @property
    def software_id(self) -> str | None:
        """Return the software that the row was measured with: several where rounds differ, None where one did not
        run.
        """
        ids = {one["software_id"] for one in self.environments if one.get("software_id")}
        return ";".join(sorted(ids)) if self.ok and ids else None

    @property
    def threads(self) -> int | None:
        """Return the threads that the engine was given; None where a round did not run, or rounds differ."""
        given = {one.get("threads") for one in self.environments}
        return given.pop() if self.ok and len(given) == 1 else None

    @property
    def busy_threads(self) -> list[int]:
        """Threads that computed, of each round of a second or more: in less, one may have had nothing to do."""
        runs = [run for run in self.runs if self.ok and run.get("busy_threads") is not None]
        return [run["busy_threads"] for run in runs if run["disturbances"][-1]["wall_s"] >= MIN_WALL_S]

    @property
    def hardware(self) -> str | None:
        """Return the hardware in words."""
        return "; ".join(sorted(set(map(_machine, self.environments)))) if self.ok else None

    @property
    def gpu_bytes(self) -> int | None:
        """Return the most GPU memory in use at the end of a timed stretch."""
        seen = [stretch.get("gpu_memory_used_bytes") for run in self.runs for stretch in run.get("disturbances", ())]
        return max((count for count in seen if count), default=None)

    @property
    def rss_bytes(self) -> int | None:
        """Return the largest resident memory of a timed process."""
        return max((run["peak_rss_bytes"] for run in self.runs if run.get("peak_rss_bytes")), default=None)

    @property
    def miou_delta(self) -> float | None:
        """Return mIoU minus the reference row's; None where either is not known."""
        if self.reference is None or self.figures["miou"] is None or self.reference.figures["miou"] is None:
            return None
        return float(self.figures["miou"] - self.reference.figures["miou"])

    @property
    def warnings(self) -> list[str]:
        """Return the reasons to distrust the row's figures, without the flags of its time."""
        found, gap = list(self.score["warnings"]), self.score.get("agreement_reason")
        if gap and self.score["status"] == "ok":
            found.append(f"agreement not known: {gap}")
        if len(self.hardware_ids) > 1:
            found.append(f"rounds ran on different hardware ({', '.join(self.hardware_ids)})")
        busy = min(self.busy_threads, default=None)
        if busy is not None and self.threads and self.engine.device == "cpu" and busy < self.threads:
            found.append(f"the engine computed with {busy} thread(s) where {self.threads} were asked")
        found += self.changed
        if self.hardware_id and self.first_hardware not in (None, self.hardware_id):
            found.append(
                f"measured on other hardware ({self.hardware_id}) than the table's first row ({self.first_hardware})"
            )
        return found


def _machine(record: Record) -> str:
    """Return CPU, cores and GPU in words."""
    machine, graphics = record.get("machine") or {}, record.get("gpu") or {}
    cores = machine.get("physical_cores")
    facts = (machine.get("cpu_model"), cores and f"{cores} core{'s' if cores > 1 else ''}", graphics.get("name"))
    return ", ".join(str(fact) for fact in facts if fact)
