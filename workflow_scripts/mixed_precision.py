"""Say what each group of an INT8 row's layers gains by its precision, and whether the chosen mix keeps the promise."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from segbench.files import read_json, write_record, write_text
from segbench.process.lifetime import command
from segbench.process.status import attempt, read_status
from segbench.table.formats import miou, percent
from segbench.table.markdown import table
from segbench.table.mixed_precision import Measured, Predicted, agrees, front, measured, ratio_of, verdict
from segbench.table.verdict import Ratio

HEADER = [
    "in FP32", "layers", "time / the row's", "95% interval", "change, ms", "changed pixels", "95% interval", "loss",
    "regained", "on the front", "notes",
]  # fmt: skip
EXPLAINED = (
    "Times are ratios of pairs, timed A B B A; `change` is that of the row's {row_ms:.3f} ms. `changed pixels` have"
    " another class than in FP32, on training images that calibration has not seen. `loss` is 1 minus the mean IoU with"
    " FP32's class maps, over classes. `regained` is how much less that is than the row's. On the front are those"
    " than which no other line is both faster and nearer to FP32."
)


def whole(choice: Mapping[str, Any], changes: Mapping[str, Any], pairs: Mapping[str, Any], allowed: float) -> Any:
    """Return what was measured of all mixes, and which of `int8`, `fp32` and `chosen` to take.

    `choice` is the record of choose_mix.py. `changes` has the records of class maps of the row and of the mix, and
    `pairs` those of the pairs between these and FP32.
    """
    row = changes["int8"]
    same = {"counts": [np.stack([image[1]] * 3).tolist() for image in row["counts"]]}  # FP32 beside itself
    mix = measured("chosen", pairs["int8--chosen"], changes["chosen"], row)
    exact = measured("fp32", pairs["int8--fp32"], same, row)
    found = {"measured": [*choice["measured"], mix, exact]}
    if failed := next((one for one in (mix, exact, pairs["fp32--chosen"]) if one["status"] != "ok"), None):
        return found | {"taken": None, "why": f"{failed['status']}: {failed['reason']}"}
    ratios = {name: ratio_of(pair) for name, pair in pairs.items()}
    taken, against = verdict(ratios["int8--fp32"], ratios["int8--chosen"], ratios["fp32--chosen"], allowed)
    within = agrees(Predicted(**choice["predicted"]), ratios["int8--chosen"])
    return found | {"taken": taken, "against": against._asdict(), "within": within}


def sentence(names: Mapping[str, str], choice: Mapping[str, Any], found: Mapping[str, Any], allowed: float) -> str:
    """Say in numbers what was chosen, promised and measured. `names` are those of the rows `int8` and `fp32`."""
    count = len(choice["groups"])
    text = f"The chosen mix has {', '.join(choice['chosen'])} of {count} groups in FP32."
    if not choice["chosen"]:
        text = (
            f"None of {count} groups goes to FP32: none is shown to be faster so, or to regain agreement for a time"
            " that counts as the same (`comparison.margin`). So the mix is the row, built once more."
        )
    if found["taken"] is None:
        return f"{text} It was not measured as a whole: {found['why']}"
    row_ms = (choice["row_s"] or 0.0) * 1e3
    mix = next(one for one in found["measured"] if one["name"] == "chosen")
    ratio = Ratio(mix["ratio"], mix["ratio_low"], mix["ratio_high"], "")
    kept = "within the intervals" if found["within"] else "**not** within the intervals"
    text += (
        f" The groups promise {_ms(Predicted(**choice['predicted']), row_ms)} against {names['int8']}; measured as a"
        f" whole it is {_ms(ratio, row_ms)}, {kept}."
    )
    against = Ratio(**found["against"])
    bounds = f"×{against.value:.3f} of the time of the faster one of both, at most ×{against.high:.3f}"
    if found["taken"] == "chosen":
        return f"{text} It takes {bounds}, and regains {mix['regained']:.4f} of mean IoU with FP32."
    limit = f"slower by less than {percent(allowed)} (`comparison.allowed`)"
    return f"{text} **Take {names[found['taken']]} instead**: the mix is not shown to be {limit}: it takes {bounds}."


def _ms(ratio: Ratio | Predicted, row_ms: float) -> str:
    low, high = (((end or 1.0) - 1) * row_ms for end in (ratio.low, ratio.high))
    return f"{(ratio.value - 1) * row_ms:+.3f} ms ({low:+.3f} to {high:+.3f})"


def cells(mixes: list[Measured], layers: Mapping[str, int], row_s: float) -> list[list[str]]:
    """Return the cells of the table of mixes, the fastest first; last those that did not run."""
    ran = sorted((one for one in mixes if one["status"] == "ok"), key=lambda one: one["ratio"])
    best = front(ran)
    lines = [
        [
            one["name"],
            str(layers.get(one["name"], "")),
            f"{one['ratio']:.3f}",
            f"{one['ratio_low']:.3f}–{one['ratio_high']:.3f}",
            f"{(one['ratio'] - 1) * row_s * 1e3:+.3f}",
            f"{one['changed']:.3%}",
            "" if one["changed_low"] is None else f"{one['changed_low']:.3%}–{one['changed_high']:.3%}",
            miou(one["loss"]),
            f"{one['regained']:+.4f}",
            "yes" if one["name"] in best else "",
            "; ".join(one["notes"]),
        ]
        for one in ran
    ]
    failed = [one for one in mixes if one["status"] != "ok"]
    return lines + [[one["name"], *[""] * 9, f"{one['status']}: {one['reason']}"] for one in failed]


def entries(chosen: Path, settings: Mapping[str, Any]) -> str:
    """Return the lines of a configuration that make the mix a row. `chosen` is the file of its layers."""
    name, variant, calibrator = settings["int8"], settings["variant"], settings["calibrator"]
    mixed = f"{name}-mixed"
    files = {**calibrator["fp32_layers"], settings["model"]: str(chosen)}
    lines = {
        "calibrator_catalogue": {mixed: {**calibrator, "fp32_layers": files}},
        "variant_catalogue": {mixed: {**variant, "calibrator": mixed}},
    }
    return f"```yaml\n# and {mixed} among the `variants`\n{yaml.safe_dump(lines, sort_keys=False, width=1000)}```"


def page(choice: Mapping[str, Any], record: Mapping[str, Any], chosen: Path, settings: Mapping[str, Any]) -> list[str]:
    """Return the parts of the page that follow its sentence."""
    groups = choice["groups"]
    layers = {name: len(group["layers"]) for name, group in groups.items()}
    layers |= {"int8": 0, "chosen": sum(layers[name] for name in choice["chosen"])}
    kept = choice["kept_before"]
    before = f" Of it, {kept} further layers are in FP32 everywhere (`calibration.max_drop`)." if kept else ""
    spans = [
        [name, str(layers[name]), f"{group['layers'][0]} … {group['layers'][-1]}", f"{group['seconds'] * 1e3:.3f}"]
        for name, group in groups.items()
    ]
    row = ["## The chosen mix as a row", entries(chosen, settings)] if choice["chosen"] else []
    return [
        table(HEADER, cells(record["measured"], layers, choice["row_s"] or 0.0)),
        f"`int8` is {settings['int8']}, the row; `fp32` is {settings['fp32']}.{before}"
        f" {EXPLAINED.format(row_ms=(choice['row_s'] or 0.0) * 1e3)}",
        "## The groups",
        table(["group", "layers", "first … last", "in FP32, ms"], spans),
        *row,
    ]


@command
def main() -> None:
    """Parse the command line and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--chosen", type=Path, required=True, help="record of the chosen mix (choose_mix.py)")
    parser.add_argument("--changes", type=Path, nargs=2, required=True, help="MIX/changes.json of the row and the mix")
    parser.add_argument("--pairs", type=Path, nargs=3, required=True, help="int8--fp32, int8--chosen, fp32--chosen")
    parser.add_argument("--settings", type=json.loads, required=True, help="JSON: allowed; the row's names and entries")
    parser.add_argument("--markdown", type=Path, required=True, help="page to write")
    parser.add_argument("--json", type=Path, required=True, help="record to write")
    args = parser.parse_args()
    settings, choice = args.settings, read_json(args.chosen)
    changes = {path.parent.name: read_json(path) for path in args.changes}
    pairs = {path.stem: read_json(path) for path in args.pairs}
    outcome = attempt(lambda: whole(choice, changes, pairs, settings["allowed"]), [read_status(args.chosen)])
    record = {"status": outcome.status, "reason": outcome.reason, **outcome.result}
    parts = list[str]()
    if outcome.status == "ok":
        record["said"] = sentence(settings, choice, record, settings["allowed"])
        parts = page(choice, record, args.chosen, settings)
    text = record.get("said") or f"Nothing was measured: {outcome.status}: {outcome.reason}"
    write_record(args.json, {"model": settings["model"], "variant": settings["int8"], **record})
    title = f"# {settings['model']}: the precisions of {settings['int8']}, group by group"
    write_text(args.markdown, "\n\n".join([title, text, *parts]) + "\n")
    print(text)


if __name__ == "__main__":
    main()
