"""Each form that people's ONNX networks have becomes the one that engines get, and computes what numpy says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
from export_onnx_model import export
from helpers.onnx_made import (
    BIAS,
    CLASSES,
    HEIGHT,
    NCHW,
    NHWC,
    SCORES,
    SIZE,
    WEIGHT,
    WIDTH,
    Node,
    entry,
    network,
    scores,
)  # fmt: skip
from helpers.paddle_made import run_onnxruntime, run_openvino
from helpers.quantized_made import by_onnxruntime
from onnx import TensorProto as T
from onnx import numpy_helper
from segbench.calibration import qdq
from segbench.calibration.onnxruntime import Options, collect
from segbench.calibration.table import CalibrationTable
from segbench.config.options import Variant
from segbench.engines.base import load
from segbench.errors import InputError, Unsupported
from segbench.models.exported import ExportedModel, operators_named
from segbench.models.logits import LogitsModel

FULL = [1, CLASSES, HEIGHT, WIDTH]
ANY = list("abcd")  # four sizes that are not written
NONE = {"value": numpy_helper.from_array(np.array([0]))}  # of ConstantOfShape


@pytest.fixture
def pixels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (1, 3, *SIZE)).astype(np.float32)


@pytest.fixture
def image(pixels: np.ndarray) -> np.ndarray:
    return (pixels / 255 - np.float32(0.5)) / np.float32(0.5)


def exported(path: Path, **other: Any) -> tuple[Path, dict[str, Any]]:
    model, facts = export("mine", entry(**other), path)
    onnx.save(model, str(path.with_name("model.onnx")))
    return path.with_name("model.onnx"), facts


def class_map(path: Path, image: np.ndarray, **other: Any) -> tuple[np.ndarray, list[str]]:
    """The class map of the exported model, the same in both engines, and the export's notes."""
    model, facts = exported(path, **other)
    (found,), (by_openvino,) = (run(model, [image]) for run in (run_onnxruntime, run_openvino))
    assert (found.dtype, found.shape) == (np.uint8, (1, *SIZE))
    assert (found == by_openvino).mean() > 0.999
    return found[0], facts["notes"]


def message(path: Path, **other: Any) -> str:
    with pytest.raises(InputError) as caught:
        export("mine", entry(**other), path)
    assert "\n" not in str(caught.value)
    return str(caught.value).replace(str(path), "FILE")


def one_channel(*nodes: Node, last: str = "one", **weights: Any) -> list[Node]:
    return [("Conv", ["x", "one_weight", "one_bias"], ["one"], {}), *nodes]


ONE = {"one_weight": WEIGHT[:1], "one_bias": BIAS[:1]}
SIGMOID: Node = ("Sigmoid", ["one"], ["share"], {})


def one_score(image: np.ndarray) -> np.ndarray:
    return np.asarray(scores(image, WEIGHT[:1], BIAS[:1])[0, 0])


@pytest.mark.parametrize("given", [{}, {"output_kind": "sigmoid"}, {"threshold": 0.7}, {"output_kind": "logits"}])
def test_one_channel_is_class_1_above_a_threshold(tmp_path: Path, image: np.ndarray, given: dict[str, Any]) -> None:
    path = network(tmp_path / "net.onnx", one_channel(SIGMOID), [("share", T.FLOAT, [1, 1, *SIZE])], **ONE)
    found, notes = class_map(path, image, class_count=2, **given)
    bound = {"logits": 0.0}.get(given.get("output_kind", ""), given.get("threshold", 0.5))
    assert np.array_equal(found, 1 / (1 + np.exp(-one_score(image))) > bound)
    assert notes[0].startswith(f"output 'share' is FLOAT [1, 1, 32, 64]: class 1 where it is above {bound:g} (")


@pytest.mark.parametrize("shape", [[1, 1, *SIZE], [1, *SIZE], list(SIZE), [1, *SIZE, 1]])
def test_one_channel_without_a_sigmoid_is_compared_with_0(tmp_path: Path, image: np.ndarray, shape: list[int]) -> None:
    nodes = one_channel(("Reshape", ["one", "sizes"], ["logit"], {}))
    path = network(tmp_path / "net.onnx", nodes, [("logit", T.FLOAT, shape)], sizes=np.array(shape), **ONE)
    found, notes = class_map(path, image, class_count=2)
    assert np.array_equal(found, one_score(image) > 0) and "above 0 (it ends in Conv" in notes[-1]


