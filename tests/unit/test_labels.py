"""Labels are read as the ids or colours that they store, whatever the file's form, and never from lossy files."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from helpers.png import big_tiff, chunk, png
from PIL import Image
from segbench.errors import InputError
from segbench.images.labels import read_label, read_values, unnamed

COLOURS = np.array([[128, 128, 128], [128, 0, 0], [192, 192, 128], [128, 64, 128]], np.uint8)  # RGB
ID_MAP = {",".join(map(str, colour)): number for number, colour in enumerate(COLOURS.tolist())}
IDS = np.random.default_rng(1).integers(0, 4, (9, 17)).astype(np.uint8)


def saved(path: Path, pixels: np.ndarray, **how: object) -> Path:
    Image.fromarray(pixels).save(path, **how)
    return path


def refusal(path: Path, id_map: dict | None = None) -> str:
    with pytest.raises(InputError) as error:
        read_label(path, id_map)
    return str(error.value).removeprefix(f"{path}: ")


@pytest.mark.parametrize(("bits", "colour_type"), [(1, 3), (2, 3), (4, 3), (8, 3), (1, 0), (2, 0), (4, 0), (8, 0)])
def test_ids_of_palettes_and_few_bits_are_kept(tmp_path, bits, colour_type):
    ids = np.random.default_rng(1).integers(0, 2**bits, (9, 17)).astype(np.uint8)
    (tmp_path / "x.png").write_bytes(png(ids, bits, colour_type))
    assert (read_label(tmp_path / "x.png", None) == ids).all()


def test_transparent_entries_of_a_palette_are_ids_as_well(tmp_path):
    ids = np.arange(12, dtype=np.uint8).reshape(3, 4)
    data = png(ids, 8, 3)
    at = data.index(b"IDAT") - 4
    (tmp_path / "x.png").write_bytes(data[:at] + chunk(b"tRNS", bytes(12)) + data[at:])
    assert (read_label(tmp_path / "x.png", None) == ids).all()


def test_label_is_mapped(tmp_path):
    path = saved(tmp_path / "x.png", np.array([[0, 7, 8, 9, 255]], np.uint8))
    id_map = {"7": 0, "8": 1, "-1": 200, "263": 9}  # JSON makes texts of the keys; 8 bits cannot hold 263
    assert read_label(path, id_map).tolist() == [[255, 0, 1, 255, 200]]


@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("x.png", {}),
        ("x.bmp", {}),
        ("x.tif", {"compression": "tiff_lzw"}),
        ("y.tif", {"compression": "tiff_deflate"}),
        ("z.tif", {}),
    ],
)
def test_ids_are_the_same_in_every_lossless_format(tmp_path, name, how):
    assert (read_label(saved(tmp_path / name, IDS, **how), None) == IDS).all()


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_ids_of_16_bits_are_read(tmp_path, suffix):
    ids = np.array([[0, 3, 255, 65535]], np.uint16)
    path = saved(tmp_path / f"x.{suffix}", ids)
    assert read_label(path, None).tolist() == [[0, 3, 255, 255]]  # −1 in 16 bits
    assert read_label(path, {"0": 1, "3": 0, "255": 7, "-1": 9}).tolist() == [[1, 0, 7, 9]]


def test_labels_of_big_tiff_are_read(tmp_path):
    path = tmp_path / "x.tif"
    for stored, id_map in ((IDS, None), (IDS.astype(np.uint16), None), (COLOURS[IDS], ID_MAP)):
        path.write_bytes(big_tiff(stored))
        assert (read_label(path, id_map) == IDS).all()


def test_ids_above_255_need_an_id_map(tmp_path):
    path = saved(tmp_path / "x.png", np.array([[7, 26001, 263]], np.uint16))
    assert refusal(path) == "has id 26001; ids above 255 need id_map, the trainId of each id"
    assert read_label(path, {"26001": 13, "7": 0}).tolist() == [[0, 13, 255]]


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "webp"])
def test_colours_are_mapped(tmp_path, suffix):
    path = saved(tmp_path / f"x.{suffix}", COLOURS[IDS], **({"lossless": True} if suffix == "webp" else {}))
    assert (read_label(path, ID_MAP) == IDS).all()


def test_alpha_of_colours_is_dropped(tmp_path):
    alpha = np.random.default_rng(2).integers(0, 256, (*IDS.shape, 1)).astype(np.uint8)
    path = saved(tmp_path / "x.png", np.concatenate([COLOURS[IDS], alpha], -1))
    assert (read_label(path, ID_MAP) == IDS).all()


def test_colours_of_a_palette_and_grey_ones_are_mapped(tmp_path):
    image = Image.fromarray(3 - IDS).convert("P")
    image.putpalette(COLOURS[::-1].tobytes())
    image.save(tmp_path / "x.png")
    assert (read_label(tmp_path / "x.png", ID_MAP) == IDS).all()
    path = saved(tmp_path / "grey.png", IDS * 85)
    assert (read_label(path, {f"{85 * i},{85 * i},{85 * i}": i for i in range(4)}) == IDS).all()


def test_three_equal_channels_are_ids(tmp_path):
    assert (read_label(saved(tmp_path / "x.png", IDS[..., None].repeat(3, -1)), None) == IDS).all()


def test_blanks_in_a_colour_do_not_matter(tmp_path):
    path = saved(tmp_path / "x.png", COLOURS[IDS])
    assert (read_label(path, {key.replace(",", ", "): value for key, value in ID_MAP.items()}) == IDS).all()


def test_values_without_a_name_are_listed(tmp_path):
    path = saved(tmp_path / "x.png", np.array([[[1, 2, 3], [0, 0, 0], [0, 0, 9]]], np.uint8))
    assert unnamed(read_values(path, True), {"0,0,0": 0}) == ["0,0,9", "1,2,3"]
    path = saved(tmp_path / "y.png", np.array([[5, 300, 65535]], np.uint16))
    assert unnamed(read_values(path, False), {"5": 0, "-1": 255}) == ["300"]


@pytest.mark.parametrize(
    ("pixels", "name", "how", "fault"),
    [
        (IDS, "x.jpg", {}, "a label cannot be a JPEG or lossy WebP file: compression changes class ids; use PNG"),
        (COLOURS[IDS], "x.webp", {"quality": 90}, "a label cannot be a JPEG or lossy WebP file: compression changes"),
        (COLOURS[IDS], "x.tif", {"compression": "jpeg"}, "a label cannot be compressed as JPEG, which changes class"),
        (COLOURS[IDS], "x.png", {}, "has colours, such as "),
        (IDS.astype(np.float32), "x.tif", {}, "a label must have ids of up to 16 bits, or colours of 8; this has 1 of"),
        (IDS.astype(np.int32) - 2, "x.tif", {}, "has ids from -2 to 1; ids are from 0 to 65535"),
    ],
)
def test_label_that_cannot_hold_ids_is_refused(tmp_path, pixels, name, how, fault):
    assert refusal(saved(tmp_path / name, pixels, **how)).startswith(fault)


def test_refusal_of_colours_says_what_to_write(tmp_path):
    path = saved(tmp_path / "x.png", np.array([[[9, 8, 7]]], np.uint8))
    assert refusal(path) == (
        'has colours, such as 9,8,7, and no ids; give the trainId of each colour by id_map, e.g. {"9,8,7": 0}'
    )


def test_colours_of_16_bits_and_ids_among_colours_are_refused(tmp_path):
    path = tmp_path / "x.png"
    cv2.imwrite(str(path), np.zeros((4, 4, 3), np.uint16))
    assert refusal(path, ID_MAP) == "a label must have ids of up to 16 bits, or colours of 8; this has 3 of 16"
    assert refusal(saved(path, IDS.astype(np.uint16)), ID_MAP) == "has ids of 16 bits, but id_map has colours"
