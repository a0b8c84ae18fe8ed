"""Decoding is strict, ids survive it, and the network's input is PaddleSeg's bit by bit."""

import importlib.util
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from helpers.skips import need_package
from segbench.errors import InputError
from segbench.images.normalize import Normalizer, resize_class_map
from segbench.images.read import read_image, read_label

PAGE = {"channel_order": "rgb", "scale": 1 / 255, "mean": [0.5] * 3, "std": [0.5] * 3, "resize": "none"}
IMAGENET = {**PAGE, "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}


def picture(height: int = 40, width: int = 60) -> np.ndarray:
    noise = np.random.default_rng(0).integers(0, 256, (5, 8, 3), dtype=np.uint8)
    return cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)


def encoded(image: np.ndarray, suffix: str = ".png") -> bytes:
    return cv2.imencode(suffix, image)[1].tobytes()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(ids: np.ndarray, bits: int, colour_type: int) -> bytes:
    """A PNG file with few bits per pixel, or with a palette: OpenCV cannot write these."""
    height, width = ids.shape
    planes = np.unpackbits(ids[:, :, None], axis=2)[:, :, 8 - bits :].reshape(height, -1)
    rows = b"".join(b"\0" + np.packbits(row).tobytes() for row in planes)
    palette = chunk(b"PLTE", bytes(range(3 * 2**bits % 256)) or bytes(768)) if colour_type == 3 else b""
    header = struct.pack(">IIBBBBB", width, height, bits, colour_type, 0, 0, 0)
    body = chunk(b"IHDR", header) + palette + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def refusal(path: Path, data: bytes) -> str:
    path.write_bytes(data)
    with pytest.raises(InputError) as error:
        read_image(path)
    return str(error.value)


@pytest.mark.parametrize("name", ["a b.png", "-dash.png", 'it\'s "quoted".png', "straße.bmp", "x.webp", "x.jpg"])
def test_image_is_read_as_opencv_reads_it(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(encoded(picture(), path.suffix))
    expected = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR)
    assert (read_image(path) == expected).all()


@pytest.mark.parametrize("keep", [0.02, 0.5, 0.98, 0.999])
def test_truncated_png_is_refused(tmp_path, keep):
    data = encoded(picture())
    message = refusal(tmp_path / "x.png", data[: max(int(len(data) * keep), 40)])
    assert message == f"{tmp_path}/x.png: truncated: the PNG file has no end"


@pytest.mark.parametrize("lost", [2, 30, 500])
def test_truncated_jpeg_is_refused(tmp_path, lost):
    message = refusal(tmp_path / "x.jpg", encoded(picture(), ".jpg")[:-lost])
    assert message == f"{tmp_path}/x.jpg: cannot be decoded: truncated or damaged"


def test_changed_byte_of_a_png_is_noticed(tmp_path):
    data = bytearray(encoded(picture()))
    data[-30] ^= 1
    message = refusal(tmp_path / "x.png", bytes(data))
    assert message.startswith(f"{tmp_path}/x.png: damaged: the checksum of its part IDAT at byte ")


def test_png_with_too_little_data_is_refused(tmp_path):
    whole = png(np.zeros((8, 8), np.uint8), 8, 0)
    data = whole[:33] + chunk(b"IDAT", zlib.compress(bytes(20))) + chunk(b"IEND", b"")
    assert refusal(tmp_path / "x.png", data) == f"{tmp_path}/x.png: cannot be decoded: truncated or damaged"


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp"])
def test_huge_image_is_refused_before_it_is_decoded(tmp_path, suffix):
    data = bytearray(encoded(picture(), suffix))
    if suffix == ".png":
        data[16:24] = struct.pack(">II", 16385, 16384)
    elif suffix == ".jpg":
        at = data.index(b"\xff\xc0")
        data[at + 5 : at + 9] = struct.pack(">HH", 16384, 16385)
    else:
        data[18:26] = struct.pack("<ii", 16385, -16384)
    message = refusal(tmp_path / "x", bytes(data))
    assert message == f"{tmp_path}/x: claims to have 16384×16385 pixels; at most 268435456 are accepted"


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (b"", "is an empty file"),
        (b"GIF89a", "is no PNG, JPEG, BMP or WebP file"),
        (b"\x89PNG\r\n\x1a\n", "is no PNG, JPEG, BMP or WebP file"),
        (b"\xff\xd8\xff\xd9", "cannot be decoded: truncated or damaged"),
    ],
)
def test_what_is_no_image_is_refused(tmp_path, data, fault):
    assert refusal(tmp_path / "x.png", data) == f"{tmp_path}/x.png: {fault}"


def test_unreadable_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"gone\.png: cannot be read \(No such file or directory\)$"):
        read_image(tmp_path / "gone.png")


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
    cv2.imwrite(str(tmp_path / "x.png"), np.array([[0, 7, 8, 9, 255]], np.uint8))
    id_map = {"7": 0, "8": 1, "-1": 200}  # JSON makes texts of the keys
    assert read_label(tmp_path / "x.png", id_map).tolist() == [[255, 0, 1, 255, 200]]


