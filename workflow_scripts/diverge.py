"""Find the node after which a variant's class maps are others than the reference's, by pixels that change.

The network is cut in two. Its head runs on the variant's engine and the rest on the reference, native Paddle (of an
ONNX model, ONNX Runtime without optimisations). Bisection over the cuts finds the first node after which pixels change,
and then the fewest nodes before it that it takes. Each trial is a process of its own and keeps one image at a time.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypedDict, cast

import numpy as np
import numpy.typing as npt
from segbench.arrays import SAME_NETWORK, as_class_map
from segbench.calibration.base import open_calibration
from segbench.calibration.images import CalibrationImages, Entries
from segbench.config.options import Variant, parse_options
from segbench.engines import paddle_onednn
from segbench.engines.base import Engine, TensorSession, load
from segbench.errors import Failed, Unsupported
from segbench.files import check_manifest, read_json, scratch, write_json, write_record, write_text
from segbench.images.index import index_rows
from segbench.machine import topology
from segbench.machine.cpu import this_machine
from segbench.models import parting, pieces
from segbench.models.exported import ExportedModel
from segbench.models.pieces import Network, Node
from segbench.process.lifetime import command
from segbench.process.limits import configured_limits
from segbench.process.status import attempt, read_status, run_stage
from segbench.process.supervise import Outcome, progress, stage
from segbench.runtimes.paddle.passes import LEFT_OUT, guilty_passes, left_out
from segbench.table.markdown import table

SUFFIX = re.compile(r"(_nchwc|_token_\d+)+$")
IMAGES = 4  # inputs that are run; some passes are wrong from the second one on
NATIVE = {"paddle": "native Paddle", "onnxruntime": "ONNX Runtime without optimisations"}


class Job(TypedDict):
    """A row, and what it is compared with. Paths are texts, "": there is none."""

    model: str  # model.json
    engine: str  # folder of the built engine
    engine_status: str
    calibration: str  # status.json of the calibration
    variant: dict[str, Any]
    build: dict[str, Any]  # options of the engine
    run: dict[str, Any]
    index: str
    images: list[str]  # ids of the images to run first
    threads: int
    work: str  # folder for files of all trials


class Part(TypedDict):
    """A piece of a network on an engine. Without a `start` it begins at the image, without an `end` it has the class
    map. Tensors have the reference's names.
    """

    native: bool
    network: str
    names: dict[str, str]  # of tensors in this network
    start: list[str]
    end: list[str]
    left_out: list[str]  # graph passes of Paddle's, beside those that the engine leaves out


class Request(TypedDict):
    """The child's request: to prepare (no parts), or to run the images through all parts, one behind another."""

    job: Job
    parts: list[Part]
    out: str  # class maps to write, N×H×W


class Prepared(TypedDict):
    """What is cut: the reference's network, the row's, and what they are made of."""

    native: str  # engine of the reference
    reference: str
    row: str
    network: Network  # the reference's
    makers: dict[str, str]  # names of the row's nodes, by the tensors that they make
    names: dict[str, str]  # of the tensors that both have, in the row's network
    places: list[int]
    passes: list[str]


def work(request: Request) -> Mapping[str, Any]:
    """Do in the child what the request asks for."""
    return run_parts(request) if request["parts"] else prepare(request["job"])


