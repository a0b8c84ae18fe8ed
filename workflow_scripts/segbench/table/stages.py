"""Say where an image's time goes in each row: its stages, the head apart from the network, and the largest of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from segbench.table import formats
from segbench.table.explain import HEAVY, group_of
from segbench.timing.layers import Profile
from segbench.timing.stages import STAGES

NETWORK, HEAD = "network", "head"
SHOWN = tuple(name for stage in STAGES for name in ((NETWORK, HEAD) if stage == NETWORK else (stage,)))
TOLERANCE = 0.03  # of the end-to-end time, within which the stages add up to it
IN_NETWORK = "in the network"
HEADER = [
    *("model", "variant", *(f"{name}, ms" for name in SHOWN)),
    *("sum, ms", "end to end, ms", "sum / end to end", "note"),
]


@dataclass(frozen=True)
class RowStages:
    """The stages of a row: their median seconds by the names of `SHOWN`, none where the row did not run.

    Without a head in them, the network's time contains it. `files` says what was decoded.
    """

    model: str
    variant: str
    seconds: dict[str, float]
    sum_s: float  # the median of an image's sum
    end_to_end_s: float
    files: str
    notes: list[str]

    @property
    def adds_up(self) -> bool:
        """Return whether the stages are the whole, as far as a row ran."""
        return not self.seconds or abs(self.sum_s / self.end_to_end_s - 1) <= TOLERANCE

    @property
    def largest(self) -> str:
        """Return the stage that takes most."""
        return max(self.seconds, key=lambda name: self.seconds[name])

    def share(self, stage: str) -> float:
        """Return the share of a stage in the sum."""
        return self.seconds[stage] / self.sum_s


def head_share(profile: Profile) -> float | None:
    """Return the share of a profiled run that the layers behind the last convolution or matrix product take: the last
    resize and the argmax. None: it has no such layer.
    """
    layers = profile["layers"]
    heavy = [number for number, layer in enumerate(layers) if group_of(layer["kind"]) in HEAVY]
    if not heavy:
        return None
    return sum(layer["median_s"] for layer in layers[heavy[-1] + 1 :]) / profile["run_s"]


def row_stages(model: str, variant: str, times: Mapping[str, Any], layers: Mapping[str, Any]) -> RowStages:
    """Return the stages of a row from its records of rule time_stages and of rule profile_layers.

    `model` and `variant` are what the row is called.
    """
    if times["status"] != "ok":
        return RowStages(model, variant, {}, 0.0, 0.0, "", [f"{times['status']}: {times['reason']}"])
    seconds, notes = {name: times["stages"][name]["median_s"] for name in STAGES}, []
    share, why = _share_of_head(times, layers)
    if share is None:
        notes.append(f"the head is {IN_NETWORK}: {why}")
    else:
        whole = seconds[NETWORK]
        parted = {**seconds, NETWORK: whole * (1 - share), HEAD: whole * share}
        seconds = {name: parted[name] for name in SHOWN}
    if times["contended"]:
        notes.append("other processes used the machine")
    if times["throttled"]:
        notes.append("the machine was throttled")
    files = f"{' and '.join(times['file_kinds'])}, {times['file_bytes'] / 1e3:.0f} kB at the median"
    sum_s, end_to_end_s = (times[key]["median_s"] for key in ("sum", "end_to_end"))
    return RowStages(model, variant, seconds, sum_s, end_to_end_s, files, notes)


def _share_of_head(times: Mapping[str, Any], layers: Mapping[str, Any]) -> tuple[float | None, str]:
    """Return the share of the network's time that is its head's; None, and why, where it is not known."""
    if times["head"] == "logits":
        return None, "the host makes the class map of logits"
    if layers["status"] != "ok":
        return None, layers["reason"]
    return head_share(cast(Profile, layers)), "its profile has no convolution and no matrix product"


def stage_cells(row: RowStages) -> list[str]:
    """Return the cells of a row, in the columns of `HEADER`."""
    note = "; ".join(row.notes)
    if not row.seconds:
        return [row.model, row.variant, *[""] * (len(HEADER) - 3), note]
    figures = [_ms(row.seconds[name]) if name in row.seconds else IN_NETWORK for name in SHOWN]
    whole = [_ms(row.sum_s), _ms(row.end_to_end_s), f"{row.sum_s / row.end_to_end_s:.3f}"]
    return [row.model, row.variant, *figures, *whole, note]


def sentences(rows: list[RowStages]) -> list[str]:
    """Return a sentence for each model: which stage takes most, in which rows."""
    models = dict.fromkeys(row.model for row in rows)
    return [_sentence(model, [row for row in rows if row.model == model and row.seconds]) for model in models]


def _sentence(model: str, rows: list[RowStages]) -> str:
    if not rows:
        return f"{model}: no row ran."
    by_largest: dict[str, list[RowStages]] = {}
    for row in rows:
        by_largest.setdefault(row.largest, []).append(row)
    parts = [_in_rows(stage, of_stage) for stage, of_stage in sorted(by_largest.items(), key=lambda one: -len(one[1]))]
    return f"{model}: the largest stage is {', and '.join(parts)}."


def _in_rows(stage: str, rows: list[RowStages]) -> str:
    low, high = (chosen(rows, key=lambda row: row.share(stage)) for chosen in (min, max))
    name = stage if stage == "decode" else f"the {stage}"
    if len(rows) == 1:
        return f"{name} in {low.variant} ({low.share(stage):.0%} of the sum)"
    spread = f"{low.share(stage):.0%} of the sum in {low.variant} to {high.share(stage):.0%} in {high.variant}"
    return f"{name} in {len(rows)} rows ({spread})"


def method(rows: list[RowStages]) -> str:
    """Say how the stages were measured."""
    files = next((f" ({row.files})" for row in rows if row.files), "")
    return (
        "Medians over the images of the timed rounds, one image at a time; the sum is the median of an image's sum."
        f" Decoding is of the images' own files{files}, which were in the page cache."
        " The end-to-end time has one clock around everything. It is of other runs of the same images, in turn with"
        " those in stages. The head is what runs behind the network's last convolution or matrix product: as large a"
        " share of the network's time as it has of a run with the engine's profiler on. No time in the results table"
        " comes from here."
    )


def doubts(rows: list[RowStages]) -> str:
    """Name the rows whose stages are not the whole; empty where there are none."""
    off = [f"{row.model} {row.variant}" for row in rows if not row.adds_up]
    if not off:
        return ""
    return (
        f"**The sum of the stages is more than {TOLERANCE:.0%} off the end-to-end time** in {', '.join(off)}: time them"
        " again (`snakemake --forcerun time_stages …`) when nothing else runs."
    )


def _ms(seconds: float) -> str:
    return formats.significant(max(seconds, 1e-7) * 1e3, 3)
