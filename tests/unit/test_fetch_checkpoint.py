"""Weights are fetched over a real connection to a server that misbehaves in the ways that servers do."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import onnx
import pytest
from fetch_checkpoint import fetch
from helpers.made import make_onnx_model
from onnx import external_data_helper
from segbench.errors import InputError
from segbench.models.download import BLOCK, Download

CONTENT = bytes(np.random.default_rng(0).integers(0, 256, 300_000, dtype=np.uint8))
CUT = 3 * BLOCK  # where connections break: what is in a part of a block is lost
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Server(ThreadingHTTPServer):
    """Serves `content` at any path; `tricks` are taken off one by one, one for each request."""

    daemon_threads = True
    content = CONTENT
    etag: str | None = '"one"'
    tricks: list[str]
    requests: list[dict[str, str | None]]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/model.pdparams"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        trick = self.server.tricks.pop(0) if self.server.tricks else ""
        self.server.requests.append({"Range": self.headers["Range"], "If-Range": self.headers["If-Range"]})
        if trick.startswith("status "):
            self.send_error(int(trick.split()[1]))
            return
        if trick.startswith("to "):
            self.send_response(302)
            self.send_header("Location", trick.split()[1])
            self.end_headers()
            return
        content, start = self.server.content, 0
        if self.headers["Range"] and self.headers["If-Range"] in (None, self.server.etag):
            start = int(self.headers["Range"].removeprefix("bytes=").removesuffix("-"))
        if start and start >= len(content):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(content)}")
            self.end_headers()
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        length = 5 << 30 if trick == "huge" else len(content) - start
        self.send_header("Content-Length", str(length))
        if self.server.etag:
            self.send_header("ETag", self.server.etag)
        self.end_headers()
        end = start + CUT if trick in ("truncated", "stall") else len(content)
        self.wfile.write(content[start:end])
        self.wfile.flush()
        if trick == "stall":
            time.sleep(2)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(Download, "backoff_s", 0.01)
    monkeypatch.setattr(Download, "stall_s", 0.5)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with Server(("127.0.0.1", 0), Handler) as running:
        running.tricks, running.requests = [], []
        threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True).start()
        yield running
        running.shutdown()


def get(server: Server, folder: Path, sha256: str | None = SHA256) -> Path:
    out = folder / "out" / "checkpoint.pdparams"
    fetch({"url": server.url, "path": None, "sha256": sha256}, out, folder / "cache")
    return out


def left_in_cache(folder: Path) -> list[str]:
    return [path.suffix for path in (folder / "cache").iterdir() if path.suffix != ".lock"]


def test_download_arrives_and_leaves_nothing_in_the_cache(server: Server, tmp_path: Path) -> None:
    assert get(server, tmp_path).read_bytes() == CONTENT
    assert left_in_cache(tmp_path) == []


def test_truncated_and_stalled_transfers_are_resumed(server: Server, tmp_path: Path) -> None:
    server.tricks = ["truncated", "stall"]
    assert get(server, tmp_path).read_bytes() == CONTENT
    assert [request["Range"] for request in server.requests] == [None, f"bytes={CUT}-"]
    server.tricks, server.requests = ["stall"], []
    assert get(server, tmp_path / "again").read_bytes() == CONTENT
    assert server.requests[1] == {"Range": f"bytes={CUT}-", "If-Range": '"one"'}


def test_a_later_run_goes_on_where_an_earlier_one_gave_up(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.tricks = ["truncated"] + ["status 503"] * Download.attempts
    with pytest.raises(InputError) as caught:
        get(server, tmp_path)
    assert str(caught.value) == (
        f"{server.url}: cannot be downloaded (HTTP status 503 Service Unavailable); fetch it on a machine that can, and"
        " give its place as weights: {path: FILE}"
    )
    assert not (tmp_path / "out").exists()
    server.requests = []
    assert get(server, tmp_path).read_bytes() == CONTENT
    assert server.requests[0]["Range"] == f"bytes={CUT}-"
    assert "trying again in 0.02 s (0.2 MB are here)" in capsys.readouterr().err


def test_file_that_changed_on_the_server_is_fetched_anew(server: Server, tmp_path: Path) -> None:
    server.tricks = ["truncated", "status 404"]
    with pytest.raises(InputError, match="HTTP status 404"):
        get(server, tmp_path)
    server.content, server.etag = CONTENT[::-1], '"two"'
    assert get(server, tmp_path, sha256=None).read_bytes() == CONTENT[::-1]


def test_without_validator_and_hash_nothing_is_resumed(server: Server, tmp_path: Path) -> None:
    server.etag, server.tricks = None, ["truncated"]
    assert get(server, tmp_path, sha256=None).read_bytes() == CONTENT
    assert [request["Range"] for request in server.requests] == [None, None]


def test_partial_file_that_is_whole_already_is_taken(server: Server, tmp_path: Path) -> None:
    with Download(server.url, tmp_path / "cache") as download:
        download.file.write_bytes(CONTENT)
    assert get(server, tmp_path).read_bytes() == CONTENT


def test_wrong_hash_names_both_and_keeps_nothing(server: Server, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        get(server, tmp_path, sha256="0" * 64)
    assert str(caught.value) == f"{server.url}: SHA-256 is {SHA256}, expected {'0' * 64}; nothing was kept"
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())
    assert left_in_cache(tmp_path) == []


def test_unpinned_download_prints_its_hash(server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    get(server, tmp_path, sha256=None)
    assert f"{server.url}: not pinned; put this into its entry: sha256: {SHA256}" in capsys.readouterr().err


def test_a_no_is_not_asked_again(server: Server, tmp_path: Path) -> None:
    server.tricks = ["status 403"] * 9
    with pytest.raises(InputError, match=r"cannot be downloaded \(HTTP status 403 Forbidden\)"):
        get(server, tmp_path)
    assert len(server.requests) == 1


def test_redirects_lead_to_http_only(server: Server, tmp_path: Path) -> None:
    server.tricks = [f"to {server.url}/moved"]
    assert get(server, tmp_path).read_bytes() == CONTENT
    server.tricks = ["to file:///etc/hostname"] * 2
    with pytest.raises(InputError, match=r"No connection adapters were found for 'file:///etc/hostname'"):
        get(server, tmp_path)
    assert len(server.requests) == 3


def test_absurd_size_is_refused(server: Server, tmp_path: Path) -> None:
    server.tricks = ["huge"]
    with pytest.raises(InputError, match="has 5368709120 bytes, more than the 4294967296 that are accepted"):
        get(server, tmp_path)


def test_unreachable_address_says_what_would_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Download, "backoff_s", 0.01)
    with Server(("127.0.0.1", 0), Handler) as closed:
        url = closed.url
    with pytest.raises(InputError) as caught:
        fetch({"url": url, "path": None, "sha256": None}, tmp_path / "checkpoint.pdparams", tmp_path / "cache")
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(f"{url}: cannot be downloaded (")
    assert "Connection refused" in message
    assert message.endswith("fetch it on a machine that can, and give its place as weights: {path: FILE}")


def test_other_schemes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        fetch({"url": "ftp://x/y.pdparams", "path": None, "sha256": None}, tmp_path / "c.pdparams", tmp_path / "cache")
    assert str(caught.value) == "weights.url: 'ftp://x/y.pdparams': must begin with https:, http: or file:"


@pytest.mark.parametrize("kind", ["path", "url"])
def test_local_file_is_copied_and_checked(tmp_path: Path, kind: str) -> None:
    source = tmp_path / "my weights.npz"
    source.write_bytes(CONTENT)
    weights = {"url": None, "path": None, "sha256": SHA256, kind: source.as_uri() if kind == "url" else str(source)}
    fetch(weights, tmp_path / "checkpoint.npz", tmp_path / "cache")
    assert (tmp_path / "checkpoint.npz").read_bytes() == CONTENT
    with pytest.raises(InputError) as caught:
        fetch({**weights, "sha256": "1" * 64}, tmp_path / "other.npz", tmp_path / "cache")
    assert str(caught.value) == f"{source}: SHA-256 is {SHA256}, expected {'1' * 64}; nothing was kept"
    assert not (tmp_path / "other.npz").exists()


def test_missing_path_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        fetch({"path": "no/such.npz", "sha256": None}, tmp_path / "checkpoint.npz", tmp_path / "cache")
    assert str(caught.value) == "weights.path: no/such.npz: no such file; a relative path starts from model_root"


def test_parameters_of_a_paddle_inference_model_lie_beside_it(server: Server, tmp_path: Path) -> None:
    (tmp_path / "net.pdmodel").write_bytes(b"program")
    weights = {"path": str(tmp_path / "net.pdmodel"), "sha256": "0" * 64}
    out = tmp_path / "a" / "checkpoint.pdiparams"
    with pytest.raises(InputError, match=r"net.pdiparams: no such file \(it belongs to .*net.pdmodel\)"):
        fetch(weights, out, tmp_path / "cache")
    (tmp_path / "net.pdiparams").write_bytes(b"parameters")
    fetch(weights, out, tmp_path / "cache")
    assert out.read_bytes() == b"parameters"
    with pytest.raises(InputError, match=r"net.pdiparams: SHA-256 is "):
        fetch({**weights, "pdiparams_sha256": "1" * 64}, out, tmp_path / "cache")
    url = server.url.replace("model.pdparams", "net.pdmodel")
    fetch({"url": url, "pdiparams_sha256": SHA256}, tmp_path / "b" / "checkpoint.pdiparams", tmp_path / "cache")
    assert (tmp_path / "b" / "checkpoint.pdiparams").read_bytes() == CONTENT


def test_paddle_3_model_that_is_called_pdmodel_is_not_copied(tmp_path: Path) -> None:
    (tmp_path / "net.json").write_text("{}")
    with pytest.raises(InputError, match=r"net.pdmodel: a Paddle 3 model in JSON form; name it in weights as net.json"):
        fetch({"path": str(tmp_path / "net.pdmodel")}, tmp_path / "checkpoint.pdmodel", tmp_path / "cache")


def test_external_data_is_folded_into_the_copy(tmp_path: Path) -> None:
    model = onnx.load(str(make_onnx_model(tmp_path / "whole.onnx")))
    external_data_helper.convert_model_to_external_data(model, location="weights.bin", size_threshold=0)
    onnx.save(model, str(tmp_path / "split.onnx"))
    assert (tmp_path / "weights.bin").exists()
    fetch({"path": str(tmp_path / "split.onnx")}, tmp_path / "out" / "checkpoint.onnx", tmp_path / "cache")
    copy = onnx.load(str(tmp_path / "out" / "checkpoint.onnx"), load_external_data=False)
    assert [t.raw_data for t in copy.graph.initializer] == [
        t.raw_data for t in onnx.load(str(tmp_path / "whole.onnx")).graph.initializer
    ]


STAND_INS = {
    b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n": "is a pointer of Git LFS, not the file",
    b"\n<!DOCTYPE html>\n<html><title>Not found</title></html>": "is a page (HTML or XML), not the file",
    b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>': "is a page (HTML or XML), not the file",
    b"": "is empty; fetch it again",
}


@pytest.mark.parametrize("content", STAND_INS, ids=["lfs", "html", "xml", "empty"])
@pytest.mark.parametrize("kind", ["path", "url"])
@pytest.mark.parametrize("suffix", [".onnx", ".pdparams"])
def test_what_stands_in_a_files_place_is_named(
    server: Server, tmp_path: Path, content: bytes, kind: str, suffix: str
) -> None:
    """Pinned or not: what a file is says more than that its digest is another."""
    server.content = content
    (tmp_path / f"net{suffix}").write_bytes(content)
    origin = server.url.replace(".pdparams", suffix) if kind == "url" else str(tmp_path / f"net{suffix}")
    with pytest.raises(InputError) as caught:
        fetch({kind: origin, "sha256": SHA256}, tmp_path / "out" / f"checkpoint{suffix}", tmp_path / "cache")
    assert str(caught.value).startswith(f"{origin}: {STAND_INS[content]}")
    assert not (tmp_path / "out" / f"checkpoint{suffix}").exists()


def test_a_model_in_a_hub_cache_is_copied_whole(tmp_path: Path) -> None:
    """Model and data are links from `snapshots/` into `blobs/`."""
    model = onnx.load(str(make_onnx_model(tmp_path / "whole.onnx")))
    external_data_helper.convert_model_to_external_data(model, location="net.onnx.data", size_threshold=0)
    blobs, snapshot = tmp_path / "hub" / "blobs", tmp_path / "hub" / "snapshots" / "0a1b"
    blobs.mkdir(parents=True), snapshot.mkdir(parents=True)
    onnx.save(model, str(tmp_path / "net.onnx"))
    for name in ("net.onnx", "net.onnx.data"):
        (tmp_path / name).rename(blobs / f"blob of {name}")
        (snapshot / name).symlink_to(Path("../../blobs") / f"blob of {name}")
    fetch({"path": str(snapshot / "net.onnx")}, tmp_path / "out" / "checkpoint.onnx", tmp_path / "cache")
    copy = onnx.load(str(tmp_path / "out" / "checkpoint.onnx"), load_external_data=False)
    assert [t.raw_data for t in copy.graph.initializer] == [
        t.raw_data for t in onnx.load(str(tmp_path / "whole.onnx")).graph.initializer
    ]