def prepare(job: Job) -> Prepared:
    """Read both networks, and find where both can be cut."""
    variant = Variant(**job["variant"])
    engine, model = load(variant.engine), ExportedModel.open(Path(job["model"]))
    if not engine.runs_pieces:
        raise Unsupported(f"no pieces of a network run on {variant.engine}")
    if variant.scenario != "single":
        raise Unsupported(f"images run one after the other here, which {variant.name} does not: take its base_variant")
    if model.facts.get("head") == "logits":
        raise Unsupported("the host makes this row's class maps (head: logits): search the model with head: argmax")
    support = engine.supports(variant, this_machine())
    if not support.ok:
        raise Unsupported(support.reason)
    check_manifest(Path(job["engine"]), read_json(job["engine_status"])["manifest"])
    program, twin = model.file("model.pdmodel"), model.file("model.onnx")
    reference = program or twin
    if reference is None:
        raise Unsupported("the model has no form that a reference runs here (Paddle 3's own form)")
    progress("reading the networks")
    calibration = open_calibration(job["calibration"], model)
    row = engine.network(Path(job["engine"]), model, calibration, Path(job["work"]))
    network, other = pieces.read(reference), pieces.read(row)
    names = pieces.common(network, other)
    if job["calibration"] and row.suffix == ".onnx" and program and twin:  # quantised weights have other names
        of_twin = pieces.common(network, pieces.read(twin))
        known = other.made_once()
        names = {name: own for name, own in of_twin.items() if own in known}
    passes: list[str] = []
    if engine.leaves_passes_out:
        options = parse_options(engine.run_options, job["run"], f"variant_catalogue.{variant.name}.run")
        passes = paddle_onednn.fusions(paddle_onednn.onednn_config(row, 1, options, variant))
    return {
        "native": "paddle" if program else "onnxruntime",
        "reference": str(reference),
        "row": str(row),
        "network": network,
        "makers": {tensor: node.name for node in other.nodes for tensor in node.makes},
        "names": names,
        "places": pieces.places(network, names),
        "passes": passes,
    }


def run_parts(request: Request) -> dict[str, Any]:
    """Run the first images through all parts and write their class maps."""
    job = request["job"]
    model = ExportedModel.open(Path(job["model"]))
    images = CalibrationImages(chosen_rows(Path(job["index"]), job["images"]), model.facts, "running images")
    count = min(len(images), IMAGES)
    if not count:
        raise Failed(f"{job['index']} names no image")
    with scratch(Path(request["out"])) as folder:
        progress("opening the pieces")
        opened = [open_part(part, job, folder / str(number)) for number, part in enumerate(request["parts"])]
        class_maps = [through(opened, images[number]) for number in range(count)]
    np.save(request["out"], np.stack(class_maps))
    return {"images": [images.name(number) for number in range(count)]}


def chosen_rows(index: Path, first: list[str]) -> Entries:
    """Return the rows of the images `first`, in that order; without any, the first rows of the index."""
    rows = {row["image_id"]: row for row in index_rows(index)}
    return [rows[name] for name in first if name in rows] or list(rows.values())[:IMAGES]


Opened = Callable[[npt.NDArray[Any], dict[str, npt.NDArray[Any]]], dict[str, npt.NDArray[Any]]]


