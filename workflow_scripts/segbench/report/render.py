"""Draw plots as SVG and PNG, without a browser and without the network."""

from __future__ import annotations

import base64
import functools
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import vl_convert

from segbench.files import atomic, write_text

VEGA_LITE = "6.4"  # the version whose schema Altair 6.3 writes
PNG_SCALE = 2  # pixels of the file per pixel of the plot


def write(name: str, spec: dict[str, Any], folder: Path) -> None:
    """Write NAME.svg and NAME.png of a `Plot.file_spec` into `folder`."""
    document = svg(spec)
    write_text(folder / f"{name}.svg", document)
    with atomic(folder / f"{name}.png") as temporary:
        temporary.write_bytes(png(document))


def warm_up() -> None:
    """Draw nothing, so that the library is ready when there is something to draw. To start takes it a third of a
    second.
    """
    png(svg({"data": {"values": [{}]}, "mark": "point"}))


def svg(spec: dict[str, Any]) -> str:
    """Draw a `Plot.file_spec` as an SVG document."""
    return str(vl_convert.vegalite_to_svg(spec, vl_version=VEGA_LITE, allowed_base_urls=[]))


def png(document: str) -> bytes:
    """Draw an SVG document as PNG."""
    drawn = np.frombuffer(vl_convert.svg_to_png(document, scale=PNG_SCALE), np.uint8)
    picture = cv2.imdecode(drawn, cv2.IMREAD_COLOR)
    return cv2.imencode(".png", picture, [cv2.IMWRITE_PNG_COMPRESSION, 6])[1].tobytes()  # a fifth of the size


def data_address(content: bytes, kind: str) -> str:
    """Return `content` as a data address, which needs no network."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


@functools.cache
def javascript() -> str:
    """Return Vega, Vega-Lite and Vega-Embed as one script for a page: `window.vegaEmbed`.

    Raises ValueError should the script ever hold text that would end the page's script element.
    """
    bundle = str(vl_convert.javascript_bundle(vl_version=VEGA_LITE))  # type: ignore[call-arg]  # its stub errs
    if "</script" in bundle.lower() or "<!--" in bundle:
        raise ValueError("the plotting library's script would end its element early")
    return bundle
