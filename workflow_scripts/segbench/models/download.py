"""Download a file over an unreliable line: resumed, retried, bounded, with its progress shown."""

from __future__ import annotations

import fcntl
import hashlib
import re
import shutil
import sys
import time
import urllib.parse
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO
from urllib.request import url2pathname

from segbench.errors import InputError

MAX_BYTES = 4 << 30
BLOCK = 1 << 16
BESIDE = {".pdmodel": ".pdiparams", ".json": ".pdiparams", ".xml": ".bin"}  # suffix of the file with a model's weights


class Download:
    """One address and its partial file in the cache folder. While it is open, no other process works on that file."""

    attempts = 5  # in a row that gained little
    stall_s = 30.0  # seconds without a byte before a connection counts as dead
    slowest_bytes_s = 1000.0  # below this rate over `stall_s` a connection counts as dead too
    backoff_s = 1.0  # before the second attempt; doubled before each further one

    def __init__(self, url: str, cache: Path, may_resume: bool = False) -> None:
        """`may_resume`: go on even if the server does not say whether its file changed (a SHA-256 is checked later)."""
        self.url, self._may_resume = url, may_resume
        if split_address(url).scheme.lower() not in ("http", "https"):
            raise InputError(f"weights.url: {url!r}: must begin with https:, http: or file:")
        cache.mkdir(parents=True, exist_ok=True)
        self.file = cache / f"{hashlib.sha256(url.encode()).hexdigest()[:24]}.part"
        self._validator = self.file.with_suffix(".validator")
        self._lock: TextIO | None = None

    def __enter__(self) -> Download:
        self._lock = open(self.file.with_suffix(".lock"), "w")  # never removed: else two processes could hold two locks
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        if self._lock:
            self._lock.close()

    def run(self) -> None:
        """Download the rest of `file`. Raises InputError when the address cannot be read or sends too much."""
        import requests

        attempt = 1
        while True:
            before = self._have()
            try:
                self._transfer()
                return
            except requests.RequestException as error:
                reason = _in_words(error)
                gained = self._have() - before
                attempt = 1 if gained > self.slowest_bytes_s * self.stall_s else attempt + 1
                if attempt > self.attempts or _is_final(error):
                    raise InputError(
                        f"{self.url}: cannot be downloaded ({reason}); fetch it on a machine that can, and give its"
                        " place as weights: {path: FILE}"
                    ) from None
            except OSError as error:  # an error of the disk, since the network's are RequestExceptions, caught above
                raise InputError(f"{self.file}: cannot be written ({error.strerror})") from None
            wait = self.backoff_s * 2 ** max(attempt - 2, 0)
            here = f" ({_megabytes(self._have())} are here)" if self._have() else ""
            _say(f"{self.url}: {reason}; trying again in {wait:g} s{here}")
            time.sleep(wait)

    def forget(self) -> None:
        """Remove the partial file and its record."""
        self.file.unlink(missing_ok=True)
        self._validator.unlink(missing_ok=True)

    def _have(self) -> int:
        return self.file.stat().st_size if self.file.exists() else 0

    def _transfer(self) -> None:
        """Read one connection: the rest of the file, or all of it when the server cannot resume or the file has
        changed.
        """
        import requests

        have, headers = self._have(), {"Accept-Encoding": "identity"}
        validator = self._validator.read_text() if self._validator.exists() else ""
        if have and (validator or self._may_resume):
            headers["Range"] = f"bytes={have}-"
            if validator:
                headers["If-Range"] = validator
        with requests.get(self.url, headers=headers, stream=True, timeout=self.stall_s) as answer:
            if answer.status_code == 416 and "Range" in headers:
                if answer.headers.get("Content-Range", "") == f"bytes */{have}":
                    return  # the file was complete already
                self.forget()
                raise requests.ConnectionError("the file on the server is another one now")
            answer.raise_for_status()
            start = _start(answer)
            if start not in (0, have):
                raise requests.ConnectionError(f"asked for byte {have}, was sent byte {start}")
            length = answer.headers.get("Content-Length", "")
            total = start + int(length) if length.isdigit() else 0
            self._check_room(total, start)
            self._validator.write_text(_strong_validator(answer))
            with open(self.file, "ab" if start else "wb") as stream:
                self._receive(answer, stream, start, total)

    def _check_room(self, total: int, have: int) -> None:
        if total > MAX_BYTES:
            raise InputError(f"{self.url}: has {total} bytes, more than the {MAX_BYTES} that are accepted")
        free = shutil.disk_usage(self.file.parent).free
        if total - have > free:
            raise InputError(f"{self.file.parent}: {free} bytes free, {total - have} needed for {self.url}")

    def _receive(self, answer: Any, stream: Any, start: int, total: int) -> None:
        import requests

        have, began = start, time.monotonic()
        shown = window = began
        counted = have
        for block in _blocks(answer):
            stream.write(block)
            have += len(block)
            if have > MAX_BYTES:
                self.forget()
                raise InputError(f"{self.url}: sends more than the {MAX_BYTES} bytes that are accepted")
            now = time.monotonic()
            if now - window > self.stall_s:
                if have - counted < self.slowest_bytes_s * (now - window):
                    raise requests.ConnectionError(f"slower than {self.slowest_bytes_s:g} bytes per second")
                window, counted = now, have
            if now - shown > 1:
                shown, rate = now, (have - start) / (now - began)
                left = f" of {_megabytes(total)}, {(total - have) / rate:.0f} s left" if total else ""
                _say(f"downloading: {_megabytes(have)}{left} ({_megabytes(rate)}/s)")
        if total and have < total:
            raise requests.ConnectionError(f"ended after {have} of {total} bytes")
        _say(f"downloaded: {_megabytes(have)} in {time.monotonic() - began:.1f} s")


