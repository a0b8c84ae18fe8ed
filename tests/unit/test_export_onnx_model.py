"""A person's own ONNX model gets its size and its argmax, and bad ones are named in one line."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
from export_onnx_model import export, main
from helpers.made import make_folder_dataset, make_onnx_model
from onnx import TensorProto, external_data_helper, helper
from segbench.errors import InputError

LFS = "version https://git-lfs.github.com/spec/"

HEIGHT, WIDTH = 32, 64
Edit = Callable[[Any], None]


def entry(**other: Any) -> dict[str, Any]:
    return {
        "kind": "onnx",
        "title": "Nearest colour",
        "architecture": None,
        "weights": {"url": None, "path": "nearest.onnx", "sha256": None},
        "input": {"height": HEIGHT, "width": WIDTH},
        "class_count": 4,
        "class_map": None,
        "output": None,
        "preprocessing": {
            "channel_order": "rgb",
            "scale": 1 / 255,
            "mean": [0.5] * 3,
            "std": [0.5] * 3,
            "resize": "none",
        },
        **other,
    }


def model_file(folder: Path, edit: Edit | None = None) -> Path:
    """The made ONNX model, changed by `edit`."""
    path = make_onnx_model(folder / "nearest.onnx", HEIGHT, WIDTH)
    if edit:
        model = onnx.load(str(path))
        edit(model)
        onnx.save(model, str(path))
    return path


def run(model: Any, image: np.ndarray) -> np.ndarray:
    import onnxruntime

    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    assert len(session.get_inputs()) == len(session.get_outputs()) == 1
    return np.asarray(session.run(None, {session.get_inputs()[0].name: image})[0])


def message(path: Path, **other: Any) -> str:
    with pytest.raises(InputError) as caught:
        export("mine", entry(**other), path)
    assert "\n" not in str(caught.value)
    return str(caught.value).replace(str(path), "FILE")


@pytest.fixture
def image() -> np.ndarray:
    return np.random.default_rng(0).uniform(-1, 1, (1, 3, HEIGHT, WIDTH)).astype(np.float32)


def logits_of(path: Path, image: np.ndarray) -> np.ndarray:
    return run(onnx.load(str(path)), image)


def test_argmax_is_put_behind_the_logits(tmp_path: Path, image: np.ndarray) -> None:
    path = model_file(tmp_path)
    model, facts = export("mine", entry(), path)
    found = run(model, image)
    assert (found.dtype, found.shape, facts["notes"]) == (np.uint8, (1, HEIGHT, WIDTH), [])
    assert np.array_equal(found, logits_of(path, image).argmax(1))


def test_any_size_is_fixed_to_the_entrys(tmp_path: Path, image: np.ndarray) -> None:
    def dynamic(model: Any) -> None:
        for value, names in ((model.graph.input[0], "nchw"), (model.graph.output[0], "abcd")):
            for dim, name in zip(value.type.tensor_type.shape.dim, names, strict=True):
                dim.dim_param = name

    model, _ = export("mine", entry(), model_file(tmp_path, dynamic))
    sizes = [dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim]
    assert sizes == [1, 3, HEIGHT, WIDTH]
    assert run(model, image).shape == (1, HEIGHT, WIDTH)


def test_smaller_logits_are_resized_with_a_note(tmp_path: Path, image: np.ndarray) -> None:
    def halve(model: Any) -> None:
        model.graph.node[0].attribute.append(helper.make_attribute("strides", [2, 2]))
        for axis, size in ((2, HEIGHT // 2), (3, WIDTH // 2)):
            model.graph.output[0].type.tensor_type.shape.dim[axis].dim_value = size

    path = model_file(tmp_path, halve)
    model, facts = export("mine", entry(), path)
    assert facts["notes"] == ["logits of 16×32 are resized (bilinear) to 32×64 before argmax"]
    planes = [cv2.resize(plane, (WIDTH, HEIGHT), interpolation=cv2.INTER_LINEAR) for plane in logits_of(path, image)[0]]
    assert (run(model, image)[0] == np.argmax(planes, axis=0)).mean() > 0.999


@pytest.mark.parametrize("channel", [0, 1])
@pytest.mark.parametrize("kind", [TensorProto.INT64, TensorProto.INT32])
def test_class_map_is_only_cast(tmp_path: Path, image: np.ndarray, channel: int, kind: int) -> None:
    def argmax(model: Any) -> None:
        model.graph.node.append(helper.make_node("ArgMax", ["logits"], ["index"], axis=1, keepdims=channel))
        model.graph.node.append(helper.make_node("Cast", ["index"], ["map"], to=kind))
        shape = [1, 1, HEIGHT, WIDTH] if channel else [1, HEIGHT, WIDTH]
        model.graph.output[0].CopyFrom(helper.make_tensor_value_info("map", kind, shape))

    path = model_file(tmp_path, argmax)
    found = run(export("mine", entry(), path)[0], image)
    assert np.array_equal(found, logits_of(path, image).reshape(1, HEIGHT, WIDTH))


def test_named_output_is_used_and_the_rest_dropped(tmp_path: Path, image: np.ndarray) -> None:
    def second(model: Any) -> None:
        model.graph.node.append(helper.make_node("Neg", ["logits"], ["other"]))
        model.graph.output.append(helper.make_tensor_value_info("other", TensorProto.FLOAT, [1, 4, HEIGHT, WIDTH]))

    path = model_file(tmp_path, second)
    assert message(path, output="logit") == (
        "model_catalogue.mine.output: 'logit' is none of them: FILE has 2 outputs: logits, other"
    )
    model, _ = export("mine", entry(output="logits"), path)
    assert [node.op_type for node in model.graph.node] == ["Conv", "ArgMax", "Cast"]
    assert run(model, image).shape == (1, HEIGHT, WIDTH)


def test_weights_listed_as_inputs_are_no_inputs(tmp_path: Path, image: np.ndarray) -> None:
    def old_style(model: Any) -> None:
        model.ir_version = 3
        for tensor in model.graph.initializer:
            model.graph.input.append(helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))

    model, _ = export("mine", entry(), model_file(tmp_path, old_style))
    assert [value.name for value in model.graph.input] == ["image"]
    assert run(model, image).shape == (1, HEIGHT, WIDTH)


def test_two_inputs_are_named(tmp_path: Path) -> None:
    path = make_onnx_model(tmp_path / "two.onnx", HEIGHT, WIDTH, inputs=2)
    assert message(path) == "FILE: has 2 inputs (image, image1); a segmentation model has one, the image"


def test_class_map_of_the_wrong_length_is_named(tmp_path: Path) -> None:
    assert message(model_file(tmp_path), class_map=[0, 1, 2]) == (
        "model_catalogue.mine.class_map: has 3 entries, but class_count is 4; give one trainId per output channel,"
        " 255 for none"
    )


def test_wrong_class_count_is_named(tmp_path: Path) -> None:
    assert message(model_file(tmp_path), class_count=19) == (
        "model_catalogue.mine.class_count: 19, but output 'logits' of FILE is FLOAT [1, 4, 32, 64]: 4 channels"
    )


def test_another_fixed_input_size_is_named(tmp_path: Path) -> None:
    assert message(model_file(tmp_path), input={"height": 64, "width": 64}) == (
        "model_catalogue.mine.input: 64×64, but FILE: input 'image' is FLOAT [1, 3, 32, 64]"
    )


def set_input(kind: int, shape: list[int]) -> Edit:
    return lambda model: model.graph.input[0].CopyFrom(helper.make_tensor_value_info("image", kind, shape))


@pytest.mark.parametrize(
    ("kind", "shape", "shown"),
    [
        (TensorProto.FLOAT, [1, 4, HEIGHT, WIDTH], "FLOAT [1, 4, 32, 64]"),
        (TensorProto.STRING, [1, 3, HEIGHT, WIDTH], "STRING [1, 3, 32, 64]"),
        (TensorProto.COMPLEX64, [1, 3, HEIGHT, WIDTH], "COMPLEX64 [1, 3, 32, 64]"),
        (TensorProto.FLOAT, [3, HEIGHT, WIDTH], "FLOAT [3, 32, 64]"),
    ],
)
def test_other_inputs_are_refused(tmp_path: Path, kind: int, shape: list[int], shown: str) -> None:
    path = model_file(tmp_path, set_input(kind, shape))
    assert message(path) == (
        f"FILE: input 'image' is {shown}; wanted: FLOAT or UINT8 [1, 3, height, width] or [1, height, width, 3], with 3"
        " channels or 1 (-1: any)"
    )


def test_output_that_is_no_map_is_refused(tmp_path: Path) -> None:
    def pooled(model: Any) -> None:
        model.graph.node.append(helper.make_node("ReduceMean", ["logits"], ["mean"], axes=[2, 3], keepdims=0))
        model.graph.output[0].CopyFrom(helper.make_tensor_value_info("mean", TensorProto.FLOAT, [1, 4]))

    assert message(model_file(tmp_path, pooled)) == (
        "model_catalogue.mine: output 'mean' of FILE is FLOAT [1, 4]; wanted: FLOAT logits [1, 4, height, width] or an"
        " integer class map"
    )


def test_files_that_are_no_models_are_named(tmp_path: Path) -> None:
    path = model_file(tmp_path)
    whole = path.read_bytes()
    for content, said in (
        (whole[:-20], "not an ONNX model, or a truncated one"),
        (b"<html>404</html>", "is a page (HTML or XML), not the file; open it to see what it says"),
        (b"garbage", "not an ONNX model, or a truncated one"),
        (b"", "is empty; fetch it again"),
    ):
        path.write_bytes(content)
        assert message(path) == f"FILE: {said}"
    path.unlink()
    assert message(path) == "FILE: no such file"


def test_broken_graph_is_refused(tmp_path: Path) -> None:
    path = model_file(tmp_path, lambda model: model.graph.node[0].input.__setitem__(0, "nowhere"))
    assert message(path).startswith("FILE: not a valid ONNX model (")


def split_model(folder: Path, location: str = "weights.bin") -> Path:
    """The made model with its weights in another file of its folder; the model says `location`."""
    path = model_file(folder)
    model = onnx.load(str(path))
    external_data_helper.convert_model_to_external_data(model, location="weights.bin", size_threshold=0)
    onnx.save(model, str(path))
    model = onnx.load(str(path), load_external_data=False)
    for tensor in model.graph.initializer:
        tensor.external_data[0].value = location
    path.write_bytes(model.SerializeToString())
    return path


def test_external_data_is_folded_in(tmp_path: Path, image: np.ndarray) -> None:
    path = split_model(tmp_path)
    model, _ = export("mine", entry(), path)
    assert not any(tensor.external_data for tensor in model.graph.initializer)
    assert np.array_equal(run(model, image), logits_of(path, image).argmax(1))


def test_external_data_stays_in_the_models_folder(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    for location in ("../outside.bin", "/etc/hostname", ""):
        path = split_model(tmp_path / "model", location)
        (tmp_path / "outside.bin").write_bytes(bytes(10_000))
        assert message(path) == (f"FILE: tensor 'weight': external data {location!r} lies outside {tmp_path / 'model'}")
    path = split_model(tmp_path / "model", "link.bin")
    (tmp_path / "model" / "link.bin").symlink_to(tmp_path / "outside.bin")
    assert "lies outside" in message(path)


def test_missing_or_short_external_data_is_named(tmp_path: Path) -> None:
    path = split_model(tmp_path)
    (tmp_path / "weights.bin").write_bytes(b"few")
    assert message(path) == "FILE: tensor 'weight': external data file 'weights.bin' is too small for it"
    (tmp_path / "weights.bin").unlink()
    assert message(path) == (
        "FILE: tensor 'weight': external data file 'weights.bin' is not beside it; bring it there, or save the model as"
        " one file"
    )


def test_record_has_what_later_stages_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = model_file(tmp_path)
    out, record = tmp_path / "out" / "model.onnx", tmp_path / "out" / "model.json"
    arguments = ["--model", "mine", "--entry", json.dumps(entry(class_map=[3, 2, 1, 255]))]
    arguments += ["--onnx-in", str(path), "--out", str(out), "--json", str(record)]
    monkeypatch.setattr(sys, "argv", ["export_onnx_model.py", *arguments])
    main()
    facts = json.loads(record.read_text())
    assert facts["model"] == "mine" and facts["has_trained_weights"]
    assert facts["class_count"] == 4 and facts["class_map"] == [3, 2, 1, 255]
    assert facts["parameter_count"] == 4 * 3 * 9 + 4
    assert facts["exported_bytes"] == out.stat().st_size
    assert list(facts["files"]) == ["model.onnx"] and facts["notes"] == []


def test_made_network_finds_its_colours(tmp_path: Path) -> None:
    import cv2

    make_folder_dataset(tmp_path / "data", 1, HEIGHT, WIDTH)
    model, _ = export("mine", entry(), model_file(tmp_path))
    picture = cv2.imread(str(next((tmp_path / "data" / "val").glob("*.png"))))
    label = cv2.imread(str(next((tmp_path / "data" / "labels").glob("*.png"))), cv2.IMREAD_UNCHANGED)
    found = run(model, ((picture[:, :, ::-1] / 127.5 - 1).transpose(2, 0, 1)[None]).astype(np.float32))[0]
    assert (found == label)[label != 255].mean() > 0.5


@pytest.mark.parametrize("folder", ["snapshots/0a1b", "snapshots/0a1b/onnx"])
def test_links_into_a_hub_caches_blobs_are_read(tmp_path: Path, image: np.ndarray, folder: str) -> None:
    blobs, snapshot = tmp_path / "blobs", tmp_path / folder
    for place in (blobs, snapshot):
        place.mkdir(parents=True)
    path = split_model(tmp_path)
    for name in ("nearest.onnx", "weights.bin"):
        (tmp_path / name).rename(blobs / f"digest of {name}")
        (snapshot / name).symlink_to(os.path.relpath(blobs / f"digest of {name}", snapshot))
    model, _ = export("mine", entry(), snapshot / path.name)
    assert run(model, image).any()
    (snapshot / "weights.bin").unlink()
    (tmp_path / "elsewhere").write_bytes(bytes(10_000))
    (snapshot / "weights.bin").symlink_to(tmp_path / "elsewhere")  # neither the model's folder nor the blobs'
    assert "lies outside" in message(snapshot / path.name)


def test_a_pointer_in_place_of_external_data_is_named(tmp_path: Path) -> None:
    path = split_model(tmp_path)
    (tmp_path / "weights.bin").write_text(f"{LFS}v1\noid sha256:{'0' * 64}\nsize 9999\n")
    assert message(path) == (
        "FILE: tensor 'weight': external data file 'weights.bin': is a pointer of Git LFS, not the file; run 'git lfs"
        " pull' where it was cloned"
    )