@pytest.mark.parametrize(
    ("label", "suffix", "fault"),
    [
        (np.zeros((4, 4, 3), np.uint8), ".png", "a label must have one channel of 8 bits, this has 3 of 8"),
        (np.zeros((4, 4), np.uint16), ".png", "a label must have one channel of 8 bits, this has 1 of 16"),
        (np.zeros((4, 4), np.uint8), ".jpg", "a label cannot be a JPEG file: its compression changes class ids; use P"),
    ],
)
def test_label_that_cannot_hold_ids_is_refused(tmp_path, label, suffix, fault):
    path = tmp_path / f"x{suffix}"
    path.write_bytes(encoded(label, suffix))
    with pytest.raises(InputError) as error:
        read_label(path, None)
    assert str(error.value).startswith(f"{path}: {fault}")


@pytest.fixture(scope="module")
def paddleseg_normalize():
    """PaddleSeg's own function, from its file: importing the package would import Paddle."""
    need_package("paddleseg")
    (package,) = importlib.util.find_spec("paddleseg").submodule_search_locations
    spec = importlib.util.spec_from_file_location("functional", f"{package}/transforms/functional.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.normalize


@pytest.mark.parametrize("preprocessing", [PAGE, IMAGENET], ids=["page", "imagenet"])
def test_input_is_paddlesegs_bit_by_bit(paddleseg_normalize, preprocessing):
    image = np.stack([np.arange(256, dtype=np.uint8).reshape(16, 16)] * 3, -1)  # every value in every channel
    image[..., 1] = image[..., 1].T
    rgb = cv2.cvtColor(image, cv2.COLOR_BGR2RGB).astype(np.float32)
    mean, std = np.array(preprocessing["mean"]), np.array(preprocessing["std"])  # as its Normalize holds them
    expected = paddleseg_normalize(rgb, mean, std).transpose(2, 0, 1)[None]
    found = Normalizer(preprocessing, 16, 16)(image)
    assert found.dtype == np.float32
    assert found.tobytes() == np.ascontiguousarray(expected).tobytes()


def test_channel_order_and_scale_are_the_configurations():
    preprocessing = {**PAGE, "channel_order": "bgr", "scale": 1, "mean": [1, 2, 3], "std": [1, 2, 4]}
    found = Normalizer(preprocessing, 1, 1)(np.array([[[11, 22, 33]]], np.uint8))
    assert found.ravel().tolist() == [10, 10, 7.5]


def test_buffer_is_reused():
    normalize = Normalizer(PAGE, 4, 4)
    first = normalize(np.zeros((4, 4, 3), np.uint8))
    second = normalize(np.full((4, 4, 3), 255, np.uint8))
    assert first is second
    assert (second == 1).all()


@pytest.mark.parametrize("preprocessing", [PAGE, IMAGENET], ids=["page", "imagenet"])
@pytest.mark.parametrize("size", [(40, 60), (31, 17), (20, 30)])
def test_stretched_input_is_paddlesegs_bit_by_bit(paddleseg_normalize, preprocessing, size):
    image = picture(20, 30)
    rgb = cv2.cvtColor(image.astype(np.float32), cv2.COLOR_BGR2RGB)  # its Compose reads images as float32
    resized = cv2.resize(rgb, size[::-1], interpolation=cv2.INTER_LINEAR)  # its functional.resize
    mean, std = np.array(preprocessing["mean"]), np.array(preprocessing["std"])
    expected = paddleseg_normalize(resized, mean, std).transpose(2, 0, 1)[None]
    found = Normalizer({**preprocessing, "resize": "stretch"}, *size)(image)
    assert found.tobytes() == np.ascontiguousarray(expected).tobytes()


def test_other_size_is_refused_unless_it_may_be_stretched():
    image = picture(20, 30)
    with pytest.raises(InputError) as error:
        Normalizer(PAGE, 40, 60)(image, "val/7.png")
    assert str(error.value) == (
        "val/7.png: 20×30 (height×width) for a model of 40×60; set the model's input to that size, or its"
        " preprocessing.resize to stretch"
    )


def test_class_map_is_resized_by_nearest_pixel_centre():
    small = np.arange(6, dtype=np.uint8).reshape(2, 3)
    assert resize_class_map(small, 2, 3) is small
    assert (resize_class_map(small, 4, 6) == small.repeat(2, 0).repeat(2, 1)).all()
    assert (resize_class_map(small.repeat(3, 0).repeat(3, 1), 2, 3) == small).all()
    marked = np.zeros((3, 3), np.uint8)
    marked[1, 1] = 9
    assert resize_class_map(marked, 1, 1).tolist() == [[9]]
