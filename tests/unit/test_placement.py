"""Images are resized, padded and cut into windows as PaddleSeg, mmsegmentation and transformers do it. Class maps come
back to the image's size as theirs do.
"""

from __future__ import annotations

import json
import subprocess
import sys
import zlib  # noqa: F401  before paddle 2.6.2: see PaddlePaddle/Paddle#70538
from pathlib import Path
from typing import Any

import build_engine
import cv2
import numpy as np
import onnx
import paddle
import paddleseg.transforms
import pytest
from export_onnx_model import export
from helpers.made import COLOURS, make_folder_dataset, make_onnx_model
from paddleseg.core.infer import inference, slide_inference
from paddleseg.cvlibs import manager
from PIL import Image
from segbench.calibration.images import CalibrationImages
from segbench.config.resizing import Size
from segbench.config.schema import Model
from segbench.errors import InputError
from segbench.files import read_json, sha256_of, write_record
from segbench.images.drawn import drawn_image, drawn_input
from segbench.images.normalize import Normalizer, class_map_at, class_map_of_logits, resize_class_map
from segbench.images.placement import Placer
from segbench.models import paddleseg_files
from segbench.models.record import model_record
from segbench.scoring.predictions import Predictions
from segbench.timing import clock

SCRIPTS = Path(build_engine.__file__).parent
F = paddle.nn.functional
SIZES = [(48, 72), (61, 53), (40, 80), (47, 99), (60, 60)]
NORMALIZE = {"type": "Normalize", "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
PLAIN = {"channel_order": "rgb", "scale": 1 / 255, "mean": [0.5] * 3, "std": [0.5] * 3}


class Network(paddle.nn.Layer):
    """A convolution of half the input's size, whose logits PaddleSeg's networks enlarge, and others leave small."""

    def __init__(self, small: bool) -> None:
        super().__init__()
        paddle.seed(1)
        self.convolution, self.small = paddle.nn.Conv2D(3, 7, 3, stride=2, padding=1), small

    def forward(self, image: Any) -> list[Any]:
        logits = self.convolution(image)
        return [logits if self.small else F.interpolate(logits, image.shape[2:], mode="bilinear")]


def logits_of(network: paddle.nn.Layer, inputs: np.ndarray) -> list[np.ndarray]:
    with paddle.no_grad():
        return [network(paddle.to_tensor(one[None]))[0].numpy()[0] for one in inputs]


CONVENTIONS: dict[str, tuple[list[dict[str, Any]], Size, Size | None]] = {
    "short side, padded": (
        [{"type": "ResizeByShort", "short_size": 40}, {"type": "Padding", "target_size": [90, 90]}],
        (90, 90),
        None,
    ),
    "long side, padded": (
        [
            {"type": "ResizeByLong", "long_size": 64},
            {"type": "Padding", "target_size": [64, 66], "im_padding_value": 9.0},
        ],
        (66, 64),
        None,
    ),
    "long side limited, padded": (
        [{"type": "LimitLong", "max_long": 62}, {"type": "Padding", "target_size": [64, 64]}],
        (64, 64),
        None,
    ),
    "padded": ([{"type": "Padding", "target_size": [100, 80]}], (80, 100), None),
    "stretched by areas": ([{"type": "Resize", "target_size": [64, 32], "interp": "AREA"}], (32, 64), None),
    "window": ([], (32, 40), (20, 27)),
    "both sides bounded, window": (
        [{"type": "Resize", "target_size": [160, 40], "keep_ratio": True, "size_divisor": 8}],
        (40, 40),
        (27, 27),
    ),
    "stretched, window": ([{"type": "Resize", "target_size": [100, 70], "interp": "CUBIC"}], (32, 40), (32, 40)),
}


# Small logits of images that are neither padded nor cut are resized once, and not twice as in PaddleSeg.
CASES = [(name, small) for name in CONVENTIONS for small in (False, True) if not small or name != "stretched by areas"]


@pytest.mark.parametrize(("name", "small"), CASES)
def test_class_maps_are_those_of_paddlesegs_inference(name: str, small: bool) -> None:
    transforms, size, stride = CONVENTIONS[name]
    transforms = [*transforms, NORMALIZE]
    sliding = paddleseg_files.Sliding(size, stride) if stride else None
    prepare = Normalizer(paddleseg_files.complete({}, transforms, Path("a.yml"), size, sliding), *size)
    steps = [manager.TRANSFORMS[one["type"]](**{k: v for k, v in one.items() if k != "type"}) for one in transforms]
    window = {"is_slide": True, "stride": stride[::-1], "crop_size": size[::-1]} if stride else {}
    network, whole, counts = Network(small), Network(False), set()
    for number, (height, width) in enumerate(SIZES):
        image = drawn_image(height, width, number)
        theirs = paddleseg.transforms.Compose(steps)({"img": image.astype(np.float32)})
        with paddle.no_grad():
            batch = paddle.to_tensor(theirs["img"][None])
            expected = inference(whole, batch, trans_info=theirs["trans_info"], **window)[0].numpy()[0, 0]
        inputs = prepare(image)
        if not stride:
            np.testing.assert_allclose(inputs[0], theirs["img"], rtol=0, atol=1e-6)
        found = class_map_of_logits(logits_of(network, inputs), prepare.place((height, width)), height, width)
        assert np.array_equal(found, expected)
        counts.add(len(inputs))
    assert max(counts) > 1 if stride else counts == {1}


def test_windows_begin_where_paddlesegs_and_mmsegmentations_do() -> None:
    random, network = np.random.default_rng(0), Starts()
    for _ in range(200):
        size, stride = random.integers(8, 40, 2), random.integers(3, 40, 2)
        stride = np.minimum(stride, size)
        image = random.integers(40, 200, 2)
        window = {"stride": {"height": int(stride[0]), "width": int(stride[1])}}
        placer = Placer({"resize": "none", "window": window}, (int(size[0]), int(size[1])))
        network.starts = []
        slide_inference(network, paddle.to_tensor(ramp(*image)), crop_size=size[::-1], stride=stride[::-1])
        found = placer.place((int(image[0]), int(image[1]))).corners
        assert list(found) == network.starts
        # mmsegmentation counts its windows so (encoder_decoder.py), and moves the last ones back in the same way.
        grid = [max(int(a - b + c) - 1, 0) // int(c) + 1 for a, b, c in zip(image, size, stride, strict=True)]
        assert len(found) == grid[0] * grid[1]


class Starts(paddle.nn.Layer):
    """A network that keeps where the windows of `ramp` begin."""

    starts: list[tuple[int, int]]

    def forward(self, image: Any) -> list[Any]:
        row, column = image.numpy()[0, :, 0, 0]
        self.starts.append((int(row), int(column)))
        return [image]


def ramp(height: int, width: int) -> np.ndarray:
    """An image whose channels are each pixel's row and column."""
    return np.stack(np.mgrid[:height, :width]).astype(np.float32)[None]


def paddlesegs_sides(short: int, long: int, size: int, limit: int | None) -> Size:
    """`Resize` with keep_ratio and `ResizeByShort` (transforms/transforms.py, functional.py)."""
    scale = min(size / short, (limit or 1e9) / long)
    return round(short * scale), round(long * scale)


def mmsegmentations_sides(short: int, long: int, size: int, limit: int | None) -> Size:
    """mmcv's `rescale_size` for a scale of two numbers (mmcv/image/geometric.py)."""
    scale = min(size / short, (limit or 1e9) / long)
    return int(short * scale + 0.5), int(long * scale + 0.5)


def transformers_sides(short: int, long: int, size: int, limit: int | None) -> Size:
    """`get_resize_output_image_size`, and `get_size_with_aspect_ratio` (transformers/image_transforms.py)."""
    if not limit or long / short * size <= limit:
        return size, int(size * long / short)
    raw = limit * short / long
    return (short, long) if short == round(raw) else (round(raw), int(raw * long / short))


@pytest.mark.parametrize("limit", [None, 55])
def test_sides_are_rounded_as_each_convention_has_it(limit: int | None) -> None:
    rules = {
        "paddleseg": paddlesegs_sides,
        "mmsegmentation": mmsegmentations_sides,
        "transformers": transformers_sides,
    }
    made: dict[str, list[Size]] = {name: [] for name in rules}
    for height, width in [(height, width) for height in range(30, 90) for width in (47, 64, 90)]:
        for name, rule in rules.items():
            resize = {"kind": "short_side", "size": 36, "max_long_side": limit, "convention": name, "pad_value": 0}
            sides = Placer({"resize": resize}, (400, 400)).place((height, width)).scaled
            expected = rule(min(height, width), max(height, width), 36, limit)
            assert sides == (expected if height <= width else expected[::-1]), (name, height, width)
            made[name].append(sides)
    assert made["paddleseg"] != made["mmsegmentation"] != made["transformers"] != made["paddleseg"]


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic", "area", "lanczos"])
def test_pixels_are_those_of_each_conventions_library(interpolation: str) -> None:
    image = drawn_image(50, 70)
    codes = {
        "nearest": (cv2.INTER_NEAREST, Image.Resampling.NEAREST),
        "bilinear": (cv2.INTER_LINEAR, Image.Resampling.BILINEAR),
        "bicubic": (cv2.INTER_CUBIC, Image.Resampling.BICUBIC),
        "area": (cv2.INTER_AREA, Image.Resampling.BOX),
        "lanczos": (cv2.INTER_LANCZOS4, Image.Resampling.LANCZOS),
    }
    of_opencv, of_pillow = codes[interpolation]
    expected = {
        "paddleseg": cv2.resize(image.astype(np.float32), (40, 32), interpolation=of_opencv),
        "mmsegmentation": cv2.resize(image, (40, 32), interpolation=of_opencv),
        "transformers": np.asarray(Image.fromarray(image).resize((40, 32), of_pillow)),
    }
    for convention, pixels in expected.items():
        resize = {"kind": "stretch", "interpolation": interpolation, "convention": convention}
        as_they_are = {"channel_order": "bgr", "scale": 1, "mean": [0] * 3, "std": [1] * 3, "resize": resize}
        found = Normalizer(as_they_are, 32, 40)(image)[0]
        assert np.array_equal(found, pixels.transpose(2, 0, 1).astype(np.float32)), convention


@pytest.mark.parametrize(("align", "corner"), [("corner", (0, 0)), ("centre", (10, 5))])
def test_letterbox_fits_the_image_and_pads_the_rest(align: str, corner: tuple[int, int]) -> None:
    image = drawn_image(40, 60)
    resize = {"kind": "letterbox", "align": align, "pad_value": 20, "convention": "mmsegmentation"}
    made = Normalizer({**PLAIN, "resize": resize}, 50, 41)(image)[0]
    inside = Normalizer({**PLAIN, "resize": {"kind": "stretch", "convention": "mmsegmentation"}}, 27, 41)(image)[0]
    top = corner[0] + 1 if align == "centre" else 0  # 23 rows of padding, 11 of them above
    assert np.array_equal(made[:, top : top + 27], inside)
    beside = np.delete(made, np.s_[top : top + 27], axis=1)
    assert beside.shape == (3, 23, 41) and np.allclose(beside, (20 / 255 - 0.5) / 0.5)
    smaller = Normalizer({**PLAIN, "resize": {**resize, "enlarge": False, "pad_value": "mean"}}, 50, 70)(image)[0]
    kept = Normalizer({**PLAIN, "resize": "none"}, 40, 60)(image)[0]
    assert np.array_equal(smaller[:, corner[1] if top else 0 :][:, :40, corner[1] if top else 0 :][:, :, :60], kept)
    assert np.count_nonzero(smaller) == np.count_nonzero(kept)


def test_class_maps_without_logits_lose_their_padding_and_meet_at_windows() -> None:
    own = np.arange(4, dtype=np.uint8).repeat(8 * 10).reshape(4 * 8, 10)  # of four windows, each of one class
    placement = Placer({"resize": "none", "window": {"stride": {"height": 6, "width": 7}}}, (8, 10)).place((14, 17))
    found = class_map_at(own, placement, 14, 17)
    assert [int(found[at]) for at in ((0, 0), (0, 16), (13, 0), (13, 16), (7, 9))] == [0, 1, 2, 3, 3]
    placement = Placer({"resize": {"kind": "none", "pad_value": 0, "align": "centre"}}, (8, 10)).place((4, 6))
    marked = np.zeros((8, 10), np.uint8)
    marked[2:6, 2:8] = np.arange(24).reshape(4, 6)
    assert np.array_equal(class_map_at(marked, placement, 8, 12), resize_class_map(marked[2:6, 2:8], 8, 12))


@pytest.mark.parametrize(
    ("preprocessing", "said"),
    [
        (
            {"resize": "none"},
            "40×60 (height×width) for a model of 32×64; set the model's input to that size, or its preprocessing.resize"
            " to stretch or letterbox",
        ),
        (
            {"resize": {"kind": "short_side", "size": 32, "pad_value": 0}},
            "",
        ),
        (
            {"resize": {"kind": "short_side", "size": 50}},
            "40×60 (height×width), made 50×75 by preprocessing.resize short_side, for a model of 32×64; set a"
            " preprocessing.window that slides over it, the model's input to that size, or another resize",
        ),
        (
            {"resize": {"kind": "short_side", "size": 32}},
            "40×60 (height×width), made 32×48 by preprocessing.resize short_side, for a model of 32×64; set"
            " preprocessing.resize.pad_value, with which it is padded, the model's input to that size, or another"
            " resize",
        ),
        (
            {"resize": "none", "window": {}},
            "40×60 (height×width) for a model of 32×64; set preprocessing.resize.pad_value, with which it is padded,"
            " the model's input to that size, or another resize",
        ),
    ],
)
def test_image_that_does_not_fit_is_told_with_what_would_be_right(preprocessing: dict[str, Any], said: str) -> None:
    prepare = Normalizer({**PLAIN, **preprocessing}, 32, 64)
    if not said:
        assert prepare(drawn_image(40, 60)).shape == (1, 3, 32, 64)
        return
    with pytest.raises(InputError) as error:
        prepare(drawn_image(40, 60), "val/7.png")
    assert str(error.value) == f"val/7.png: {said}"


def test_drawn_input_is_one_of_the_models_size_whatever_the_setting() -> None:
    facts = {"input": {"height": 32, "width": 64}, "preprocessing": {**PLAIN, "resize": "none", "window": {}}}
    enlarged = {**facts["preprocessing"], "resize": {"kind": "short_side", "size": 500}}
    assert np.array_equal(drawn_input({**facts, "preprocessing": enlarged}), drawn_input(facts))


def test_calibration_sees_each_window_once(tmp_path: Path) -> None:
    rows = index_of(make_folder_dataset(tmp_path / "made", 2, 48, 64))
    model = {"input": {"height": 32, "width": 40}, "preprocessing": {**PLAIN, "resize": "none", "window": {}}}
    images, prepare = CalibrationImages(rows, model), Normalizer(model["preprocessing"], 32, 40)
    wanted = [one.copy() for row in rows for one in prepare(cv2.imread(row["image"]))]
    assert len(images) == len(wanted) == 8
    assert all(np.array_equal(found[0], one) for found, one in zip(images, wanted, strict=True))
    assert np.array_equal(images[5][0], wanted[5]) and images.name(5) == "1"
    inputs, placement = images.inputs_of(1)
    assert np.array_equal(inputs, wanted[4:]) and len(placement.corners) == 4


class Waits:
    """A session whose call takes the seconds of its input's first value, and gives that as its class."""

    def __init__(self, ticks: list[int]) -> None:
        self._ticks = ticks

    def upload(self, image: np.ndarray) -> None:
        self._value = int(image[0, 0, 0, 0])

    def execute(self) -> None:
        self._ticks[0] += self._value

    def synchronize(self) -> None:
        """Nothing is asynchronous."""

    def download(self) -> np.ndarray:
        self._ticks[0] += 1
        return np.full((2, 3), self._value, np.uint8)


def test_time_of_an_image_is_that_of_all_its_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = [0]
    monkeypatch.setattr(clock.time, "perf_counter_ns", lambda: ticks[0] * 10**9)
    windows = np.arange(1, 4, dtype=np.float32).reshape(3, 1, 1, 1) * np.ones((3, 3, 2, 3), np.float32)
    ran = clock.time_once(Waits(ticks), windows)
    assert (ran.compute_s, ran.end_to_end_s, ran.device_s) == pytest.approx((6, 9, None))
    assert ran.class_map.tolist() == [[value] * 3 for value in (1, 1, 2, 2, 3, 3)]


def index_of(root: Path) -> list[dict[str, str]]:
    """Rows of an index of the images of a folder, which is written beside them."""
    rows = []
    for number, path in enumerate(sorted((root / "val").glob("*.png"))):
        height, width = cv2.imread(str(path)).shape[:2]
        size = {"height": str(height), "width": str(width)}
        row = {"image_id": str(number), "image": str(path), "label": "", "image_sha256": sha256_of(path), **size}
        rows.append(row)
    lines = [",".join(rows[0]), *(",".join(row.values()) for row in rows)]
    (root / "index.csv").write_text("\n".join(lines) + "\n")
    return rows


def by_hand(script: str, **arguments: object) -> None:
    options = [f"--{name.replace('_', '-')}={value}" for name, value in arguments.items()]
    done = subprocess.run(
        [sys.executable, str(SCRIPTS / script), *options], capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_pass_and_round_run_all_windows_of_images_of_differing_sizes(tmp_path: Path) -> None:
    folder = tmp_path / "results" / "models" / "mine"
    folder.mkdir(parents=True)
    path = make_onnx_model(tmp_path / "mine.onnx", 32, 40)
    preprocessing = {"resize": {"kind": "short_side", "size": 45}, "window": {"stride": 20}}
    entry = Model.model_validate(
        {"kind": "onnx", "weights": {"path": str(path)}, "input": {"height": 32, "width": 40}, "class_count": 4}
        | {"preprocessing": preprocessing}
    ).model_dump(mode="json")
    exported, _ = export("mine", entry, path)
    onnx.save(exported, str(folder / "model.onnx"))
    write_record(folder / "model.json", model_record("mine", entry, {"model.onnx": folder / "model.onnx"}, 0, ()))
    make_folder_dataset(tmp_path / "made", 1, 60, 60)
    make_folder_dataset(tmp_path / "more", 1, 40, 72)
    (tmp_path / "more/val/scene 00.png").rename(tmp_path / "made/val/scene 01.png")
    rows = index_of(tmp_path / "made")
    variant = json.dumps({"name": "onnxruntime-fp32", "engine": "onnxruntime", "precision": "fp32"})
    common = {"model": folder / "model.json", "variant": variant}
    engines = tmp_path / "results" / "timed", tmp_path / "results" / "logits"
    for engine, more in zip(engines, ([], ["--logits"]), strict=True):
        request: build_engine.Request = {
            "model": str(folder / "model.json"), "variant": json.loads(variant), "options": {}, "calibration": "",
            "shapes": "", "passes": "", "fp32_layers": "", "logits": bool(more), "twin": "",
            "out": str(engine / "engine"),
        }  # fmt: skip
        engine.mkdir()
        build_engine.build(request)
        manifest = {one.name: sha256_of(one) for one in (engine / "engine").iterdir()}
        write_record(engine / "status.json", {"status": "ok", "reason": "", "manifest": manifest})
    common |= {"engine": engines[0] / "engine", "engine_status": engines[0] / "status.json"}
    common |= {"index": tmp_path / "made" / "index.csv", "threads": 1}
    out = {name: tmp_path / "results" / name for name in ("environment", "status", "predictions")}
    by_hand(
        "infer.py", **common, **out, logits=engines[1] / "engine", logits_status=engines[1] / "status.json",
    )  # fmt: skip
    status, scored = read_json(out["status"]), Predictions.open(out["predictions"])
    assert (status["status"], status["scored_by"], status["logits_agreement"]) == ("ok", "logits", 1.0)
    expected = paddlesegs_maps(rows)
    assert all(np.array_equal(scored[row["image_id"]], expected[row["image_id"]]) for row in rows)
    timing = {
        "seed": 0, "images_per_round": 2, "round_min_s": 0, "pin": False, "contention_share": 1, "max_repeats": 0,
        "drift_tolerance": 1, "warm_up": {"min_runs": 1, "max_runs": 1, "max_s": 1, "window": 20, "tolerance": 1},
    }  # fmt: skip
    written = ("latencies", "replaced", "environment", "status", "predictions")
    timed = {name: tmp_path / "results" / f"round {name}" for name in written}
    by_hand("time_round.py", **common, **timed, timing=json.dumps(timing))
    assert read_json(timed["status"])["status"] == "ok"
    lines = timed["latencies"].read_text().splitlines()
    assert sorted(line.split(",")[0] for line in lines[1:]) == ["0", "1"]
    digests = Predictions.open(timed["predictions"])
    assert all(digests.digest(row["image_id"]) == scored.own_digest(row["image_id"]) for row in rows)


def paddlesegs_maps(rows: list[dict[str, str]]) -> dict[str, np.ndarray]:
    """Class maps of `make_onnx_model`'s network by PaddleSeg: short side 45, a window of 32×40 that moves by 20."""
    centres = (COLOURS[:, ::-1].astype(np.float32) / 255 - 0.5) / 0.5
    weight = np.repeat(np.repeat(centres[:, :, None, None] / 9, 3, axis=2), 3, axis=3)
    bias = (-0.5 * (centres**2).sum(1)).astype(np.float32)

    class Nearest(paddle.nn.Layer):
        """The network as PaddleSeg calls one."""

        def forward(self, image: Any) -> list[Any]:
            return [F.conv2d(image, paddle.to_tensor(weight), paddle.to_tensor(bias), padding=1)]

    transforms = [paddleseg.transforms.ResizeByShort(45), paddleseg.transforms.Normalize()]
    found = {}
    for row in rows:
        prepared = paddleseg.transforms.Compose(transforms)({"img": row["image"]})
        batch, info = paddle.to_tensor(prepared["img"][None]), prepared["trans_info"]
        with paddle.no_grad():
            pred, _ = inference(Nearest(), batch, info, is_slide=True, stride=(20, 20), crop_size=(40, 32))
        found[row["image_id"]] = pred.numpy()[0, 0]
    return found
