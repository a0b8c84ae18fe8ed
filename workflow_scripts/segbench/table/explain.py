"""Explain the difference of two rows of one model by the times of their layers, in groups that all engines share."""

from __future__ import annotations

import re
from dataclasses import dataclass

from segbench.errors import one_line
from segbench.table.formats import percent, significant
from segbench.timing.layers import Layer, Profile

# What ONNX Runtime, OpenVINO's CPU plug-in and Paddle call their operators; the first that fits counts. Paddle's `mul`
# is a matrix product, ONNX's `Mul` is not.
GROUPS = (
    ("convolutions", r"conv(?!ert)"),
    ("matrix products", r"matmul|matrixmultiply|gemm|fullyconnected|^fc$|(?-i:^mul$)|attention|^mha|einsum"),
    ("softmax", r"softmax"),
    ("resizing", r"resize|interp|upsample"),
    ("argmax", r"arg_?max|topk|top_k"),
    ("pooling and means", r"pool|reduce|mean"),
    ("conversions", r"quantize|reorder|convert|cast|transpose|transfer|layout|reformat"),
    (
        "concatenation and slices",
        r"concat|split|slice|gather|reshape|flatten|squeeze|stack|tile|expand|pad|shape|shuffle",
    ),
)
HEAVY = ("convolutions", "matrix products")
REST = "arithmetic and others"
OUTSIDE = "gaps between layers"
SHARE_TOLD = 0.02  # of the first row's time; smaller changes are in the table alone


@dataclass(frozen=True)
class Group:
    """What the layers of one group take together in a run, and how many they are."""

    seconds: float = 0.0
    count: int = 0


@dataclass(frozen=True)
class Change:
    """A group of layers in both rows."""

    name: str
    first: Group
    second: Group

    @property
    def seconds(self) -> float:
        """Return by how much the group takes longer in the second row."""
        return self.second.seconds - self.first.seconds


def group_of(kind: str) -> str:
    """Return the group of an operator, by the engine's name of its kind."""
    return next((name for name, pattern in GROUPS if re.search(pattern, kind, re.IGNORECASE)), REST)


def sum_of_layers(profile: Profile) -> float:
    """Return what the layers take together in a run, in seconds."""
    return sum(layer["median_s"] for layer in profile["layers"])


def changes(first: Profile, second: Profile) -> list[Change]:
    """Return every group that either row has, the largest change first, and last what no layer accounts for."""
    before, after = _groups(first), _groups(second)
    names = [name for name in (*(name for name, _ in GROUPS), REST) if name in before or name in after]
    found = [Change(name, before.get(name, Group()), after.get(name, Group())) for name in names]
    outside = [Group(profile["run_s"] - sum_of_layers(profile)) for profile in (first, second)]
    return [*sorted(found, key=lambda one: -abs(one.seconds)), Change(OUTSIDE, *outside)]


def _groups(profile: Profile) -> dict[str, Group]:
    found: dict[str, Group] = {}
    for layer in profile["layers"]:
        name = group_of(layer["kind"])
        before = found.get(name, Group())
        found[name] = Group(before.seconds + layer["median_s"], before.count + 1)
    return found


def sentence(titles: tuple[str, str], first: Profile, second: Profile, fp32_layers: int | None = None) -> str:
    """Say in numbers where the second row saves time and where it loses some. `titles` name the rows; `fp32_layers`:
    how many layers the calibrator left in FP32.
    """
    told = [one for one in changes(first, second) if abs(one.seconds) >= SHARE_TOLD * first["run_s"]]
    saved, lost = ([one for one in told if one.seconds * sign > 0] for sign in (-1, 1))
    parts = [part for part in (_listed("saves", saved), _listed("loses", lost)) if part]
    ratio = second["run_s"] / first["run_s"]
    took = f"{titles[1]} takes {_ms(second['run_s'])} where {titles[0]} takes {_ms(first['run_s'])} (×{ratio:.2f})"
    why = f"it {' and '.join(parts)}" if parts else f"no group of layers differs by {percent(SHARE_TOLD)} or more"
    return f"{took}: {why}.{_precisions(second, fp32_layers)}"


def _listed(word: str, found: list[Change]) -> str:
    items = [f"{_ms(abs(one.seconds))} in {one.name}{_counts(one)}" for one in found]
    return f"{word} {', '.join(items)}" if items else ""


def _counts(one: Change) -> str:
    if one.name == OUTSIDE:
        return ""
    before, after = one.first.count, one.second.count
    return f" ({after} layer{'s' * (after != 1)})" if before == after else f" ({before} → {after} layers)"


def _precisions(profile: Profile, fp32_layers: int | None) -> str:
    """Say how many of the layers that compute most run in another precision than 8 bits, where the engine tells."""
    heavy = [layer for layer in profile["layers"] if group_of(layer["kind"]) in HEAVY]
    wide = [layer for layer in heavy if layer["precision"] not in ("int8", "")]
    said = ""
    if any(layer["precision"] == "int8" for layer in heavy) and wide:
        took = _ms(sum(layer["median_s"] for layer in wide))
        said += f" Not in INT8: {len(wide)} of its {len(heavy)} convolutions and matrix products, {took}."
    if fp32_layers:
        said += f" The calibrator left {fp32_layers} layer{'s' * (fp32_layers != 1)} in FP32 (calibration.max_drop)."
    return said


def _ms(seconds: float) -> str:
    return f"{significant(max(seconds, 1e-7) * 1e3, 3)} ms"


def change_cells(found: list[Change]) -> list[list[str]]:
    """Return the cells of the table of groups: name, milliseconds and layers of both rows, and the change."""
    return [[one.name, *_cells(one.first), *_cells(one.second), f"{one.seconds * 1e3:+.3f}"] for one in found]


def _cells(group: Group) -> list[str]:
    return [f"{group.seconds * 1e3:.3f}", str(group.count or "")]


def layer_cells(profile: Profile, count: int) -> list[list[str]]:
    """Return the cells of the table of the slowest layers."""
    slowest = sorted(profile["layers"], key=lambda layer: -layer["median_s"])[:count]
    return [[*_texts(layer), f"{layer['median_s'] * 1e3:.3f}", _quartiles(layer)] for layer in slowest]


def _texts(layer: Layer) -> list[str]:
    others = [name for name in layer["stands_for"] if name != layer["name"]]
    kind = f"{layer['kind']} ({layer['kernel']})" if layer["kernel"] else layer["kind"]
    return [layer["name"], kind, layer["precision"], one_line(", ".join(others), 120)]


def _quartiles(layer: Layer) -> str:
    return f"{layer['low_s'] * 1e3:.3f}–{layer['high_s'] * 1e3:.3f}"
