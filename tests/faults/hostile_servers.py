"""Download servers that stall, drip, send too much, send us elsewhere, or change what they serve."""

from __future__ import annotations

import gzip
import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from unittest.mock import patch

from faults.fault import ROOT  # noqa: F401  it puts the modules on the path
from faults.hostile import Attack
from fetch_checkpoint import fetch
from segbench.models import download
from segbench.models.download import Download

CONTENT = bytes(range(256)) * 2000
SHA256 = hashlib.sha256(CONTENT).hexdigest()
TRICKS = {
    "stalls in its first byte": "cannot be downloaded",
    "stalls in the middle": "cannot be downloaded",
    "drips one byte at a time": "cannot be downloaded",
    "hangs up at once": "cannot be downloaded",
    "sends less than it says": "cannot be downloaded",
    "sends without end": "more than the",
    "says it sends 5 GiB": "more than the",
    "sends a gzip bomb": "",
    "sends other bytes": "SHA-256 is",
    "sends a page instead": "is a page",
    "sends nothing": "is empty",
    "changes its file at each request": "",
    "leads to itself": "cannot be downloaded",
    "leads to file:///etc/passwd": "cannot be downloaded",
    "leads to ftp://127.0.0.1/x": "cannot be downloaded",
    "leads to javascript:x": "cannot be downloaded",
    "leads to a port where nobody is": "cannot be downloaded",
    "refuses": "HTTP status 403",
    "is broken": "HTTP status 500",
    "answers in no HTTP": "cannot be downloaded",
    "sends headers without end": "cannot be downloaded",
    "sends a range that nobody asked for": "cannot be downloaded",
    "has a length that is a text": "",
    "has a negative length": "",
}
ADDRESSES = ("ftp://x/y.npz", "javascript:x", "//x/y.npz", "gopher://x", "data:,x", "HTTP:/x", "http://", "http://[::1",
             "http://127.0.0.1:99999/x", "http://x y/z", "-o/etc/passwd", "http://\n/x")  # fmt: skip


class Handler(BaseHTTPRequestHandler):
    """Does what the last part of the address says."""

    requests = 0

    def do_GET(self) -> None:
        """Answer badly."""
        trick = list(TRICKS)[int(self.path.rsplit("/", 1)[1].split(".")[0])]
        Handler.requests += 1
        if trick == "stalls in its first byte":
            time.sleep(1.5)
        elif trick == "answers in no HTTP":
            self.wfile.write(b"220 ftp ready\r\n")
        elif trick == "sends headers without end":
            with suppress(OSError):
                self.wfile.write(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 100_000)
        elif trick.startswith("leads to"):
            where = trick.removeprefix("leads to ")
            self.send_response(302)
            named = {"itself": self.path, "a port where nobody is": "http://127.0.0.1:1/"}
            self.send_header("Location", named.get(where, where))
            self.end_headers()
        elif trick in ("refuses", "is broken"):
            self.send_error(403 if trick == "refuses" else 500)
        elif trick != "hangs up at once":
            with suppress(OSError):
                self._send(trick)

    def _send(self, trick: str) -> None:
        status, length, content = 200, str(len(CONTENT)), CONTENT
        if trick == "says it sends 5 GiB":
            length = str(5 << 30)
        elif trick == "has a length that is a text":
            length, content = "many", b""
        elif trick == "has a negative length":
            length, content = "-5", b""
        elif trick == "sends a gzip bomb":
            content = gzip.compress(bytes(100_000_000))
            length = str(len(content))
        elif trick == "sends a page instead":
            content = b"<html>log in first</html>"
            length = str(len(content))
        elif trick == "sends nothing":
            length, content = "0", b""
        elif trick == "sends a range that nobody asked for":
            status = 206
        elif trick == "sends other bytes":
            content = CONTENT[::-1]
        self.send_response(status)
        if trick == "sends a gzip bomb":
            self.send_header("Content-Encoding", "gzip")
        if status == 206:
            self.send_header("Content-Range", "bytes 77-99/100")
        if trick != "sends without end":
            self.send_header("Content-Length", length)
        self.send_header("ETag", f'"{Handler.requests if trick.startswith("changes") else 1}"')
        self.end_headers()
        self._body(trick, content)

    def _body(self, trick: str, content: bytes) -> None:
        if trick == "drips one byte at a time":
            for _ in range(100):
                self.wfile.write(b"x")
                time.sleep(0.1)
        elif trick == "sends without end":
            for _ in range(10_000):
                self.wfile.write(CONTENT)
        elif trick in ("stalls in the middle", "sends less than it says") or trick.startswith("changes"):
            self.wfile.write(bytes([Handler.requests % 256]) * 1000)
            time.sleep(1.5 if trick.startswith("stalls") else 0)
        else:
            self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def attacks(folder: Path, trap: Path) -> Iterator[Attack]:
    """One for each trick and each address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for number, (trick, said) in enumerate(TRICKS.items()):
        url = f"http://127.0.0.1:{server.server_port}/{number}.npz"
        yield Attack(f"server that {trick}", _fetched(folder / f"server{number}", url), said)
    for number, url in enumerate(ADDRESSES):
        yield Attack(f"address {url!r}", _fetched(folder / f"address{number}", url), "")


def _fetched(folder: Path, url: str) -> Callable[[], object]:
    def act() -> None:
        quick = patch.multiple(Download, stall_s=0.5, backoff_s=0.01, attempts=3, slowest_bytes_s=2000.0)
        with quick, patch.object(download, "MAX_BYTES", 50_000_000):
            try:
                fetch({"url": url, "path": None, "sha256": SHA256}, folder / "out.npz", folder / "cache")
            finally:
                assert not (folder / "out.npz").exists()

    return act
