"""Read labels from disk: ids of up to 16 bits, palettes, and colours that `id_map` names."""

from __future__ import annotations

import functools
import io
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from segbench.arrays import LabelMap
from segbench.errors import InputError, one_line
from segbench.images.id_map import IdMap, has_colours, value_of, written
from segbench.images.read import JPEG, WEBP, checked_bytes, png_bits, tiff_bits

Values = npt.NDArray[np.uint8] | npt.NDArray[np.uint16] | npt.NDArray[np.uint32]
FORMATS = ("PNG", "BMP", "WEBP", "TIFF")  # Pillow reads many more formats
INTEGERS = ("I", "I;16", "I;16B", "I;16L")  # Pillow's modes of more than 8 bits
EIGHT_BITS = ("1", "L", "P", "LA", "PA", "RGB", "RGBA", "RGBX")  # where a file has more bits, Pillow drops them
NO_ID, COLOUR_COUNT = 255, 1 << 24
INSTANCES_PER_CLASS = 1000  # an instance's id is the id of its class times this, plus its number (Cityscapes)


def read_label(path: str | Path, id_map: IdMap | None, sha256: str | None = None) -> LabelMap:
    """Decode a label file to uint8 H×W trainIds. Values that `id_map` does not name become 255. Without a map, ids
    stay.

    Raises InputError as `read_values` does, and without a map for ids of 16 bits that do not fit into 8.
    """
    values = read_values(path, has_colours(id_map), sha256)
    if id_map is None:
        return _in_8_bits(path, values)
    table = _table(tuple(id_map.items()), value_count(values))
    return np.asarray(cv2.LUT(values, table) if values.dtype == np.uint8 else table[values], np.uint8)


def read_values(path: str | Path, coloured: bool, sha256: str | None = None) -> Values:
    """Decode a label file to H×W values as they are stored: ids (uint8 or uint16), or where `coloured` is set, colours
    as red·2¹⁶ + green·2⁸ + blue (uint32).

    Ids are a palette's indices, the value of 1, 2, 4, 8 or 16 bits, or that of three equal channels. An alpha channel
    is dropped. Raises InputError naming the file when it is none of these, has lossy compression, or is not of the
    given `sha256`.
    """
    from PIL import Image  # engines' own environments may lack Pillow, and read no label

    data = checked_bytes(path, sha256)
    if data.startswith(JPEG) or (data.startswith(WEBP) and _is_lossy_webp(data)):
        raise InputError(f"{path}: a label cannot be a JPEG or lossy WebP file: compression changes class ids; use PNG")
    Image.MAX_IMAGE_PIXELS = None  # the number of pixels was checked already
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            mode, channels, lossy = image.mode, len(image.getbands()), image.info.get("compression") == "jpeg"
            pixels = np.asarray(image.convert("RGB") if coloured and mode in EIGHT_BITS else image)
    except Exception as error:  # a decoder of hostile bytes may raise anything
        raise InputError(f"{path}: cannot be decoded: truncated or damaged ({one_line(str(error), 200)})") from None
    bits = png_bits(data) or tiff_bits(data) or 8
    if lossy:
        raise InputError(f"{path}: a label cannot be compressed as JPEG, which changes class ids; use PNG")
    if mode not in INTEGERS and (mode not in EIGHT_BITS or bits > 8):
        raise InputError(
            f"{path}: a label must have ids of up to 16 bits, or colours of 8; this has {channels} of {bits}"
        )
    if coloured:
        return _packed(path, pixels)
    return _ids(path, mode, bits, pixels)


def _packed(path: str | Path, pixels: npt.NDArray[Any]) -> Values:
    if pixels.ndim != 3:
        raise InputError(f"{path}: has ids of 16 bits, but id_map has colours")
    wide = np.zeros((*pixels.shape[:2], 4), np.uint8)
    wide[..., :3] = pixels[..., ::-1]
    found: npt.NDArray[np.uint32] = wide.view("<u4")[..., 0].astype(np.uint32, copy=False)
    return found


def _ids(path: str | Path, mode: str, bits: int, pixels: npt.NDArray[Any]) -> Values:
    if mode in ("LA", "PA"):
        pixels = pixels[..., 0]
    elif pixels.ndim == 3:
        first = pixels[..., 0]
        other = (pixels[..., 1] != first) | (pixels[..., 2] != first)
        if other.any():
            named = ",".join(map(str, pixels[other][0][:3].tolist()))
            raise InputError(
                f"{path}: has colours, such as {named}, and no ids; give the trainId of each colour by id_map, e.g."
                f' {{"{named}": 0}}'
            )
        pixels = first
    if pixels.dtype.itemsize == 1:
        ids = pixels.astype(np.uint8, copy=False)
        return ids // (255 // (2**bits - 1)) if mode == "L" and bits < 8 else ids  # Pillow spreads few bits of grey
    if pixels.size and not 0 <= int(pixels.min()) <= int(pixels.max()) < 1 << 16:
        raise InputError(f"{path}: has ids from {pixels.min()} to {pixels.max()}; ids are from 0 to {(1 << 16) - 1}")
    return np.asarray(pixels, np.uint16)


def _in_8_bits(path: str | Path, values: Values) -> LabelMap:
    """Return ids as uint8. −1, which is 65535 in 16 bits, is 255 in 8."""
    if values.dtype == np.uint8:
        return np.asarray(values, np.uint8)
    found = np.where(values == (1 << 16) - 1, NO_ID, values)
    if found.size and int(found.max()) > NO_ID:
        raise InputError(f"{path}: has id {int(found.max())}; ids above 255 need id_map, the trainId of each id")
    return found.astype(np.uint8)


def unnamed(values: Values, named: Iterable[Any]) -> list[str]:
    """Return the values that are not among the keys `named`, in order and as a person writes them."""
    count = value_count(values)
    known = np.zeros(count, np.bool_)
    known[[place for key in named if (place := value_of(key, count)) is not None]] = True
    found = np.unique(values[~known[values]]).tolist()
    return [written(value, count == COLOUR_COUNT) for value in found]


def value_count(values: Values) -> int:
    """Return how many different values an array could hold: 2⁸ or 2¹⁶ ids, or 2²⁴ colours."""
    return COLOUR_COUNT if values.dtype == np.uint32 else 1 << 8 * values.itemsize


@functools.lru_cache(maxsize=4)
def _table(items: tuple[tuple[Any, int], ...], count: int) -> npt.NDArray[np.uint8]:
    """Return `count` entries: trainId of each value, 255 for values without a name."""
    table = np.full(count, NO_ID, np.uint8)
    for key, train_id in items:
        if (place := value_of(key, count)) is not None:
            table[place] = train_id
    return table


def _is_lossy_webp(data: bytes) -> bool:
    """Return whether a WebP file's picture is in a `VP8 ` part. A lossless one is in a `VP8L` part."""
    at = 12
    while at + 8 <= len(data):
        kind = data[at : at + 4]
        if kind in (b"VP8 ", b"VP8L"):
            return kind == b"VP8 "
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        at += 8 + size + size % 2
    return False
