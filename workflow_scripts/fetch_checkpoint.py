"""Fetch a model's weights: download them (resumed, retried, checked) or copy them from a path."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlunsplit
from urllib.request import url2pathname

from segbench.errors import InputError
from segbench.files import atomic, need_room, record_beside, sha256_of, write_record
from segbench.models.download import Download, split_address
from segbench.models.paddle_files import refuse_json_model
from segbench.process.lifetime import command


def fetch(weights: dict[str, Any], out: Path, cache: Path) -> None:
    """Write the file that `weights` (url or path, sha256 or None) names to `out`, and its SHA-256 to a record beside
    it.

    An ONNX model's external data is folded into `out`. For `out` X.pdiparams, the file of that suffix beside the named
    one and `pdiparams_sha256` are used. Raises InputError for a missing path, an unreachable address, a Paddle 3 model,
    or another SHA-256 than the configured one.
    """
    url, path = str(weights.get("url") or ""), str(weights.get("path") or "")
    if split_address(url).scheme == "file":
        url, path = "", url2pathname(split_address(url).path)
    refuse_json_model(Path(path or split_address(url).path), f"weights: {path or url}")
    expected, belongs_to = weights.get("sha256"), ""
    if out.suffix == ".pdiparams":
        expected, belongs_to = weights.get("pdiparams_sha256"), path or url
        path = str(Path(path).with_suffix(".pdiparams")) if path else ""
        beside = Path(split_address(url).path).with_suffix(".pdiparams") if url else ""
        url = urlunsplit(split_address(url)._replace(path=str(beside)))
    if path:
        _copy(Path(path), out, expected, belongs_to)
    else:
        _download(url, out, expected, cache)
    write_record(record_beside(out), {"sha256": sha256_of(out)})


def _copy(source: Path, out: Path, expected: str | None, belongs_to: str) -> None:
    if not source.is_file():
        what = f" (it belongs to {belongs_to})" if belongs_to else "; a relative path starts from model_root"
        raise InputError(f"weights.path: {source}: no such file{what}")
    with atomic(out) as temporary:
        need_room(out, source.stat().st_size)
        shutil.copyfile(source, temporary)
        check(temporary, str(source), expected)
        if out.suffix == ".onnx":
            _fold_external_data(source, temporary)


def _fold_external_data(source: Path, copy: Path) -> None:
    """Make `copy` whole where `source` keeps tensors in other files of its folder."""
    import onnx
    from segbench.models.onnx_files import has_external_data, read_onnx

    if has_external_data(source):
        onnx.save(read_onnx(source), str(copy))


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
    """Compare the SHA-256 of `path` with the expected one. Without an expected one, print it."""
    found = sha256_of(path)
    if expected is None:
        key = "pdiparams_sha256" if ".pdiparams" in origin else "sha256"
        print(f"{origin}: not pinned; put this into its entry: {key}: {found}", file=sys.stderr, flush=True)
    elif found != expected:
        raise InputError(f"{origin}: SHA-256 is {found}, expected {expected}; nothing was kept")


@command
def main() -> None:
    """Parse the command line and fetch."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", type=json.loads, required=True, help="JSON: url or path, sha256 or null")
    parser.add_argument("--out", type=Path, required=True, help="file to write")
    parser.add_argument("--cache", type=Path, required=True, help="folder for partial downloads")
    args = parser.parse_args()
    fetch(args.weights, args.out, args.cache)


if __name__ == "__main__":
    main()
