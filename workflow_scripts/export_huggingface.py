"""Export a network of transformers from its folder to ONNX, under supervision, since exporters crash or do not end."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypedDict

from segbench.errors import InputError
from segbench.files import atomic, record_beside, sha256_of, source_record
from segbench.machine.cpu import package_version
from segbench.models import huggingface_files, huggingface_model
from segbench.models.record import entry_parser, outcome_of
from segbench.process.lifetime import command
from segbench.process.limits import Limits, configured_limits
from segbench.process.status import attempt, run_stage, write_status
from segbench.process.supervise import Outcome, progress, stage

PACKAGES = ("torch", "transformers", "onnx", "onnxscript", "onnxruntime")


class Request(TypedDict):
    """The child's request: paths as texts."""

    where: str
    folder: str
    size: list[int]  # height, width
    out: str


def work(request: Request) -> dict[str, Any]:
    """Load and export in the child."""
    progress("loading the network", silent=True)
    network = huggingface_model.load(Path(request["folder"]), request["where"])
    progress("exporting to ONNX", silent=True)
    size = (request["size"][0], request["size"][1])
    return {"notes": huggingface_model.export(network, size, request["where"], Path(request["out"]))}


def export(name: str, entry: dict[str, Any], folder: Path, state: str, limits: Limits, out: Path) -> Outcome:
    """Export in the parent. Where that fails `out` is empty. The record beside it says why, and what was read."""
    where = f"model_catalogue.{name}"
    sources: list[Path] = []
    size = [entry["input"]["height"], entry["input"]["width"]]

    def check() -> dict[str, Any]:
        try:
            sources.extend(huggingface_files.files_of(folder))
            huggingface_files.read_network(folder)
        except InputError as error:
            raise InputError(f"{where}.folder: {error}") from None
        if missing := [package for package in PACKAGES if not package_version(package)]:
            raise InputError(f"{where}.kind: huggingface: {missing[0]} is not installed here; run `make env-torch`")
        return {}

    with atomic(out) as temporary:
        temporary.write_bytes(b"")
        request: Request = {"where": where, "folder": str(folder), "size": size, "out": str(temporary)}
        before = attempt(check, [outcome_of(entry)])
        outcome = run_stage(
            __file__, request, limits.of_conversion(), f"{name} ONNX export", [before],
            variables=huggingface_model.OFFLINE,
        )  # fmt: skip
        if outcome.status != "ok":
            temporary.write_bytes(b"")
    facts = {
        "sha256": sha256_of(out),
        "state": state,
        "sources": [source_record(path) for path in sources],
        "versions": {package: version for package in PACKAGES if (version := package_version(package))},
    }
    write_status(record_beside(out), f"{name} ONNX export", outcome, facts)
    return outcome


@command
def main() -> None:
    """Parse the command line and export."""
    parser = entry_parser(__doc__)
    parser.add_argument("--folder", type=Path, required=True, help="the folder that save_pretrained left")
    parser.add_argument("--state", default="", help="what planning knows its files by; it is kept in the record")
    parser.add_argument("--out", type=Path, required=True, help="ONNX file to write; empty where there is none")
    args = parser.parse_args()
    export(args.model, args.entry, args.folder, args.state, configured_limits(), args.out)


if __name__ == "__main__":
    stage(main, work)
