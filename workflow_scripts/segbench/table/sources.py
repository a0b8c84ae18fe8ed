"""Sources of one row: the result files of a model and variant, and the figures that several columns share."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from segbench.config.options import base_variant
from segbench.engines.base import Engine, load
from segbench.files import checked, read_json
from segbench.images import shards
from segbench.process.status import FOR_A_PERSON
from segbench.scoring import bootstrap
from segbench.scoring.image_counts import ImageCounts
from segbench.scoring.objects import by_class
from segbench.scoring.predictions import Predictions
from segbench.scoring.score_record import NO_FIGURES
from segbench.table.control import Control, ControlRound
from segbench.timing import flags
from segbench.timing.energy import of_image
from segbench.timing.intervals import Interval, figure_of_round, interval_of_rounds
from segbench.timing.latencies import LatencyLine, read_latencies

Record = dict[str, Any]
MIN_WALL_S = 0.5  # of a round whose threads are counted: as long as those of the default
# The files of a pass and of a round that their status.json vouches for.
PASS_MANIFEST = ("predictions.zip", "environment.json")
RUN_MANIFEST = (*PASS_MANIFEST, "latencies.csv", "replaced.csv")


class IoUChange(NamedTuple):
    """How a mean IoU over the labelled classes differs from the reference row's, with its 95% interval. None: it is not
    known.
    """

    value: float | None = None
    interval: bootstrap.Interval | None = None


@dataclass
class Sources:
    """The files of one model and variant below `results`. Each is read once, when a column asks for it.

    `selection`: dataset, rounds, shards, average, models with their titles, variants by name, and by `model/variant`
    the number of `extra` rounds. `reference` is the row of the same table that this row's accuracy is compared with.
    `first_hardware` is the `hardware_id` of the table's first measured row. Either is None where there is none.
    `control` is shared by all rows.
    """

    results: Path
    selection: Record
    model: str
    variant: str
    reference: Sources | None = None
    first_hardware: str | None = None
    control: Control | None = None

    def __post_init__(self) -> None:
        for folder, run in zip(self.pass_folders, self.passes, strict=True):
            for name in PASS_MANIFEST:
                checked(folder / name, run)
        for folder, run in zip(self.folders, self.runs, strict=True):
            for name in RUN_MANIFEST:
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

    @property
    def batch(self) -> int:
        """Return how many images the engine runs at once."""
        return int(self.entry.get("batch", 1))

    @property
    def streams(self) -> int:
        """Return how many runs are under way at the same time."""
        return int(self.entry.get("streams", 1))

    @property
    def base_variant(self) -> str:
        """Return the variant of the table that is this one, running one image after the other."""
        entries: dict[str, Record] = self.selection["variants"]
        return base_variant(self.variant, entries, entries)

    @property
    def base_model(self) -> str:
        """Return the model of which this one has another input size, made by `sweep.size`; without one, itself."""
        return str(self.selection.get("base_models", {}).get(self.model, self.model))

    @cached_property
    def engine(self) -> Engine:
        """Return the object of the engine's file."""
        return load(self.entry["engine"])

    @cached_property
    def notes(self) -> list[str]:
        """Return the notes of the model's export and of the engine's build."""
        return [*self.exported.get("notes", []), *self.built.get("notes", [])]

    @cached_property
    def exported(self) -> Record:
        """Return the record of the model's export; empty where there is none."""
        record = self.results / "models" / self.model / "model.json"
        return read_json(record) if record.exists() else {}

    @property
    def input_size(self) -> tuple[int | None, int | None]:
        """Return height and width of the model's input."""
        size = self.exported.get("input") or {}
        return size.get("height"), size.get("width")

    @cached_property
    def built(self) -> Record:
        """Return the record of the engine's build."""
        return read_json(self.results / "engines" / self.here / "status.json")

    @cached_property
    def score(self) -> Record:
        """Return the record of scoring the accuracy pass."""
        return read_json(self.results / "scores" / f"{self.here}.json")

    @cached_property
    def figures(self) -> Record:
        """Return `score`, without figures where a round did not run."""
        return self.score if self.ok else {**self.score, **NO_FIGURES}

    @cached_property
    def pass_folders(self) -> list[Path]:
        """Return the folders of the accuracy pass, one for each shard."""
        return shards.pass_folders(self.results, self.here, self.selection["shards"])

    @cached_property
    def passes(self) -> list[Record]:
        """Return the status.json of each of `pass_folders`."""
        return [read_json(folder / "status.json") for folder in self.pass_folders]

    @cached_property
    def folders(self) -> list[Path]:
        """Return the folders of all rounds, those beyond the planned ones included."""
        extra = self.selection.get("extra", {}).get(f"{self.model}/{self.variant}", 0)
        return [self.results / "runs" / self.here / f"{n}/0" for n in range(1, self.selection["rounds"] + extra + 1)]

    @cached_property
    def runs(self) -> list[Record]:
        """Return the status.json of each of `folders`."""
        return [read_json(folder / "status.json") for folder in self.folders]

    @cached_property
    def numbered_runs(self) -> list[tuple[int, Record]]:
        """Return the timed rounds with their numbers; none where a round did not run."""
        return list(enumerate(self.runs, 1)) if self.compute else []

    @cached_property
    def environments(self) -> list[Record]:
        """Return the environment.json of each of `folders`."""
        return [read_json(folder / "environment.json") for folder in self.folders]

    @cached_property
    def worst(self) -> tuple[str, str]:
        """Return status and reason of the first pass or round that is not ok, else of the first. The reason names a
        shard.
        """
        for folder, run in zip((*self.pass_folders, *self.folders), (*self.passes, *self.runs), strict=True):
            if run["status"] != "ok":
                whose = "" if folder.name == shards.WHOLE else f"shard {folder.name}: "
                return run["status"], f"{whose}{run['reason']}"
        return self.runs[0]["status"], self.runs[0]["reason"]

    @property
    def ok(self) -> bool:
        """Return whether the accuracy pass and every round ran."""
        return self.worst[0] == "ok"

    @cached_property
    def latencies(self) -> list[list[LatencyLine]]:
        """Return every timed image by round; none where a round did not run."""
        return [read_latencies(folder / "latencies.csv") for folder in self.folders] if self.ok else []

    @cached_property
    def compute(self) -> list[list[float]]:
        """Return `compute_s` of every timed image by round."""
        return [[line.compute_s for line in lines] for lines in self.latencies]

    @cached_property
    def end_to_end(self) -> list[list[float]]:
        """Return `end_to_end_s` of every timed image by round."""
        return [[line.end_to_end_s for line in lines] for lines in self.latencies]

    @cached_property
    def latency(self) -> list[list[float]]:
        """Return by round how long each run took: of an image, of a batch, or of an image in its stream."""
        return [
            [line.compute_s if line.latency_s is None else line.latency_s for line in lines[:: self.batch]]
            for lines in self.latencies
        ]

    @cached_property
    def pooled_latency(self) -> list[float]:
        """Return how long each run of all rounds took."""
        return [time for times in self.latency for time in times]

    @cached_property
    def latency_interval(self) -> Interval:
        """Return the 95% interval of the latency over rounds."""
        figures = [figure_of_round(times, self.average) for times in self.latency]
        return interval_of_rounds(figures, self.control.scatter if self.control else None)

    @cached_property
    def pooled(self) -> list[float]:
        """Return `compute_s` of all rounds."""
        return [time for times in self.compute for time in times]

    @property
    def average(self) -> str:
        """Return how a round's times become one figure."""
        return str(self.selection.get("average", "median"))

    @cached_property
    def figures_s(self) -> list[float]:
        """Return each round's figure: the median of `compute_s`, or its mean."""
        return [figure_of_round(times, self.average) for times in self.compute]

    @cached_property
    def interval(self) -> Interval:
        """Return the 95% interval of the figure over rounds."""
        return interval_of_rounds(self.figures_s, self.control.scatter if self.control else None)

    def of_rounds(self, fact: str) -> list[float]:
        """Return a fact of every timed round; none where one lacks it."""
        found = [run[fact] for _, run in self.numbered_runs if run.get(fact) is not None]
        return found if len(found) == len(self.runs) else []

    @property
    def open_s(self) -> float | None:
        """Return the median over rounds of the time to load framework and engine."""
        figures = self.of_rounds("open_s")
        return statistics.median(figures) if figures else None

    @property
    def joules(self) -> float | None:
        """Return the median over rounds of an image's joules, beyond those of the idle machine."""
        figures = [of_image(run.get("energy") or {}) for _, run in self.numbered_runs]
        known = [one for one in figures if one is not None]
        return statistics.median(known) if known and len(known) == len(figures) else None

    @property
    def energy_parts(self) -> str | None:
        """Return the parts of the machine whose energy was read."""
        parts = {part for _, run in self.numbered_runs for part in (run.get("energy") or {}).get("parts", ())}
        return ";".join(sorted(parts)) or None

    @cached_property
    def first_mask_s(self) -> tuple[float | None, Interval]:
        """Return the median over rounds of the time to the first class map, and its 95% interval."""
        figures = self.of_rounds("first_mask_s")
        known = self.control.scatter if self.control else None
        return statistics.median(figures) if figures else None, interval_of_rounds(figures, known)

    @cached_property
    def controls(self) -> list[ControlRound | None]:
        """Return the control's round in the block of each round."""
        if self.control is None or not self.compute:
            return []
        return [
            self.control.beside(self.model, number, run, environment["hardware_id"])
            for (number, run), environment in zip(self.numbered_runs, self.environments, strict=True)
        ]

    @property
    def controls_s(self) -> list[float]:
        """Return the control's figure in the block of each round; none where a block has no control."""
        found = [one.figure_s for one in self.controls if one is not None]
        return found if len(found) == len(self.figures_s) else []

    @cached_property
    def adjusted_s(self) -> tuple[float, Interval] | None:
        """Return the time with the control's drift taken out, and its interval, where that is the narrower one."""
        if self.control is None or not self.controls_s:
            return None
        mean = self.control.mean_s
        figures = [figure / control * mean for figure, control in zip(self.figures_s, self.controls_s, strict=True)]
        adjusted = interval_of_rounds(figures, self.control.scatter_of_ratios)
        if adjusted.half_width is None or adjusted.half_width >= (self.interval.half_width or 0):
            return None
        return statistics.median(figures), adjusted

    def any_flag(self, name: str) -> bool | None:
        """Return whether any round has a flag; None where nothing was timed, or no round knows."""
        return flags.any_known(run.get(name) for run in self.runs) if self.compute else None

    @property
    def steady(self) -> bool | None:
        """Return whether every round was steady; None where a round was too short to say."""
        settled = [run.get("steady") for run in self.runs]
        return all(settled) if self.compute and None not in settled else None

    @property
    def flags(self) -> list[str]:
        """Return a sentence for each flag."""
        return flags.sentences(self.numbered_runs)

    @cached_property
    def changed(self) -> list[str]:
        """Report rounds whose class map of an image is not that of the accuracy pass. They timed something that was not
        scored.
        """
        scored = [Predictions.open(folder / "predictions.zip") for folder in self.pass_folders]
        found = []
        for number, (folder, run) in enumerate(zip(self.folders, self.runs, strict=True), 1):
            timed = Predictions.open(folder / "predictions.zip")
            others = [i for i in timed.ids if any(i in one and one.own_digest(i) != timed.digest(i) for one in scored)]
            if differing := sorted({*others, *run.get("changed", ())}):
                count = f"{len(differing)} class map(s) differ"
                found.append(f"round {number}: {count} from the accuracy pass's, e.g. of {differing[0]}")
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
        """Threads that computed, of each round of half a second or more: in less, one may have had nothing to do."""
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
        """Return mIoU over the labelled classes minus the reference row's; None where either is not known."""
        own, other = self.figures["miou_labelled"], self.reference and self.reference.figures["miou_labelled"]
        return None if own is None or other is None else float(own - other)

    @cached_property
    def image_counts(self) -> ImageCounts:
        """Return what the IoU of each image is made of; nothing where mIoU is not known."""
        return self._counts("image_counts")

    @cached_property
    def boundary_counts(self) -> ImageCounts:
        """Return the same of boundaries; nothing where their IoU is not known."""
        return self._counts("boundary_counts")

    @cached_property
    def instance_counts(self) -> ImageCounts:
        """Return the same of instances, each weighed as an average one; nothing without ids of instances."""
        return self._counts("instance_counts")

    def _counts(self, name: str) -> ImageCounts:
        packed = self.figures[name]
        return ImageCounts.unpacked(packed) if packed else ImageCounts()

    @cached_property
    def miou_interval(self) -> bootstrap.Interval | None:
        """Return the 95% interval of mIoU."""
        return bootstrap.miou_interval(self.image_counts.arrays()[1]) if self.image_counts.rows else None

    @cached_property
    def miou_delta_interval(self) -> bootstrap.Interval | None:
        """Return the 95% interval of `miou_delta`."""
        pair = self._beside_reference("image_counts")
        return bootstrap.change_interval(*pair) if pair else None

    def _beside_reference(self, name: str) -> tuple[bootstrap.Counts, bootstrap.Counts] | None:
        """Return counts of this row and of the reference row, image by image; None where there are none, or they are of
        other images.
        """
        own: ImageCounts = getattr(self, name)
        other: ImageCounts = getattr(self.reference, name, ImageCounts())
        same = own.rows and own.rows.keys() == other.rows.keys()
        return (own.arrays()[1], other.arrays()[1]) if same else None

    @cached_property
    def iou_changes(self) -> dict[str, IoUChange]:
        """Return how boundary IoU and iIoU differ from the reference row's, by the name of their counts."""
        return {name: self._iou_change(name) for name in ("boundary_counts", "instance_counts")}

    def _iou_change(self, name: str) -> IoUChange:
        pair = self._beside_reference(name)
        if pair is None:
            return IoUChange()
        change = float(bootstrap.mean_iou_change(np.stack([counts.sum(0) for counts in pair])))
        return IoUChange() if math.isnan(change) else IoUChange(change, bootstrap.change_interval(*pair))

    def objects_by_class(self, key: str) -> dict[str, int] | None:
        """Return one of the numbers of `ObjectCounts` by class; None where objects are not known."""
        counts = self.figures["objects"]
        return None if counts is None else by_class(counts, key)

    def objects(self, key: str) -> int | None:
        """Return one of these numbers over all classes."""
        found = self.objects_by_class(key)
        return None if found is None else sum(found.values())

    @property
    def lowest_class(self) -> tuple[str | None, float | None]:
        """Return the class of the lowest IoU with the reference, and that IoU."""
        return min((self.figures["class_agreements"] or {}).items(), key=lambda pair: pair[1], default=(None, None))

    @property
    def notes_of_data(self) -> list[str]:
        """Return what reading the images and labels has dropped or turned."""
        record = self.results / "data" / self.selection["dataset"] / "val" / "dataset.json"
        return list(read_json(record).get("notes", ())) if self.ok and record.exists() else []

    @property
    def search(self) -> list[str]:
        """Return what the search for a better preprocessing has found, or why it could not be made."""
        path = self.results / "preprocessing" / self.selection["dataset"] / f"{self.model}.json"
        record = read_json(path) if self.ok and path.exists() else {"status": "ok"}
        if record["status"] != "ok":
            return [f"no other preprocessing was tried: {record['reason']}".replace("; ", ", ")]
        return list(record.get("warnings", ()))

    @property
    def warnings(self) -> list[str]:
        """Return the reasons to distrust the row's figures, without the flags of its time."""
        found, gap = [*self.score["warnings"], *self.search, *self.notes_of_data], self.score.get("agreement_reason")
        if self.score.get("agrees") is False and self.engine.runs_pieces:
            here = self.here.removesuffix(self.variant) + self.base_variant  # the search runs single images
            found[0] += f": snakemake results/diverge/{here}.md says at which layer"
        if self.score["status"] in FOR_A_PERSON and self.ok:
            found.append(f"not scored: {self.score['reason']}")
        if gap and self.score["status"] == "ok":
            found.append(f"agreement not known: {gap}")
        if self.score["scored_by_warning"]:
            found.append(self.score["scored_by_warning"])
        if len(self.hardware_ids) > 1:
            found.append(f"rounds ran on different hardware ({', '.join(self.hardware_ids)})")
        busy = min(self.busy_threads, default=None)
        if busy is not None and self.threads and self.engine.device == "cpu" and busy < self.threads:
            found.append(f"the engine computed with {busy} thread(s) where {self.threads} were asked")
        told = sorted({run["engine_threads"] for run in self.runs if run.get("engine_threads")} - {self.threads})
        if told and self.threads:
            found.append(f"the engine says that it uses {told[0]} thread(s) where {self.threads} were asked")
        found += self.changed + self.built.get("warnings", []) + self.built.get("calibration_warnings", [])
        bound = self.built.get("max_drop")
        if bound is not None and self.reference and self.miou_delta is not None and -self.miou_delta > bound:
            lost = f"lost {-self.miou_delta:.4f} mIoU against {self.reference.variant}"
            found.append(f"{lost}, where INT8 was chosen to lose at most {bound:g} (calibration.max_drop)")
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
