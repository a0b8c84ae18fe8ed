"""Declare the columns of the table. No other place declares them.

`COLUMNS` gives the order of table.csv and how it is read back, table.json and its schema, and how a row is read. The
columns' table in docs/use/table.md and the full table in table.md and in the report come from it too. A new column is
one entry here, then `make docs`.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from segbench.config.options import scenario_of
from segbench.scoring.predictions import CLASS_MAPS, LOGITS
from segbench.table import cells, formats
from segbench.table.row import Row, value
from segbench.table.sources import Sources
from segbench.timing import flags
from segbench.timing.intervals import figure_of_round, percentile

SCHEMA = "segbench-table-1"  # of config/schemas/table.schema.json; it changes where a reader would have to


@dataclass(frozen=True)
class Kind:
    """The kind of value that a cell holds: its words in the docs, its JSON schema, and its parser for table.csv.

    `parse` reads a cell that is not empty. `empty` is the value of an empty cell. It is None, except for texts that are
    always there. `flat` kinds fit in one cell. The others stand in table.json only.
    """

    words: str
    schema: dict[str, Any]
    parse: Callable[[str], Any] = str
    empty: str | None = None
    flat: bool = True


def one_of(*values: str) -> Kind:
    """Return the kind of a cell that holds one of a few words."""
    return Kind(", ".join(f"`{value}`" for value in values), {"enum": list(values)}, empty="")


def _number(words: str, kind: str = "number", parse: Callable[[str], Any] = float, **bounds: float) -> Kind:
    return Kind(words, {"type": [kind, "null"], **bounds}, parse)


def _truth(cell: str) -> bool | None:
    """Read `true` and `false`. Any other cell is not known, since tables of other versions may have more words."""
    return {"true": True, "false": False}.get(cell)


def _numbers(cell: str) -> str:
    """Check numbers separated by `;`, and keep them as text. Raises ValueError for any other text."""
    for part in cell.split(";"):
        float(part)
    return cell


NAME = Kind("text", {"type": "string"}, empty="")
TEXT = Kind("text", {"type": ["string", "null"]})
SENTENCES = Kind("sentences, separated by `; `", {"type": "string"}, empty="")
YES_NO = Kind("true or false", {"type": "boolean"}, _truth)
FLAG = Kind("true or false", {"type": ["boolean", "null"]}, _truth)
NUMBER = _number("number")
SHARE = _number("share, 0 to 1", minimum=0, maximum=1)
SECONDS = _number("seconds", minimum=0)
RATE = _number("images per second", minimum=0)
SERIES = Kind("seconds, separated by `;`", {"type": ["string", "null"]}, _numbers)
BYTES = _number("bytes", "integer", int, minimum=0)
COUNT = _number("whole number", "integer", int, minimum=0)
AT_LEAST_ONE = _number("whole number", "integer", int, minimum=1)


def _mapping(cell: str) -> dict[str, int]:
    """Read a JSON mapping of numbers. Raises ValueError for anything else."""
    try:
        found = json.loads(cell)
    except RecursionError:
        found = None
    if not isinstance(found, dict) or not all(type(number) is int for number in found.values()):
        raise ValueError(f"{cell[:40]!r} is no mapping of whole numbers")
    return found


NUMBERS_BY_CLASS = Kind(
    "JSON mapping of whole numbers",
    {"type": ["object", "null"], "additionalProperties": {"type": "integer", "minimum": 0}},
    _mapping,
)
BY_CLASS = Kind(
    "mapping",
    {
        "type": ["object", "null"],
        "additionalProperties": {"type": ["number", "null"], "minimum": 0, "maximum": 1},
    },
    flat=False,
)


@dataclass(frozen=True)
class Column:
    """One column of the table.

    `about` says what it means, in Markdown, for the schema and the docs. The unit is that of its `kind`, and ends its
    name. `read` takes the value from a row's sources. `heading` is its head in the full table and in the report; an
    empty one hides the column there. `show` writes a value for reading. `cell` writes it where that needs other values
    of the row too.
    """

    name: str
    kind: Kind
    about: str
    read: Callable[[Sources], Any]
    heading: str = ""
    show: Callable[[Any], str] = formats.text
    cell: Callable[[Row], str] | None = None

    def shown(self, row: Row) -> str:
        """Return the row's cell in the full table."""
        return self.cell(row) if self.cell else self.show(value(row, self.name))


