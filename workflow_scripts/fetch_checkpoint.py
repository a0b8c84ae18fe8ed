"""Fetch a model's weights: download them (resumed, retried, checked) or copy them from a path."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlunsplit

from segbench.errors import InputError
from segbench.files import atomic, need_room, record_beside, sha256_of, source_record, write_text
from segbench.models.download import BESIDE, Download, local_path, split_address
from segbench.models.paddle_files import refuse_json_model
from segbench.models.stand_ins import refuse_stand_in
from segbench.process.lifetime import command
from segbench.process.status import attempt, write_status
from segbench.process.supervise import Outcome


def fetch(weights: dict[str, Any], out: Path, cache: Path, state: str = "") -> None:
    """Write the file that `weights` (url or path, sha256 or None) names to `out`, and a record beside it: how that
    ended, its SHA-256, the `state` that planning knows its sources by, and these sources, where they are files.

    An ONNX model's external data is folded into `out`. For `out` X.pdiparams or X.bin, the file of that suffix beside
    the named one and `pdiparams_sha256` are used. Raises InputError for a missing path, an unreachable address, a
    Paddle 3 model, or another SHA-256 than the configured one.
    """
    path = local_path(weights)
    url = "" if path else str(weights["url"])
    refuse_json_model(Path(path or split_address(url).path), f"weights: {path or url}")
    expected, belongs_to = weights.get("sha256"), ""
    if out.suffix in BESIDE.values():
        expected, belongs_to = weights.get("pdiparams_sha256"), path or url
        path = str(Path(path).with_suffix(out.suffix)) if path else ""
        beside = Path(split_address(url).path).with_suffix(out.suffix) if url else ""
        url = urlunsplit(split_address(url)._replace(path=str(beside)))
    sources: list[Path] = []
    if path:
        sources = _copy(Path(path), out, expected, belongs_to)
    else:
        _download(url, out, expected, cache)
    facts = _facts(out, state, [source_record(file) for file in sources])
    write_status(record_beside(out), f"weights {out}", Outcome("ok"), facts)


def _facts(out: Path, state: str, sources: list[dict[str, Any]]) -> dict[str, Any]:
    return {"sha256": sha256_of(out), "state": state, "sources": sources}


def _copy(source: Path, out: Path, expected: str | None, belongs_to: str) -> list[Path]:
    """Copy `source`, and return the files that went into the copy."""
    if not source.is_file():
        what = f" (it belongs to {belongs_to})" if belongs_to else "; a relative path starts from model_root"
        raise InputError(f"weights.path: {source}: no such file{what}")
    with atomic(out) as temporary:
        need_room(out, source.stat().st_size)
        shutil.copyfile(source, temporary)
        check(temporary, str(source), expected)
        return [source, *(_fold_external_data(source, temporary) if out.suffix == ".onnx" else [])]


def _fold_external_data(source: Path, copy: Path) -> list[Path]:
    """Make `copy` whole where `source` keeps tensors in other files of its folder, and return these."""
    import onnx
    from segbench.models.onnx_files import external_files, read_onnx

    if files := external_files(source):
        onnx.save(read_onnx(source), str(copy))
    return files


def _download(url: str, out: Path, expected: str | None, cache: Path) -> None:
    with Download(url, cache, may_resume=bool(expected)) as download:
        download.run()
        try:
            check(download.file, url, expected)
        except InputError:
            download.forget()
            raise
        with atomic(out) as temporary:
            shutil.move(download.file, temporary)
        download.forget()


def check(path: Path, origin: str, expected: str | None) -> None:
    """Refuse what is not the file at all, then compare SHA-256 with the expected one. Without one, print it."""
    refuse_stand_in(path, origin)
    found = sha256_of(path)
    if expected is None:
        key = "pdiparams_sha256" if any(suffix in origin for suffix in BESIDE.values()) else "sha256"
        print(f"{origin}: not pinned; put this into its entry: {key}: {found}", file=sys.stderr, flush=True)
    elif found != expected:
        raise InputError(f"{origin}: SHA-256 is {found}, expected {expected}; nothing was kept")


@command
def main() -> None:
    """Parse the command line and fetch."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", type=json.loads, required=True, help="JSON: url or path, sha256 or null")
    parser.add_argument("--state", default="", help="what planning knows the file by; it is kept in the record")
    parser.add_argument("--out", type=Path, required=True, help="file to write")
    parser.add_argument("--cache", type=Path, required=True, help="folder for partial downloads")
    args = parser.parse_args()

    def work() -> dict[str, Any]:
        fetch(args.weights, args.out, args.cache, args.state)
        return {}

    outcome = attempt(work)
    if outcome.status != "ok":
        write_text(args.out, "")
        write_status(record_beside(args.out), f"weights {args.out}", outcome, _facts(args.out, args.state, []))


if __name__ == "__main__":
    main()