def _blocks(answer: Any) -> Iterator[bytes]:
    """Yield bytes as they come. `iter_content` would wait for a full block, for hours from a slow server. Bytes are
    not decoded, since a few compressed bytes could become gigabytes.
    """
    import requests
    import urllib3

    try:
        while block := answer.raw.read1(BLOCK, decode_content=False):
            yield block
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise requests.ConnectionError(error) from None


def split_address(url: str) -> urllib.parse.SplitResult:
    """Return the parts of an address. Raises InputError for what is no address."""
    try:
        if re.search(r"[\s\x00-\x1f]", url):
            raise ValueError("it has blanks or control characters")
        return urllib.parse.urlsplit(url)
    except ValueError as error:
        raise InputError(f"weights.url: {url!r}: no address ({error})") from None


def local_path(weights: Mapping[str, Any]) -> str:
    """Return the path that `weights` (url or path) names, a file: address included; empty for the network."""
    path, url = str(weights.get("path") or ""), str(weights.get("url") or "")
    return url2pathname(split_address(url).path) if split_address(url).scheme == "file" else path


def _start(answer: Any) -> int:
    """Return the position of the first byte that the server sends."""
    found = re.match(r"bytes (\d+)-", answer.headers.get("Content-Range", ""))
    return int(found.group(1)) if answer.status_code == 206 and found else 0


def _strong_validator(answer: Any) -> str:
    """Return what If-Range may carry: a strong ETag or a date (RFC 9110, section 13.1.5). Empty: there is none."""
    tag = answer.headers.get("ETag", "")
    return str(tag if tag and not tag.startswith("W/") else answer.headers.get("Last-Modified", ""))


def _is_final(error: Any) -> bool:
    """Return whether a retry cannot help: the server refused, or redirected to an address that is not allowed."""
    import requests

    if isinstance(error, (requests.exceptions.InvalidSchema, requests.TooManyRedirects)):
        return True
    status = error.response.status_code if error.response is not None else 0
    return 400 <= status < 500 and status not in (408, 425, 429)


def _in_words(error: Any) -> str:
    """Return the innermost cause. The exceptions of requests and urllib3 around it name their own classes and
    objects.
    """
    if error.response is not None:
        return f"HTTP status {error.response.status_code} {error.response.reason}"
    inner: Any = error
    while True:
        further = next((part for part in inner.args if isinstance(part, BaseException)), None)
        further = further or getattr(inner, "reason", None)
        if not isinstance(further, BaseException):
            text = re.sub(r"<[^>]*>: |\bHTTPS?Connection(Pool)?\([^)]*\): ", "", str(inner))
            return " ".join(text.split())[:160] or type(inner).__name__
        inner = further


def _megabytes(count: float) -> str:
    return f"{count / 1e6:.1f} MB"


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
