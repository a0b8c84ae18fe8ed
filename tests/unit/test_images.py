"""Decoding is strict, ids survive it, and the network's input is PaddleSeg's bit by bit."""

import importlib.util
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from helpers.png import big_tiff, chunk, png, tiff
from helpers.skips import need_package
from segbench.errors import InputError
from segbench.images.normalize import Normalizer, resize_class_map
from segbench.images.read import form_of, read_image

PAGE = {"channel_order": "rgb", "scale": 1 / 255, "mean": [0.5] * 3, "std": [0.5] * 3, "resize": "none"}
IMAGENET = {**PAGE, "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}


def picture(height: int = 40, width: int = 60) -> np.ndarray:
    noise = np.random.default_rng(0).integers(0, 256, (5, 8, 3), dtype=np.uint8)
    return cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)


def encoded(image: np.ndarray, suffix: str = ".png") -> bytes:
    return cv2.imencode(suffix, image)[1].tobytes()


def refusal(path: Path, data: bytes) -> str:
    path.write_bytes(data)
    with pytest.raises(InputError) as error:
        read_image(path)
    return str(error.value)


@pytest.mark.parametrize(
    "name", ["a b.png", "-dash.png", 'it\'s "quoted".png', "straße.bmp", "x.webp", "x.jpg", "x.tif"]
)
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


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".tif"])
def test_huge_image_is_refused_before_it_is_decoded(tmp_path, suffix):
    data = bytearray(encoded(picture(), suffix))
    if suffix == ".png":
        data[16:24] = struct.pack(">II", 16385, 16384)
    elif suffix == ".jpg":
        at = data.index(b"\xff\xc0")
        data[at + 5 : at + 9] = struct.pack(">HH", 16384, 16385)
    elif suffix == ".tif":
        data = bytearray(tiff(16385, 16384))
    else:
        data[18:26] = struct.pack("<ii", 16385, -16384)
    message = refusal(tmp_path / "x", bytes(data))
    assert message == f"{tmp_path}/x: claims to have 16384×16385 pixels; at most 268435456 are accepted"


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (b"", "is an empty file"),
        (b"GIF89a", "is no PNG, JPEG, BMP, WebP or TIFF file"),
        (b"\x89PNG\r\n\x1a\n", "is no PNG, JPEG, BMP, WebP or TIFF file"),
        (b"\xff\xd8\xff\xd9", "cannot be decoded: truncated or damaged"),
    ],
)
def test_what_is_no_image_is_refused(tmp_path, data, fault):
    assert refusal(tmp_path / "x.png", data) == f"{tmp_path}/x.png: {fault}"


def test_tiff_of_floating_point_numbers_is_refused(tmp_path):
    from PIL import Image

    Image.fromarray(np.zeros((4, 4), np.float32)).save(tmp_path / "x.tif")
    assert refusal(tmp_path / "x.tif", (tmp_path / "x.tif").read_bytes()) == (
        f"{tmp_path}/x.tif: has 32 bits a channel; a picture has 8 or 16"
    )


def test_big_tiff_is_read(tmp_path):
    path, pixels = tmp_path / "x.tif", picture()
    path.write_bytes(big_tiff(pixels[..., ::-1]))
    assert (read_image(path) == pixels).all() and form_of(path).used_bits is None
    path.write_bytes(big_tiff(pixels[..., ::-1].astype(np.uint16) << 4))
    assert np.abs(read_image(path) - pixels / 16).max() <= 1 and form_of(path).used_bits == 12
    data = big_tiff(pixels, claims=(16384, 16385))
    assert refusal(path, data) == f"{path}: claims to have 16384×16385 pixels; at most 268435456 are accepted"
    assert refusal(path, data[:40]).startswith(f"{path}: cannot be decoded")
    assert refusal(path, big_tiff(pixels)[:-150]).startswith(f"{path}: cannot be decoded")


@pytest.mark.parametrize("keep", [0.1, 0.5, 0.9])
def test_truncated_tiff_is_refused(tmp_path, keep):
    from PIL import Image

    Image.fromarray(picture()[..., ::-1]).save(tmp_path / "x.tif", compression="tiff_lzw")
    data = (tmp_path / "x.tif").read_bytes()
    assert refusal(tmp_path / "x.tif", data[: int(len(data) * keep)]).startswith(f"{tmp_path}/x.tif: ")


@pytest.mark.parametrize(
    ("suffix", "mode"),
    [
        *((".png", mode) for mode in ("1", "L", "LA", "RGBA", "P")),
        *((".jpg", mode) for mode in ("L", "CMYK")),
        *((".tif", mode) for mode in ("1", "L", "LA", "RGBA", "P", "CMYK")),
        *((".bmp", mode) for mode in ("1", "L", "P")),
        *((".webp", mode) for mode in ("L", "RGBA")),
    ],
)
def test_image_of_any_mode_is_read_as_pillow_converts_it(tmp_path, mode, suffix):
    from PIL import Image

    path, image = tmp_path / f"x{suffix}", Image.fromarray(picture()[..., ::-1]).convert("RGBA").convert(mode)
    image.save(path, **({"lossless": True} if suffix == ".webp" else {}))
    with Image.open(path) as stored:
        expected = np.asarray(stored.convert("RGB"))[..., ::-1].astype(int)
    assert np.abs(read_image(path) - expected).max() <= (2 if mode == "CMYK" else 1)


def test_unreadable_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"gone\.png: cannot be read \(No such file or directory\)$"):
        read_image(tmp_path / "gone.png")


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
    assert np.shares_memory(first, second)
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
        " preprocessing.resize to stretch or letterbox"
    )


def test_class_map_is_resized_by_nearest_pixel_centre():
    small = np.arange(6, dtype=np.uint8).reshape(2, 3)
    assert resize_class_map(small, 2, 3) is small
    assert (resize_class_map(small, 4, 6) == small.repeat(2, 0).repeat(2, 1)).all()
    assert (resize_class_map(small.repeat(3, 0).repeat(3, 1), 2, 3) == small).all()
    marked = np.zeros((3, 3), np.uint8)
    marked[1, 1] = 9
    assert resize_class_map(marked, 1, 1).tolist() == [[9]]