def open_part(part: Part, job: Job, folder: Path) -> Opened:
    """Cut the piece into `folder`, and open it. Return a function of the image and of the tensors that were made, which
    returns those that it makes.
    """
    names = part["names"]
    start = {names.get(name, name): name for name in part["start"]}
    piece = pieces.cut(Path(part["network"]), start, [names.get(name, name) for name in part["end"]], folder)
    inputs = pieces.read(piece).inputs
    session = open_session(part, job, piece)

    def run(image: npt.NDArray[Any], made: dict[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
        fed = {name: np.ascontiguousarray(made[start[name]]) if name in start else image for name in inputs}
        return dict(zip(part["end"] or [""], session.run(fed), strict=True))

    return run


def open_session(part: Part, job: Job, piece: Path) -> TensorSession:
    """Open a piece natively, or as the row's engine was built and is opened."""
    machine = this_machine()
    threads = topology.within_quota(job["threads"] or machine.default_threads, machine.cpu_quota)
    if part["native"]:
        name = "paddle" if piece.suffix == ".pdmodel" else "onnxruntime"
        build = {"optimization": "disable"} if name == "onnxruntime" else {}
        return _opened(load(name), Variant(f"{name}-fp32", name, "fp32"), piece, build, {}, threads)
    variant = Variant(**job["variant"])
    without = [*left_out(Path(job["engine"])), *part["left_out"]]
    if without:
        write_json(piece.with_name(LEFT_OUT), without)
    return _opened(load(variant.engine), variant, piece, job["build"], job["run"], threads)


def _opened(
    engine: Engine, variant: Variant, piece: Path, build: dict[str, Any], run: dict[str, Any], threads: int
) -> TensorSession:
    where = f"variant_catalogue.{variant.name}"
    parsed = (
        parse_options(engine.build_options, build, f"{where}.build"),
        parse_options(engine.run_options, run, f"{where}.run"),
    )
    return engine.open_piece(piece, variant, *parsed, threads)


def through(opened: list[Opened], image: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """Return the class map of an image that goes through all pieces."""
    made: dict[str, npt.NDArray[Any]] = {}
    for run in opened:
        made |= run(image, made)
    return as_class_map(made[""][0])


class Trial(NamedTuple):
    """What was seen where some nodes ran on the row's engine. None: they did not run."""

    nodes: list[int]
    changed: int | None


class Search:
    """Trials of one row. `supervised` runs a request of this script and says how it ended."""

    def __init__(self, job: Job, supervised: Callable[[Request], Outcome]) -> None:
        self._job, self._supervised = job, supervised
        self.trials: list[Trial] = []
        self.ended = Outcome("ok")  # how the last request ended
        self._count = 0

    def prepare(self) -> bool:
        """Read the networks, and run the images on the reference. Return whether both could be done."""
        self.ended = self._supervised({"job": self._job, "parts": [], "out": ""})
        if self.ended.status != "ok":
            return False
        self.found = cast(Prepared, self.ended.result)
        nodes, inputs, outputs = self.found["network"]
        self.network = Network([Node(*node) for node in nodes], tuple(inputs), tuple(outputs))
        expected = self._class_maps([self._part(True, [], [])])
        if expected is not None:
            self.expected, self.images = expected, self.ended.result["images"]
        return expected is not None

    def changed(self, chosen: Sequence[int], without: Sequence[str] = ()) -> int | None:
        """Return the pixels that change where the nodes `chosen` run on the row's engine, and without some passes."""
        passing = pieces.split(self.network, set(chosen))
        head, tail = [*passing.into, *passing.past], passing.out
        tail = [] if set(tail) & set(self.network.outputs) else tail  # the class map itself
        if not self.found["names"].keys() >= {*passing.into, *tail}:
            return None  # as inside what the row's network has as one node
        parts = [self._part(True, [], sorted(set(head)))] if head else []
        parts.append(self._part(False, passing.into, tail, without))
        parts += [self._part(True, sorted({*tail, *passing.past}), [])] if tail else []
        found = self._class_maps(parts)
        count = None if found is None else int((found != self.expected).sum())
        said = f"does not run: {self.ended.reason}" if count is None else f"{count} pixels change"
        left_out = f", {len(without)} passes left out" if without else ""
        print(f"{told(chosen)} on the row's engine{left_out}: {said}", flush=True)
        if not without:
            self.trials.append(Trial(list(chosen), count))
        return count

    def _part(self, native: bool, start: list[str], end: list[str], without: Sequence[str] = ()) -> Part:
        names = {} if native else {name: self.found["names"][name] for name in (*start, *end)}
        network = self.found["reference" if native else "row"]
        given = {"names": names, "start": start, "end": end, "left_out": list(without)}
        return cast(Part, {"native": native, "network": network, **given})

    def _class_maps(self, parts: list[Part]) -> npt.NDArray[np.uint8] | None:
        self._count += 1
        out = Path(self._job["work"]) / f"{self._count}.npy"
        self.ended = self._supervised({"job": self._job, "parts": parts, "out": str(out)})
        return np.load(out) if self.ended.status == "ok" else None


def told(numbers: Sequence[int]) -> str:
    """Return the numbers of nodes in words, runs of them by both ends."""
    ends: list[list[int]] = []
    for number in numbers:
        if ends and number == ends[-1][-1] + 1:
            ends[-1] = [ends[-1][0], number]
        else:
            ends.append([number])
    return "nodes " + ", ".join(" to ".join(map(str, pair)) for pair in ends)


def find(search: Search, bound: float) -> Outcome:
    """Search, and return what is written beside the status. `bound`: share of equal pixels that the row has to reach.

    The limit of changed pixels is that of the bound, or half of what the whole row changes where that is less.
    """
    total = search.changed(range(len(search.network.nodes))) if search.prepare() else None
    if total is None:
        return search.ended
    pixels, found = search.expected.size, search.found
    facts = {"reference": NATIVE[found["native"]], "images": search.images, "pixels": pixels, "changed": total}
    if total <= pixels * (1 - SAME_NETWORK):
        return Outcome("ok", result={**facts, "nodes": [], "trials": search.trials})
    limit = int(min(pixels * (1 - bound), total / 2))

    def parts(chosen: Sequence[int], without: Sequence[str] = ()) -> bool | None:
        changed = search.changed(chosen, without)
        return None if changed is None else changed > limit

    place = parting.find(found["places"], lambda first, behind: parts(range(first, behind)))
    seen = {tuple(trial.nodes): trial.changed for trial in search.trials}
    before, behind = (seen.get(tuple(range(end)), 0) for end in (place.before, place.behind))
    fewest = parting.fewest(search.network, place, parts)
    rest = range(place.behind, len(search.network.nodes))
    alone = search.changed(rest) if rest else 0  # whether the place is the only one
    right = lambda without: parts(fewest, without) is False  # noqa: E731
    passes = guilty_passes(found["passes"], right) if found["passes"] else []
    nodes = [node_of(number, search) for number in fewest]
    last = [node for node in nodes if node["number"] >= place.before]
    seen_there = {"limit": limit, "before": before, "behind": behind, "rest": alone}
    told_of = {"last": last, "nodes": nodes, "passes": passes or []}
    return Outcome("ok", result={**facts, **seen_there, **told_of, "trials": search.trials})


def node_of(number: int, search: Search) -> dict[str, Any]:
    """Return a node of the reference: its operator, its tensor, the node of the row that makes this, and the tensors
    that are made of it alone, one behind another, which a layer may be called after.
    """
    node = search.network.nodes[number]
    tensor = pieces.result(search.network, node)
    row_node = search.found["makers"].get(search.found["names"].get(tensor, ""), "")
    later = pieces.chain(search.network, tensor)
    return {"number": number, "kind": node.kind, "tensor": tensor, "row_node": row_node, "later": later}


def sentence(title: str, found: dict[str, Any]) -> str:
    """Say where the row parts from the reference."""
    of = f"{found['changed']} of {found['pixels']} pixels of {len(found['images'])} images"
    if not found["nodes"]:
        return f"{title} does not part from {found['reference']}: {of} differ, which rounding explains."
    last, nodes = found["last"], found["nodes"]
    said = (
        f"{title} parts from {found['reference']} at {_named(last)}: with the nodes up to there on its engine"
        f" {found['behind']} pixels change, and {found['before']} without ({of} in all)."
    )
    if found["rest"] is not None:
        said += f" The nodes behind alone change {found['rest']}."
    if len(nodes) > len(last):
        said += f" It takes {len(nodes)} nodes together: {' → '.join(node['kind'] for node in nodes)}."
    if found["passes"]:
        said += f" Without the graph pass {', '.join(found['passes'])} it does not part there."
    return said


def _named(nodes: list[dict[str, Any]]) -> str:
    return ", ".join(f"{node['kind']} `{node['tensor']}`" for node in nodes)


def executed(layers: dict[str, Any], nodes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the layers of a profile that stand for the nodes. ONNX Runtime calls one after the last tensor of what was
    fused, and adds how it computes.
    """
    of_name: dict[str, dict[str, Any]] = {}
    for layer in layers.get("layers", []):
        of_name |= {SUFFIX.sub("", name): layer for name in (*layer["stands_for"], layer["name"])}
    found = []
    for node in nodes:
        names = (node["row_node"], node["tensor"], *node["later"])
        layer = next((of_name[name] for name in names if name in of_name), None)
        found += [layer] if layer and layer not in found else []
    return found


def page(title: str, model: str, found: dict[str, Any], layers: list[dict[str, Any]]) -> str:
    """Return the Markdown page of what was found."""
    sections = [f"# {model}: where {title} parts from {found['reference']}", found["said"]]
    if found["nodes"]:
        cells = [[node["number"], node["kind"], node["tensor"], node["row_node"]] for node in found["nodes"]]
        heads = ["node", "operator", "tensor that it makes", f"node of {title}"]
        sections += ["## The nodes", table(heads, cells)]
    if layers:
        heads = ["layer", "kind", "kernel", "precision", "stands for"]
        cells = [
            [one["name"], one["kind"], one["kernel"], one["precision"], ", ".join(one["stands_for"])] for one in layers
        ]
        sections += ["## What the engine executes for them", table(heads, cells)]
    heads = [f"nodes on {title}", "pixels that change", "share"]
    cells = [[told(nodes), *_count(changed, found["pixels"])] for nodes, changed in found["trials"]]
    of = f"Nodes are numbered from 0 in the reference's order. Images: {', '.join(found['images'])}."
    return "\n\n".join([*sections, "## Trials", table(heads, cells), of]) + "\n"


def _count(changed: int | None, pixels: int) -> list[str]:
    return ["does not run", ""] if changed is None else [str(changed), f"{changed / pixels:.4%}"]


@command
def main() -> None:
    """Parse the command line, search, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="model.json of the exported model")
    parser.add_argument("--engine", type=Path, required=True, help="folder of the built engine")
    parser.add_argument("--engine-status", type=Path, required=True, help="its status.json")
    parser.add_argument("--calibration", default="", help="status.json of the calibration that it was built from")
    parser.add_argument("--variant", type=json.loads, required=True, help="JSON: name, engine, precision")
    parser.add_argument("--build", type=json.loads, default={}, help="JSON: the engine's build options")
    parser.add_argument("--run", type=json.loads, default={}, help="JSON: the engine's run options")
    parser.add_argument("--score", type=Path, required=True, help="score.json of the row, which names its worst images")
    parser.add_argument("--index", type=Path, required=True, help="index.csv of the images")
    parser.add_argument("--layers", type=Path, required=True, help="times of the row's layers (profile_layers.py)")
    parser.add_argument("--bound", type=float, required=True, help="share of equal pixels that the row has to reach")
    parser.add_argument("--threads", type=int, default=0, help="engine threads (0: one per fast core of a socket)")
    parser.add_argument("--markdown", type=Path, required=True, help="page to write")
    parser.add_argument("--json", type=Path, required=True, help="record to write")
    args = parser.parse_args()
    variant = args.variant["name"]
    name = f"{args.model.parent.name} {variant} parting"
    found = Outcome("ok")

    def searched() -> Mapping[str, Any]:
        nonlocal found
        worst = [image for image, _ in read_json(args.score).get("worst_images", [])]
        with scratch(args.json) as folder:
            job: Job = {
                "model": str(args.model), "engine": str(args.engine), "engine_status": str(args.engine_status),
                "calibration": args.calibration, "variant": args.variant, "build": args.build, "run": args.run,
                "index": str(args.index), "images": worst, "threads": args.threads, "work": str(folder),
            }  # fmt: skip
            variables = load(args.variant["engine"]).child_variables()
            limits = configured_limits()
            supervised = lambda request: run_stage(__file__, request, limits, name, variables=variables)  # noqa: E731
            found = find(Search(job, supervised), args.bound)
        return {}

    ended = attempt(searched, [read_status(args.engine_status), read_status(args.score)])
    outcome = found if ended.status == "ok" else ended
    record = {"status": outcome.status, "reason": outcome.reason, "variant": args.variant, **outcome.result}
    if outcome.status == "ok":
        record["said"] = sentence(variant, record)
        text = page(variant, args.model.parent.name, record, executed(read_json(args.layers), record["nodes"]))
    else:
        record["said"] = f"{variant}: {outcome.status}: {outcome.reason}"
        text = f"# {args.model.parent.name}: {variant}\n\n{record['said']}\n"
    write_record(args.json, record)
    write_text(args.markdown, text)
    print(record["said"])


if __name__ == "__main__":
    stage(main, work)