def built(name: str) -> Callable[[Sources], Any]:
    """Return a reader of a fact of the engine's build."""
    return lambda s: s.built.get(name)


def scored(name: str) -> Callable[[Sources], Any]:
    """Return a reader of a figure of scoring."""
    return lambda s: s.figures[name]


def _over_rounds(rounds: list[list[float]], average: str) -> float | None:
    return statistics.median(figure_of_round(times, average) for times in rounds) if rounds else None


def _rate(time_s: float | None) -> float | None:
    return 1 / time_s if time_s else None


def _cost(price_per_hour: float | None, time_s: float | None) -> float | None:
    return price_per_hour / 3600 * time_s * 1e6 if price_per_hour and time_s else None


def _changes(key: str, counts: str, words: str, header: str, interval: str) -> tuple[Column, Column, Column]:
    """Return the columns of how the IoU `key`, made of `counts`, differs from the reference row's."""
    delta, low, high = (f"{key}_delta{end}" for end in ("", "_low", "_high"))

    def end_of(s: Sources, name: str) -> float | None:
        found = s.iou_changes[counts].interval
        return None if found is None else float(getattr(found, name))

    return (
        Column(
            delta, NUMBER, f"{words} minus that of the model's reference variant, like `miou_delta`.",
            lambda s: s.iou_changes[counts].value, header, formats.change,
        ),
        Column(
            low, NUMBER, f"Lower end of the 95% interval of `{delta}`: a bootstrap, paired over images.",
            lambda s: end_of(s, "low"), interval,
            cell=lambda row: formats.span_of_change(value(row, low), value(row, high)),
        ),
        Column(
            high, NUMBER, f"Upper end of the 95% interval of `{delta}`.",
            lambda s: end_of(s, "high"),
        ),
    )  # fmt: skip


def _series(values: list[float]) -> str | None:
    return ";".join(map(repr, values)) or None


def doubts(row: Row) -> str:
    """Return the warnings against a row, and its flags by name alone, so that they fit into a cell."""
    return flags.SEPARATOR.join(filter(None, [row["warnings"], *flags.names(row)]))