def test_a_share_for_each_class_but_the_background(tmp_path: Path, image: np.ndarray) -> None:
    path = network(tmp_path / "net.onnx", [SCORES, ("Sigmoid", ["scores"], ["y"], {})], [("y", T.FLOAT, FULL)])
    assert "output_kind: sigmoid, if none of them is the background" in message(path, class_count=CLASSES + 1)
    found, _ = class_map(path, image, class_count=CLASSES + 1, output_kind="sigmoid")
    highest = scores(image)[0]
    assert np.array_equal(found, np.where(highest.max(0) > 0, highest.argmax(0) + 1, 0))
    assert len(np.unique(found)) == CLASSES + 1


def test_small_shares_are_resized_before_they_are_compared(tmp_path: Path, image: np.ndarray) -> None:
    small: Node = ("AveragePool", ["share"], ["y"], {"kernel_shape": [4, 4], "strides": [4, 4]})
    sizes = [1, 1, HEIGHT // 4, WIDTH // 4]
    path = network(tmp_path / "net.onnx", one_channel(SIGMOID, small), [("y", T.FLOAT, sizes)], **ONE)
    model, _ = exported(path, class_count=2, output_kind="sigmoid")
    share = 1 / (1 + np.exp(-one_score(image)))
    share = share.reshape(8, 4, 16, 4).mean((1, 3))
    wanted = cv2.resize(share, (WIDTH, HEIGHT), interpolation=cv2.INTER_LINEAR) > 0.5
    assert (run_onnxruntime(model, [image])[0][0] == wanted).mean() > 0.999
    (tmp_path / "work").mkdir()
    cut = LogitsModel(tmp_path, {"class_count": 2}, tmp_path / "work").file("model.onnx")
    (logits,) = run_onnxruntime(cut, [image])  # of both classes, at their own size, for the accuracy pass
    assert logits.shape == (1, 2, 8, 16)
    assert not logits[0, 0].any() and np.allclose(logits[0, 1], share - 0.5, atol=1e-5)


@pytest.mark.parametrize("given", [{"threshold": 0.2}, {}])
def test_small_scores_of_one_channel_survive_8_bits_on_both_engines(
    tmp_path: Path, image: np.ndarray, given: dict[str, float]
) -> None:
    """OpenVINO computes in 8 bits up to the class map, which the nodes that are added have to stand."""
    small: Node = ("AveragePool", ["one"], ["y"], {"kernel_shape": [4, 4], "strides": [4, 4]})
    path = network(tmp_path / "net.onnx", one_channel(small), [("y", T.FLOAT, [1, 1, 8, 16])], **ONE)
    model, _ = exported(path, class_count=2, **given)
    prepared = qdq.prepare(ExportedModel(tmp_path, {"files": {}}), tmp_path)
    images: Any = Images([image])
    ranges = collect(prepared, images, Options(method="minmax"), tmp_path / "unfinished.npz", tmp_path)
    table = CalibrationTable("m", {"a": "0"}, {"method": "minmax"}, {}, ranges)
    qdq.quantize(prepared, table, tmp_path / "q.onnx", reduce_range=True)
    (exact,) = run_onnxruntime(model, [image])
    for run in (run_onnxruntime, run_openvino):
        assert (run(tmp_path / "q.onnx", [image])[0] == exact).mean() > 0.95


class Images(list[np.ndarray]):
    """Images to calibrate with, of which messages name the first alone."""

    rows = ({"image_id": "a"},)


def test_a_threshold_beside_all_channels_is_refused(tmp_path: Path) -> None:
    path = network(tmp_path / "net.onnx", [SCORES], [("scores", T.FLOAT, FULL)])
    assert message(path, threshold=0.5) == (
        "model_catalogue.mine.threshold: output 'scores' of FILE is FLOAT [1, 4, 32, 64] and has all 4 classes, the"
        " highest of which is taken; remove it"
    )


ARGMAX: Node = ("ArgMax", ["scores"], ["ids"], {"axis": 1, "keepdims": 1})


@pytest.mark.parametrize("kind", [T.UINT8, T.INT32, T.FLOAT, T.BOOL])
def test_a_mask_of_two_values_is_two_classes(tmp_path: Path, image: np.ndarray, kind: int) -> None:
    """0 and 255 in any type, and false and true."""
    nodes = [
        SCORES, ARGMAX, ("Equal", ["ids", "two"], ["hit"], {}), ("Cast", ["hit"], ["number"], {"to": T.INT32}),
        ("Mul", ["number", "most"], ["big"], {}), ("Cast", ["big"], ["mask"], {"to": kind}),
    ]  # fmt: skip
    most = np.array(255, np.int32)
    path = network(tmp_path / "net.onnx", nodes, [("mask", kind, [1, 1, *SIZE])], two=np.array(2, np.int64), most=most)
    given = {"output_kind": "ids"} if kind == T.FLOAT else {}
    found, notes = class_map(path, image, class_count=2, **given)
    assert np.array_equal(found, scores(image)[0].argmax(0) == 2) and found.any()
    assert "a mask, class 1 where it is not 0" in notes[0]


def test_grey_levels_of_a_mask_take_a_threshold(tmp_path: Path, image: np.ndarray) -> None:
    nodes = one_channel(SIGMOID, ("Mul", ["share", "most"], ["grey"], {}), ("Cast", ["grey"], ["y"], {"to": T.UINT8}))
    most = np.array(255, np.float32)
    path = network(tmp_path / "net.onnx", nodes, [("y", T.UINT8, [1, 1, *SIZE])], most=most, **ONE)
    found, _ = class_map(path, image, class_count=2, threshold=127)
    assert np.array_equal(found, np.floor(255 / (1 + np.exp(-one_score(image)))) > 127)


@pytest.mark.parametrize("size", [(16, 32), (11, 23), (64, 128)])
@pytest.mark.parametrize("axes", [3, 4])
def test_ids_of_another_size_are_resized_by_the_nearest_pixel(
    tmp_path: Path, image: np.ndarray, size: tuple[int, int], axes: int
) -> None:
    resize: Node = ("Resize", ["x", "", "", "sizes"], ["small"], {"mode": "nearest"})
    nodes = [
        resize, ("Conv", ["small", "weight", "bias"], ["scores"], {}), (*ARGMAX[:3], {"axis": 1, "keepdims": axes - 3}),
    ]  # fmt: skip
    outputs = [("ids", T.INT64, [1] * (axes - 2) + list(size))]
    path = network(tmp_path / "net.onnx", nodes, outputs, sizes=np.array([1, 3, *size]))
    found, notes = class_map(path, image)
    own = np.asarray(run_onnxruntime(path, [image])[0]).reshape(size).astype(np.uint8)
    wanted = cv2.resize(own, (WIDTH, HEIGHT), interpolation=cv2.INTER_NEAREST_EXACT)
    assert (found == wanted).mean() > 0.99
    assert notes == [f"class ids of {size[0]}×{size[1]} are resized (nearest) to 32×64"]


def test_ids_of_an_argmax_are_as_many_as_its_channels(tmp_path: Path) -> None:
    path = network(tmp_path / "net.onnx", [SCORES, ARGMAX], [("ids", T.INT64, [1, 1, *SIZE])])
    assert message(path, class_count=3) == (
        "model_catalogue.mine.class_count: 3, but output 'ids' of FILE is INT64 [1, 1, 32, 64], the argmax of 4"
        " channels"
    )


def test_ids_by_a_table_are_compared_with_the_class_count(tmp_path: Path, image: np.ndarray) -> None:
    nodes = [SCORES, ARGMAX, ("Gather", ["table", "ids"], ["labels"], {})]
    outputs = [("labels", T.INT64, [1, 1, *SIZE])]
    path = network(tmp_path / "net.onnx", nodes, outputs, table=np.array([7, 8, 11, 255]))
    assert message(path) == (
        "model_catalogue.mine.class_count: 4, but output 'labels' of FILE is INT64 [1, 1, 32, 64] and has id 11 for an"
        " image of noise"
    )
    found, _ = class_map(path, image, class_count=12)  # 255 is none of the classes
    assert np.array_equal(found, np.array([7, 8, 11, 255])[scores(image)[0].argmax(0)])


def test_the_largest_output_with_the_classes_is_taken(tmp_path: Path, image: np.ndarray) -> None:
    pool: Node = ("AveragePool", ["scores"], ["aux"], {"kernel_shape": [2, 2], "strides": [2, 2]})
    nodes = [SCORES, pool, ("Neg", ["scores"], ["later"], {}), ("Conv", ["x", "weight3", "bias3"], ["edges"], {})]
    outputs = [
        ("edges", T.FLOAT, [1, 3, *SIZE]), ("aux", T.FLOAT, ANY), ("scores", T.FLOAT, ANY), ("later", T.FLOAT, ANY),
    ]  # fmt: skip
    path = network(tmp_path / "net.onnx", nodes, outputs, weight3=WEIGHT[:3], bias3=BIAS[:3])
    found, notes = class_map(path, image)
    assert np.array_equal(found, scores(image)[0].argmax(0))
    assert notes == [
        f"{path} has 4 outputs: edges, aux, scores, later, of which 'scores' is taken, the largest of 4 channels"
    ]
    assert np.array_equal(class_map(path, image, output="later")[0], scores(image)[0].argmin(0))
    assert message(path, output="score") == (
        "model_catalogue.mine.output: 'score' is none of them: FILE has 4 outputs: edges, aux, scores, later"
    )


def test_the_first_output_is_taken_where_none_has_the_classes(tmp_path: Path, image: np.ndarray) -> None:
    sides = [("Neg", ["one"], ["side"], {})]
    outputs = [("one", T.FLOAT, [1, 1, *SIZE]), ("side", T.FLOAT, [1, 1, *SIZE])]
    path = network(tmp_path / "net.onnx", one_channel(*sides), outputs, **ONE)
    found, notes = class_map(path, image, class_count=2)
    assert np.array_equal(found, one_score(image) > 0)
    assert notes[0].endswith("has 2 outputs: one, side, of which 'one' is taken, the first")


@pytest.mark.parametrize("sizes", [[1, *SIZE, 3], ["n", "h", "w", 3]], ids=["fixed", "any"])
@pytest.mark.parametrize("last", [True, False], ids=["both", "input"])
def test_channels_may_be_last(tmp_path: Path, image: np.ndarray, sizes: list[Any], last: bool) -> None:
    nodes: list[Node] = [
        ("Transpose", ["x"], ["chw"], {"perm": NCHW}), ("Conv", ["chw", "weight", "bias"], ["scores"], {}),
        ("Transpose", ["scores"], ["y"], {"perm": NHWC if last else [0, 1, 2, 3]}),
    ]  # fmt: skip
    path = network(tmp_path / "net.onnx", nodes, [("y", T.FLOAT, ANY)], image=(T.FLOAT, sizes))
    found, notes = class_map(path, image)
    assert np.array_equal(found, scores(image)[0].argmax(0))
    assert "is made of FLOAT [1, 3, 32, 64] by Transpose" in notes[0]
    assert any("its last axis is taken for the 4 channels" in note for note in notes) == last


def test_only_the_outputs_channels_may_be_last_and_small(tmp_path: Path, image: np.ndarray) -> None:
    nodes = [
        ("AveragePool", ["x"], ["small"], {"kernel_shape": [4, 4], "strides": [4, 4]}),
        ("Conv", ["small", "weight", "bias"], ["scores"], {}), ("Transpose", ["scores"], ["y"], {"perm": NHWC}),
    ]  # fmt: skip
    path = network(tmp_path / "net.onnx", nodes, [("y", T.FLOAT, ANY)])
    found, _ = class_map(path, image)
    small = scores(image.reshape(1, 3, 8, 4, 16, 4).mean((3, 5)))[0]
    planes = [cv2.resize(plane, (WIDTH, HEIGHT), interpolation=cv2.INTER_LINEAR) for plane in small]
    assert (found == np.argmax(planes, axis=0)).mean() > 0.999


def sixteen(kind: int, name: str, values: np.ndarray) -> Any:
    """A tensor of FLOAT16 or BFLOAT16, and what float32 makes of it."""
    from onnx import helper

    narrow = values.astype(helper.tensor_dtype_to_np_dtype(kind))
    return numpy_helper.from_array(narrow, name), narrow.astype(np.float32)


@pytest.mark.parametrize("kind", [T.FLOAT16, T.BFLOAT16])
@pytest.mark.parametrize("inside", [True, False], ids=["inside", "all"])
def test_sixteen_bit_networks_run_in_float32(tmp_path: Path, image: np.ndarray, kind: int, inside: bool) -> None:
    """As converters write them: all of it, or between casts."""
    (weight, wide_weight), (bias, wide_bias) = sixteen(kind, "weight", WEIGHT), sixteen(kind, "bias", BIAS)
    conv: list[Node] = [("Conv", ["narrow" if inside else "x", "weight", "bias"], ["scores"], {})]
    if inside:
        conv = [("Cast", ["x"], ["narrow"], {"to": kind}), *conv, ("Cast", ["scores"], ["y"], {"to": T.FLOAT})]
    outside = T.FLOAT if inside else kind
    outputs = [("y" if inside else "scores", outside, FULL)]
    given = {"weight": weight, "bias": bias}
    path = network(tmp_path / "net.onnx", conv, outputs, image=(outside, [1, 3, *SIZE]), **given)
    found, notes = class_map(path, image)
    assert np.array_equal(found, scores(image, wide_weight, wide_bias)[0].argmax(0))
    assert notes[0] == f"the network has {T.DataType.Name(kind)} values, it runs in FLOAT, which holds each of them"
    model = onnx.load(str(tmp_path / "model.onnx"))
    assert {tensor.data_type for tensor in model.graph.initializer} == {T.FLOAT}


def test_sixteen_bits_in_constants_and_branches_are_found(tmp_path: Path, image: np.ndarray) -> None:
    from onnx import helper

    half = numpy_helper.from_array(np.array(0.25, np.float16))
    branch = helper.make_graph(
        [helper.make_node("Constant", [], ["c"], value=half), helper.make_node("Mul", ["narrow", "c"], ["m"])],
        "branch", [], [helper.make_tensor_value_info("m", T.FLOAT16, ANY)],
    )  # fmt: skip
    nodes = [
        ("Cast", ["x"], ["narrow"], {"to": T.FLOAT16}), ("ReduceMax", ["x"], ["top"], {"keepdims": 0}),
        ("Greater", ["top", "bound"], ["bright"], {}),
        ("If", ["bright"], ["scaled"], {"then_branch": branch, "else_branch": branch}),
        ("Cast", ["scaled"], ["x2"], {"to": T.FLOAT}), ("Conv", ["x2", "weight", "bias"], ["scores"], {}),
    ]  # fmt: skip
    path = network(tmp_path / "net.onnx", nodes, [("scores", T.FLOAT, FULL)], bound=np.array(0, np.float32))
    found, _ = class_map(path, image)
    assert np.array_equal(found, scores(image * np.float32(0.25))[0].argmax(0))


def on_pixels(*more: Node) -> list[Node]:
    """Preprocessing inside: (pixel − 128) / 64."""
    return [
        *more, ("Cast", ["planes" if more else "x"], ["wide"], {"to": T.FLOAT}),
        ("Sub", ["wide", "mean"], ["zero"], {}), ("Div", ["zero", "deviation"], ["normal"], {}),
        ("Conv", ["normal", "weight", "bias"], ["scores"], {}),
    ]  # fmt: skip


MEANS = {"mean": np.array(128, np.float32), "deviation": np.array(64, np.float32)}


@pytest.mark.parametrize("kind", [T.UINT8, T.INT32])
@pytest.mark.parametrize("last", [False, True], ids=["NCHW", "NHWC"])
def test_a_network_of_pixels_gets_pixels(tmp_path: Path, pixels: np.ndarray, kind: int, last: bool) -> None:
    more: list[Node] = [("Transpose", ["x"], ["planes"], {"perm": NCHW})] if last else []
    sizes = [1, *SIZE, 3] if last else [1, 3, *SIZE]
    path = network(tmp_path / "net.onnx", on_pixels(*more), [("scores", T.FLOAT, ANY)], image=(kind, sizes), **MEANS)
    model, facts = exported(path)
    asked = facts["preprocessing"]  # what the image is made by, before the engine gets it
    assert (asked["scale"], asked["mean"], asked["std"], asked["resize"]) == (1, [0] * 3, [1] * 3, "none")
    (found,) = run_onnxruntime(model, [pixels])
    assert np.array_equal(found[0], scores((pixels - 128) / 64)[0].argmax(0))
    assert np.array_equal(run_openvino(model, [pixels])[0], found)


def test_resized_pixels_are_rounded_and_not_cut_off(tmp_path: Path, pixels: np.ndarray) -> None:
    path = network(
        tmp_path / "net.onnx", on_pixels(), [("scores", T.FLOAT, ANY)], image=(T.UINT8, [1, 3, *SIZE]), **MEANS
    )
    stretch = {**entry()["preprocessing"], "resize": "stretch"}
    model, _ = exported(path, preprocessing=stretch)
    between = np.clip(pixels + np.float32(0.4), 0, 255) - np.float32(0.8)
    (found,) = run_onnxruntime(model, [np.clip(between, 0, 255)])
    assert np.array_equal(found[0], scores((np.round(np.clip(between, 0, 255)) - 128) / 64)[0].argmax(0))


@pytest.mark.parametrize("order", ["rgb", "bgr"])
@pytest.mark.parametrize("kind", [T.FLOAT, T.UINT8])
@pytest.mark.parametrize("opset", [11, 13])
def test_one_input_channel_gets_the_luma(tmp_path: Path, pixels: np.ndarray, order: str, kind: int, opset: int) -> None:
    grey = WEIGHT[:, :1]
    nodes: list[Node] = [("Cast", ["x"], ["wide"], {"to": T.FLOAT}), ("Conv", ["wide", "grey", "bias"], ["scores"], {})]
    given = (kind, ["n", 1, "h", "w"])
    path = network(tmp_path / "net.onnx", nodes, [("scores", T.FLOAT, ANY)], image=given, opset=opset, grey=grey)
    whole = {**entry()["preprocessing"], "channel_order": order, "scale": 1.0, "mean": [0.0] * 3, "std": [1.0] * 3}
    model, _ = exported(path, preprocessing=whole)
    (found,) = run_onnxruntime(model, [pixels])
    turn = cv2.COLOR_RGB2GRAY if order == "rgb" else cv2.COLOR_BGR2GRAY
    planes = pixels[0].transpose(1, 2, 0)
    luma = cv2.cvtColor(planes.astype(np.uint8) if kind == T.UINT8 else planes, turn).astype(np.float32)
    wanted = scores(luma[None, None], grey)[0].argmax(0)
    assert (found[0] == wanted).mean() > 0.99
    different = {**whole, "mean": [0.485, 0.456, 0.406]}
    if kind == T.FLOAT:
        assert message(path, preprocessing=different).endswith(
            "one channel, made of all three, wants three equal numbers"
        )


@pytest.mark.parametrize("batch", [2, 4])
def test_a_fixed_batch_becomes_one(tmp_path: Path, image: np.ndarray, batch: int) -> None:
    """The batch is in the shapes that the network reshapes to, as exports for a fixed size write it."""
    nodes = [
        SCORES, ("Reshape", ["scores", "flat"], ["rows"], {}), ("Softmax", ["rows"], ["shares"], {"axis": 1}),
        ("Reshape", ["shares", "maps"], ["y"], {}),
    ]  # fmt: skip
    shapes = {"flat": np.array([batch, CLASSES, -1]), "maps": np.array([batch, CLASSES, *SIZE])}
    given = (T.FLOAT, [batch, 3, *SIZE])
    path = network(tmp_path / "net.onnx", nodes, [("y", T.FLOAT, [batch, *FULL[1:]])], image=given, **shapes)
    found, notes = class_map(path, image)
    assert np.array_equal(found, scores(image)[0].argmax(0))
    assert notes == [f"input 'x' is of {batch} images, of which one is left"]


@pytest.mark.parametrize("how", ["mixes", "shape"])
def test_a_batch_that_its_images_depend_on_is_refused(tmp_path: Path, how: str) -> None:
    nodes: list[Node] = [
        ("ReduceMean", ["x"], ["mean"], {"axes": [0], "keepdims": 1}),
        ("Sub", ["x", "mean"], ["x0"], {}),
    ]
    if how == "shape":
        nodes = [("Reshape", ["x", "sizes"], ["x0"], {})]
    nodes.append(("Conv", ["x0", "weight", "bias"], ["scores"], {}))
    given = (T.FLOAT, [4, 3, *SIZE])
    sizes = np.array([2, 3, 2 * HEIGHT, WIDTH])
    path = network(tmp_path / "net.onnx", nodes, [("scores", T.FLOAT, ANY)], image=given, sizes=sizes)
    assert "[4, 3, 32, 64]: a batch that cannot be made 1" in message(path)


@pytest.mark.parametrize("how", ["floor", "pad", "ceil"])
def test_sizes_that_are_computed_in_the_graph_are_folded(tmp_path: Path, image: np.ndarray, how: str) -> None:
    """As PyTorch's exports for dynamic sizes: a factor and Floor before Resize; a multiple by Mod before Pad."""
    shape: list[Node] = [
        ("Shape", ["x"], ["s"], {}),
        ("Gather", ["s", "i2"], ["h"], {}),
        ("Gather", ["s", "i3"], ["w"], {}),
    ]
    numbers = {name: np.array(value, np.int64) for name, value in {"i2": [2], "i3": [3], "five": [5]}.items()}
    asymmetric = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    if how == "floor":
        nodes = [
            ("AveragePool", ["x"], ["p"], {"kernel_shape": [2, 2], "strides": [2, 2]}),
            ("Conv", ["p", "weight", "bias"], ["l"], {}), ("Shape", ["l"], ["s"], {}),
            ("Slice", ["s", "z0", "z2"], ["nc"], {}), ("Slice", ["s", "z2", "z4"], ["hw"], {}),
            ("Cast", ["hw"], ["f"], {"to": T.FLOAT}), ("Mul", ["f", "two"], ["f2"], {}), ("Floor", ["f2"], ["f3"], {}),
            ("Cast", ["f3"], ["hw2"], {"to": T.INT64}), ("Concat", ["nc", "hw2"], ["sizes"], {"axis": 0}),
            ("Resize", ["l", "", "", "sizes"], ["y"], asymmetric),
        ]  # fmt: skip
        more: dict[str, Any] = {f"z{n}": np.array([n]) for n in (0, 2, 4)} | {"two": np.array(2, np.float32)}
        wanted = scores(image.reshape(1, 3, 16, 2, 32, 2).mean((3, 5)).repeat(2, 2).repeat(2, 3))
    elif how == "ceil":  # resized to a third of each length, rounded up, and back: Div, Ceil, Where, ConstantOfShape
        nodes = [
            *shape, ("Concat", ["h", "w"], ["hw"], {"axis": 0}), ("Cast", ["hw"], ["f"], {"to": T.FLOAT}),
            ("Div", ["f", "three"], ["third"], {}), ("Ceil", ["third"], ["up"], {}),
            ("Cast", ["up"], ["small"], {"to": T.INT64}), ("ConstantOfShape", ["two"], ["zeros"], NONE),
            ("Greater", ["small", "zeros"], ["some"], {}), ("Where", ["some", "small", "hw"], ["kept"], {}),
            ("Slice", ["s", "from", "until"], ["nc"], {}), ("Concat", ["nc", "kept"], ["there"], {"axis": 0}),
            ("Resize", ["x", "", "", "there"], ["r"], asymmetric), ("Conv", ["r", "weight", "bias"], ["l"], {}),
            ("Shape", ["l"], ["of l"], {}), ("Slice", ["of l", "one", "until"], ["c"], {}),
            ("Concat", ["one", "c", "hw"], ["back"], {"axis": 0}), ("Resize", ["l", "", "", "back"], ["y"], asymmetric),
        ]  # fmt: skip
        more = {"three": np.array(3, np.float32), "two": np.array([2]), "from": np.array([0]), "until": np.array([2]),
                "one": np.array([1])}  # fmt: skip
        rows, columns = (np.floor(np.arange(n) * -(-n // 3) / n).astype(int) for n in SIZE)
        taken = [np.floor(np.arange(-(-n // 3)) * n / -(-n // 3)).astype(int) for n in SIZE]
        wanted = scores(image[:, :, taken[0]][..., taken[1]])[:, :, rows][..., columns]
    else:
        nodes = [
            *shape, ("Neg", ["h"], ["nh"], {}), ("Mod", ["nh", "five"], ["ph"], {}), ("Neg", ["w"], ["nw"], {}),
            ("Mod", ["nw", "five"], ["pw"], {}), ("Concat", ["zeros", "ph", "pw"], ["pads"], {"axis": 0}),
            ("Pad", ["x", "pads"], ["xp"], {}), ("Conv", ["xp", "weight", "bias"], ["lp"], {}),
            ("Concat", ["h", "w"], ["hw"], {"axis": 0}), ("Slice", ["lp", "from", "hw", "axes"], ["y"], {}),
        ]  # fmt: skip
        more = {"zeros": np.zeros(6, np.int64), "from": np.array([0, 0]), "axes": np.array([2, 3])}
        wanted = scores(image)
    path = network(
        tmp_path / "net.onnx", nodes, [("y", T.FLOAT, ANY)], image=(T.FLOAT, ["n", 3, "h", "w"]), **numbers, **more
    )
    found, _ = class_map(path, image)
    assert (found == wanted[0].argmax(0)).mean() > 0.999
    assert not {"Shape", "Mod", "Floor"} & {node.op_type for node in onnx.load(str(tmp_path / "model.onnx")).graph.node}


def optimised(path: Path, raw: Path) -> Path:
    """A network as ONNX Runtime's optimiser saves it, with an operator of its own."""
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    settings.optimized_model_filepath = str(path)
    onnxruntime.InferenceSession(str(raw), settings, providers=["CPUExecutionProvider"])
    assert "FusedConv" in {node.op_type for node in onnx.load(str(path)).graph.node}
    return path


def test_a_graph_of_onnx_runtimes_optimiser_runs_and_is_named(tmp_path: Path, image: np.ndarray) -> None:
    nodes = [("Conv", ["x", "weight3", "bias3"], ["h"], {}), ("Relu", ["h"], ["h2"], {}),
             ("Conv", ["h2", "weight", "bias"], ["scores"], {})]  # fmt: skip
    eye = np.eye(3, dtype=np.float32)[:, :, None, None]
    more = {"weight3": eye, "bias3": np.full(3, 1, np.float32)}
    raw = network(tmp_path / "raw.onnx", nodes, [("scores", T.FLOAT, FULL)], **more)
    model, facts = exported(optimised(tmp_path / "net.onnx", raw))
    (found,) = run_onnxruntime(model, [image])
    assert np.array_equal(found[0], scores(image + 1)[0].argmax(0))
    assert facts["notes"][0] == (
        "the graph was saved by ONNX Runtime's optimiser: it has FusedConv of domain com.microsoft, which other engines"
        " may not know"
    )


def test_an_engine_that_lacks_an_operator_names_its_domain(tmp_path: Path, image: np.ndarray) -> None:
    """ONNX Runtime has an operator of its own, which hides the size from shape inference; OpenVINO does not know it."""
    down, right = np.meshgrid(np.linspace(-1, 1, HEIGHT), np.linspace(-1, 1, WIDTH), indexing="ij")
    grid = np.stack([right, down], -1)[None].astype(np.float32)  # each pixel is taken from its own place
    facts = {"domain": "com.microsoft", "align_corners": 1}
    nodes = [SCORES, ("GridSample", ["scores", "grid"], ["y"], facts)]
    path = network(tmp_path / "net.onnx", nodes, [("y", T.FLOAT, ANY)], domains=("com.microsoft",), grid=grid)
    model, record = exported(path)
    assert record["notes"] == ["the graph has GridSample of domain com.microsoft, which other engines may not know"]
    assert (run_onnxruntime(model, [image])[0][0] == scores(image)[0].argmax(0)).mean() > 0.99
    mine = ExportedModel(tmp_path, {"input": entry()["input"], "files": {}, **record})
    openvino, variant = load("openvino"), Variant("v", "openvino", "fp32")
    said = r"^the graph has GridSample of domain com\.microsoft; reading the model: "
    with pytest.raises(Unsupported, match=said), operators_named(mine):
        openvino.build(mine, None, variant, openvino.build_options(), tmp_path / "engine")


def test_layers_that_the_optimiser_fused_are_no_layers_to_quantise(tmp_path: Path) -> None:
    nodes = [SCORES, ("Relu", ["scores"], ["y"], {})]
    exported(optimised(tmp_path / "net.onnx", network(tmp_path / "raw.onnx", nodes, [("y", T.FLOAT, FULL)])))
    with pytest.raises(Unsupported, match=r"^no operator of the graph is one that 8 bits serve"):
        qdq.prepare(ExportedModel(tmp_path, {}), tmp_path)


def test_an_operator_that_hides_the_size_is_named_with_its_domain(tmp_path: Path) -> None:
    nodes = [SCORES, ("Twist", ["scores"], ["y"], {"domain": "org.example"})]
    path = network(tmp_path / "net.onnx", nodes, [("y", T.FLOAT, ANY)], domains=("org.example",))
    said = message(path)
    assert said.startswith("FILE: the size of its outputs does not follow from operator Twist of domain org.example; ")


@pytest.mark.parametrize(
    ("form", "kinds"), [("QDQ", {"QuantizeLinear"}), ("QOperator", {"QuantizeLinear", "QLinearConv"})]
)
def test_a_quantised_network_is_told_by_its_operators(
    tmp_path: Path, image: np.ndarray, form: str, kinds: set[str]
) -> None:
    raw = network(tmp_path / "raw.onnx", [SCORES], [("scores", T.FLOAT, FULL)])
    model, facts = exported(by_onnxruntime(raw, tmp_path / "net.onnx", [image], form))
    nodes = [node.op_type for node in onnx.load(str(model)).graph.node]
    assert facts["quantized"] == {kind: nodes.count(kind) for kind in kinds}
    (found,) = run_onnxruntime(model, [image])
    assert (found[0] == scores(image)[0].argmax(0)).mean() > 0.97


def test_weights_that_are_stored_in_8_bits_are_no_quantised_network(tmp_path: Path, image: np.ndarray) -> None:
    weight = np.round(WEIGHT * 40).astype(np.int8)
    nodes = [("DequantizeLinear", ["w8", "step"], ["w"], {}), ("Conv", ["x", "w", "bias"], ["scores"], {})]
    step = np.array(1 / 40, np.float32)
    path = network(tmp_path / "net.onnx", nodes, [("scores", T.FLOAT, FULL)], w8=weight, step=step)
    found, _ = class_map(path, image)
    assert "quantized" not in exported(path)[1]
    assert (found == scores(image, weight * step)[0].argmax(0)).mean() > 0.999