COLUMNS = (
    Column(
        "dataset", NAME, "The data set's name in the configuration.",
        lambda s: s.selection["dataset"],
    ),
    Column(
        "model", NAME, "The name of the model's entry in the configuration.",
        lambda s: s.model, "model",
    ),
    Column(
        "title", NAME, "The model's title, as the tables print it.",
        lambda s: s.selection["models"][s.model],
    ),
    Column(
        "variant", NAME, "The variant's name: an engine at a precision.",
        lambda s: s.variant, "variant",
    ),
    Column(
        "engine", NAME, "The engine: a file of `segbench/engines/`.",
        lambda s: s.entry["engine"],
    ),
    Column(
        "device", one_of("cpu", "gpu"), "What the engine runs on.",
        lambda s: s.engine.device,
    ),
    Column(
        "accelerated", YES_NO, "Whether the engine is another than the framework's native one.",
        lambda s: s.engine.accelerated,
    ),
    Column(
        "precision", one_of("fp32", "fp16", "bf16", "int8"), "The arithmetic that the engine was built for.",
        lambda s: s.entry["precision"],
    ),
    Column(
        "scenario", one_of("single", "batch", "streams"),
        "How images run: one after the other, `batch` at once, or in `streams` that run at the same time. MLPerf calls"
        " the first SingleStream, the last Offline.",
        lambda s: scenario_of(s.batch, s.streams),
    ),
    Column(
        "batch", AT_LEAST_ONE, "Images that the engine runs at once.",
        lambda s: s.batch,
    ),
    Column(
        "streams", AT_LEAST_ONE, "Runs that are under way at the same time.",
        lambda s: s.streams,
    ),
    Column(
        "base_variant", NAME,
        "The variant of the table that differs in `batch`, `streams` and `threads` only, and runs one image after the"
        " other; the variant itself where there is none.",
        lambda s: s.base_variant,
    ),
    Column(
        "base_model", NAME,
        "The model that this one is with another input size, by `sweep.size`; else the model itself.",
        lambda s: s.base_model,
    ),
    Column(
        "input_height", AT_LEAST_ONE, "Height of the model's input, in pixels.",
        lambda s: s.input_size[0],
    ),
    Column(
        "input_width", AT_LEAST_ONE, "Width of the model's input, in pixels.",
        lambda s: s.input_size[1],
    ),
    Column(
        "status", one_of("ok", "unsupported", "failed", "refused", "bug"),
        "Whether the row ran. `refused`: an input is wrong; `bug`: SegBench's own code failed.",
        lambda s: s.worst[0], "status",
    ),
    Column(
        "reason", NAME, "Why the row did not run; empty where it did.",
        lambda s: s.worst[1],
    ),
    Column(
        "miou", SHARE,
        "Mean IoU over the classes that occur in labels or predictions."
        " Empty for random weights and for data without labels.",
        scored("miou"), "mIoU", formats.miou,
    ),
    Column(
        "miou_low", SHARE,
        "Lower end of the 95% interval of `miou`: a bootstrap over images. Empty below 8 images.",
        lambda s: s.miou_interval and s.miou_interval.low, "mIoU 95% interval",
        cell=lambda row: formats.span(row["miou_low"], row["miou_high"]),
    ),
    Column(
        "miou_high", SHARE, "Upper end of the 95% interval of `miou`.",
        lambda s: s.miou_interval and s.miou_interval.high,
    ),
    Column(
        "classes_counted", COUNT, "Classes that occur in labels or predictions: those that `miou` is the mean of.",
        scored("classes_counted"),
    ),
    Column(
        "miou_labelled", SHARE,
        "Mean IoU over the classes that occur in labels, of which differences are taken. It is not `miou` where a class"
        " is predicted that no label has.",
        scored("miou_labelled"),
    ),
    Column(
        "unlabelled_share", SHARE, "Share of labelled pixels that are predicted as a class that no label has.",
        scored("unlabelled_share"),
    ),
    Column(
        "miou_all_classes", SHARE,
        "Mean IoU over all classes, where one that does not occur counts as 0. PaddleSeg and its published figures have"
        " this mean.",
        scored("miou_all_classes"),
    ),
    Column(
        "scored_by", Kind(f"`{LOGITS}`, `{CLASS_MAPS}`", {"enum": [LOGITS, CLASS_MAPS, ""]}, empty=""),
        "What was resized to the labels' size, where images are resized to the model's input: `logits`, as PaddleSeg"
        " and mmsegmentation do it, or the `class maps` of an engine that gives no logits, by nearest pixels. Empty"
        " where images have the input's size.",
        lambda s: s.figures["scored_by"],
    ),
    Column(
        "miou_delta", NUMBER,
        "`miou_labelled` minus that of the model's reference variant, where that is a row of the table.",
        lambda s: s.miou_delta, "Δ mIoU", formats.change,
    ),
    Column(
        "miou_delta_low", NUMBER, "Lower end of the 95% interval of `miou_delta`: a bootstrap, paired over images.",
        lambda s: s.miou_delta_interval and s.miou_delta_interval.low, "Δ 95% interval",
        cell=lambda row: formats.span_of_change(row["miou_delta_low"], row["miou_delta_high"]),
    ),
    Column(
        "miou_delta_high", NUMBER, "Upper end of the 95% interval of `miou_delta`.",
        lambda s: s.miou_delta_interval and s.miou_delta_interval.high,
    ),
    Column(
        "mean_dice", SHARE,
        "Mean Dice (F1) over the classes of `miou`: 2 TP / (2 TP + FP + FN). It ranks rows much as `miou` does.",
        scored("mean_dice"),
    ),
    Column(
        "fw_iou", SHARE, "Frequency-weighted IoU: the mean over labelled pixels of the IoU of a pixel's class.",
        scored("frequency_weighted_iou"),
    ),
    Column(
        "boundary_iou", SHARE,
        "Mean over the classes that occur of the IoU of what is near the boundary of a class. Near is within"
        " `boundary_width` of the data set, a share of the image's diagonal (2%).",
        scored("boundary_iou"), "boundary IoU", formats.miou,
    ),
    *_changes(
        "boundary_iou", "boundary_counts", "Boundary IoU over the labelled classes",
        "Δ boundary IoU", "Δ boundary 95% interval",
    ),
    Column(
        "iiou", SHARE,
        "Cityscapes' instance-weighted IoU, a mean over the classes with instances that occur: each labelled instance"
        " weighs as much as an average one of its class. Empty where the data set has no ids of instances.",
        scored("iiou"), "iIoU", formats.miou,
    ),
    *_changes(
        "iiou", "instance_counts", "iIoU over the classes with labelled instances",
        "Δ iIoU", "Δ iIoU 95% interval",
    ),
    Column(
        "pixel_accuracy", SHARE, "Share of labelled pixels whose class is right.",
        scored("pixel_accuracy"), "pixel accuracy", formats.miou,
    ),
    Column(
        "mean_class_accuracy", SHARE, "Mean over the labelled classes of the share of a class's pixels that is right.",
        scored("mean_class_accuracy"), "class accuracy", formats.miou,
    ),
    Column(
        "pixel_agreement", SHARE, "Share of pixels at which the class map equals the reference's, on the same images.",
        scored("pixel_agreement"), "agreement", formats.share,
    ),
    Column(
        "class_agreement", SHARE,
        "Mean over the reference's classes of the IoU of the class map with the reference's, on the same images.",
        scored("class_agreement"), "class agreement", formats.share,
    ),
    Column(
        "lowest_class", TEXT, "The class of the lowest IoU with the reference.",
        lambda s: s.lowest_class[0], "lowest class",
        cell=lambda row: f"{formats.text(row['lowest_class'])} {formats.miou(row['lowest_class_agreement'])}".strip(),
    ),
    Column(
        "lowest_class_agreement", SHARE, "The IoU with the reference of `lowest_class`.",
        lambda s: s.lowest_class[1],
    ),
    Column(
        "objects_found", COUNT,
        "Labelled objects that the reference finds: those of `objects.classes` of the data set (connected components in"
        " the label), of which it has half the pixels or more (`objects.found`).",
        lambda s: s.objects("reference"),
    ),
    Column(
        "objects_lost", COUNT,
        "Objects that the reference finds and this row misses: it has less than `lost_below` of their pixels.",
        lambda s: s.objects("lost"), "objects lost",
        cell=lambda row: formats.part_of(row["objects_lost"], row["objects_found"]),
    ),
    Column(
        "objects_gained", COUNT, "Objects that this row finds and the reference misses.",
        lambda s: s.objects("gained"), "objects gained",
    ),
    Column(
        "objects_lost_by_class", NUMBERS_BY_CLASS, "`objects_lost` of each class.",
        lambda s: s.objects_by_class("lost"),
    ),
    Column(
        "single_agreement", SHARE,
        "Share of pixels at which the class map equals that of `base_variant`, on the same images. Empty for a variant"
        " that is its own. Where it is 1, the row has the score of `base_variant`.",
        scored("single_agreement"),
    ),
    Column(
        "agrees", FLAG, "Whether agreement is at or above its bounds; empty where it is not known.",
        scored("agrees"),
    ),
    Column(
        "reference", TEXT,
        "What class maps are compared with: a variant, MODEL/VARIANT of the `float_model`, or a file.",
        lambda s: s.score["reference"],
    ),
    Column(
        "time_s", SECONDS,
        "Time per image, as measured: the median over rounds of each round's median `compute_s` (or mean: see"
        " `timing.average`). An image of a batch has its share of the batch's time; with streams it is the time between"
        " finished images. How long an image takes itself is `latency_s`.",
        lambda s: _over_rounds(s.compute, s.average), "time s", cell=cells.time_number,
    ),
    Column(
        "time_s_low", SECONDS, "Lower end of the 95% interval of `time_s`.",
        lambda s: s.interval.low, "95% interval",
        cell=lambda row: formats.interval(row["time_s_low"], row["time_s_high"]),
    ),
    Column(
        "time_s_high", SECONDS, "Upper end of the 95% interval of `time_s`.",
        lambda s: s.interval.high,
    ),
    Column(
        "time_half_width", NUMBER,
        "Half width of that interval as a fraction: 0.05 means ±5%. `timing.target` asks for it.",
        lambda s: s.interval.half_width, "±", formats.percent,
    ),
    Column(
        "time_adjusted_s", SECONDS,
        "`time_s` with the drift of the machine taken out: each round's time over the control's in its block, times the"
        " control's mean. Empty where its interval would not be narrower.",
        lambda s: s.adjusted_s and s.adjusted_s[0], "drift taken out s", cell=cells.adjusted_number,
    ),
    Column(
        "time_adjusted_s_low", SECONDS, "Lower end of the 95% interval of `time_adjusted_s`.",
        lambda s: s.adjusted_s and s.adjusted_s[1].low, "its interval",
        cell=lambda row: formats.interval(row["time_adjusted_s_low"], row["time_adjusted_s_high"]),
    ),
    Column(
        "time_adjusted_s_high", SECONDS, "Upper end of the 95% interval of `time_adjusted_s`.",
        lambda s: s.adjusted_s and s.adjusted_s[1].high,
    ),
    Column(
        "smallest_difference", NUMBER,
        "Difference from this row's time, as a fraction, below which another row of the table with as many rounds"
        " cannot be told apart: from the scatter of the control.",
        lambda s: s.control.smallest_difference(len(s.compute)) if s.control and s.compute else None,
    ),
    Column(
        "interval_method", TEXT,
        "How the interval was made: `student-t-log`, Student's t on the logarithms of the rounds' medians, or, where"
        " that is narrower, `scatter-of-control`: how much the control's rounds scatter over the run. Empty below"
        " 3 rounds, which have none.",
        lambda s: s.interval.method if s.compute else None,
    ),
    Column(
        "round_medians_s", SERIES, "Each round's median (or mean) `compute_s`, in order: what a comparison is made of.",
        lambda s: _series(s.figures_s),
    ),
    Column(
        "control", TEXT, "The row, MODEL/VARIANT, that was timed once in every block.",
        lambda s: s.control and s.control.name,
    ),
    Column(
        "round_controls_s", SERIES,
        "The control's time in the block of each round. Rounds of two rows that have the same are of one block, and are"
        " compared as a pair. Empty where a round has no control within 30 minutes.",
        lambda s: _series(s.controls_s),
    ),
    Column(
        "end_to_end_s", SECONDS,
        "Like `time_s`, including the copies of the input to the device and of the class map back.",
        lambda s: _over_rounds(s.end_to_end, s.average), "end to end s", formats.seconds,
    ),
    Column(
        "images_per_s", RATE, "Images per second: 1 / `time_s`.",
        lambda s: _rate(_over_rounds(s.compute, s.average)),
    ),
    Column(
        "images_per_s_low", RATE, "Lower end of the 95% interval of `images_per_s`.",
        lambda s: _rate(s.interval.high),
    ),
    Column(
        "images_per_s_high", RATE, "Upper end of the 95% interval of `images_per_s`.",
        lambda s: _rate(s.interval.low),
    ),
    Column(
        "latency_s", SECONDS,
        "How long an image takes: the median over rounds of each round's median. It is that of its whole batch, and of"
        " an image while the other streams run theirs. One after the other, it is `time_s`.",
        lambda s: _over_rounds(s.latency, s.average),
    ),
    Column(
        "latency_s_low", SECONDS, "Lower end of the 95% interval of `latency_s`.",
        lambda s: s.latency_interval.low,
    ),
    Column(
        "latency_s_high", SECONDS, "Upper end of the 95% interval of `latency_s`.",
        lambda s: s.latency_interval.high,
    ),
    Column(
        "open_s", SECONDS,
        "Time to load framework and engine in a new process, from files in the page cache: the median over rounds.",
        lambda s: s.open_s, "load s", formats.seconds,
    ),
    Column(
        "first_mask_s", SECONDS,
        "Time to the first class map in a new process: `open_s` and the first image's `end_to_end_s`, before any"
        " warm-up. The median over rounds.",
        lambda s: s.first_mask_s[0], "first mask s", formats.seconds,
    ),
    Column(
        "first_mask_s_low", SECONDS, "Lower end of the 95% interval of `first_mask_s`.",
        lambda s: s.first_mask_s[1].low,
    ),
    Column(
        "first_mask_s_high", SECONDS, "Upper end of the 95% interval of `first_mask_s`.",
        lambda s: s.first_mask_s[1].high,
    ),
    Column(
        "joules_per_image", NUMBER,
        "Joules of an image: what `energy_parts` used in the timed runs, less what they use while the machine idles,"
        " over the images. The median over rounds. Empty where `energy.measure` is off, or where the counters cannot"
        " be read: `status.json` of a round says why.",
        lambda s: s.joules,
    ),
    Column(
        "energy_parts", TEXT, "The parts of the machine whose counters were read: packages, memory. No GPU on a card.",
        lambda s: s.energy_parts,
    ),
    Column(
        "cost_per_million", NUMBER,
        "Cost of a million images at `images_per_s` on a machine of `price_per_hour`, in its currency.",
        lambda s: _cost(s.selection.get("price_per_hour"), _over_rounds(s.compute, s.average)),
    ),
    Column(
        "p90_s", SECONDS,
        "90th percentile of what `latency_s` is the median of: MLPerf's upper bound over the runs of all rounds."
        " It needs 64 runs.",
        lambda s: percentile(s.pooled_latency, 0.90), "p90 s", formats.seconds,
    ),
    Column(
        "p99_s", SECONDS, "99th percentile, made in the same way. It needs 662 runs.",
        lambda s: percentile(s.pooled_latency, 0.99), "p99 s", formats.seconds,
    ),
    Column(
        "n", AT_LEAST_ONE, "Timed images over all rounds.",
        lambda s: len(s.pooled) or None, "n",
    ),
    Column(
        "rounds", AT_LEAST_ONE, "Timed rounds; each is a process of its own.",
        lambda s: len(s.compute) or None, "rounds",
    ),
    Column(
        "threads", AT_LEAST_ONE, "Threads that the engine was given. For a GPU engine they are the host's.",
        lambda s: s.threads, "threads",
    ),
    Column(
        "steady", FLAG,
        "Whether the last third of every round was as fast as its first, within `timing.drift_tolerance`; empty for"
        " rounds of fewer than 6 runs.",
        lambda s: s.steady,
    ),
    Column(
        "contended", FLAG,
        "Whether others took more than `timing.contention_share` of a CPU that the engine ran on, or of its sibling, in"
        " any round, after it was run again; empty where that could not be read.",
        lambda s: s.any_flag("contended"),
    ),
    Column(
        "throttled", FLAG,
        "Whether heat, power or a CPU quota slowed the device in any round, after it was run again; empty where"
        " that could not be read.",
        lambda s: s.any_flag("throttled"),
    ),
    Column(
        "repeatable", FLAG,
        "Whether the class maps of all timed runs are those of the accuracy pass, byte by byte.",
        lambda s: not s.changed if s.ok else None,
    ),
    Column(
        "flags", SENTENCES,
        "A sentence for each reason to distrust the time: which rounds, how much, the bound, the cure.",
        lambda s: flags.SEPARATOR.join(s.flags),
    ),
    Column(
        "warnings", SENTENCES,
        "Other reasons to distrust the row: agreement below its bound, rounds that computed something else, other"
        " hardware.",
        lambda s: flags.SEPARATOR.join(s.warnings), "warnings",
        cell=doubts,
    ),
    Column(
        "notes", SENTENCES,
        "What export and build decided or left out: which of several outputs is taken, that OpenVINO reads the twin.",
        lambda s: flags.SEPARATOR.join(s.notes),
    ),
    Column(
        "build_s", SECONDS, "Seconds that the engine's build took.",
        built("build_s"), "build s", formats.tenths,
    ),
    Column(
        "engine_bytes", BYTES, "Size of the engine's files.",
        built("engine_bytes"), "engine MB", formats.megabytes,
    ),
    Column(
        "trt_subgraphs", COUNT, "TensorRT through Paddle: subgraphs that TensorRT took.",
        built("trt_subgraphs"),
    ),
    Column(
        "trt_share", SHARE, "TensorRT through Paddle: share of the graph's operators inside these subgraphs.",
        built("trt_share"),
    ),
    Column(
        "trt_fallback", TEXT, "TensorRT through Paddle: the operators outside of these subgraphs, and why.",
        lambda s: "; ".join(f"{kind} {why}" for kind, why in s.built.get("trt_fallback", {}).items()) or None,
    ),
    Column(
        "fp32_layers", COUNT, "Layers that INT8 kept in FP32 to lose no more than `calibration.max_drop`.",
        built("fp32_layers"), "layers in FP32",
    ),
    Column(
        "calibrator", TEXT,
        "What INT8 was calibrated with: a name of `calibrator_catalogue`; `model`: the model was quantised already.",
        built("calibrator"),
    ),
    Column(
        "calibration_s", SECONDS, "Seconds of the calibration and of the choice of FP32 layers.",
        built("calibration_s"), "calibration s", formats.tenths,
    ),
    Column(
        "calibration_rss_bytes", BYTES, "Peak resident memory of the calibration.",
        built("calibration_rss_bytes"),
    ),
    Column(
        "calibration_drop", NUMBER,
        "mIoU that INT8 loses on training images that neither its calibration nor the choice of its layers saw.",
        built("calibration_drop"),
    ),
    Column(
        "calibration_drop_high", NUMBER, "Upper end of the 95% interval of `calibration_drop` over images.",
        built("calibration_drop_high"),
    ),
    Column(
        "peak_rss_bytes", BYTES, "Largest resident memory of a timed process.",
        lambda s: s.rss_bytes, "memory MB", formats.megabytes,
    ),
    Column(
        "peak_gpu_bytes", BYTES,
        "GPU memory in use at the end of a timed round, the driver's own and other processes' included.",
        lambda s: s.gpu_bytes,
    ),
    Column(
        "software_id", TEXT,
        "Equal where kernel, driver, packages, thread count and the variables that engines read are equal.",
        lambda s: s.software_id,
    ),
    Column(
        "hardware_id", TEXT,
        "Equal on equal hardware only. Several are separated by `;`, where rounds ran on several machines.",
        lambda s: s.hardware_id,
    ),
    Column(
        "hardware", TEXT, "The machine in words: CPU, physical cores, GPU.",
        lambda s: s.hardware,
    ),
    Column(
        "iou_per_class", BY_CLASS,
        "IoU by class name, in `table.json` only; null for a class that does not occur.",
        scored("iou_per_class"),
    ),
)  # fmt: skip

NAMES = tuple(column.name for column in COLUMNS if column.kind.flat)  # the header of table.csv
# Sentences are wide, so they stand last where a person reads.
SHOWN = sorted((column for column in COLUMNS if column.heading), key=lambda column: column.kind is SENTENCES)
