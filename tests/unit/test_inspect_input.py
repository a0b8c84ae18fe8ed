"""inspect_input finds the configuration of models and folders as people have them, and marks what it cannot know."""

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
import yaml
from helpers.huggingface_made import make_folder
from helpers.made import COLOURS, make_folder_dataset, make_onnx_model
from helpers.onnx_made import HEIGHT, WIDTH
from helpers.paddle_made import run_paddle, save_network, street_images
from helpers.quantized_made import by_onnxruntime, float_network
from onnx import TensorProto, helper, numpy_helper
from segbench.config.schema import Model
from segbench.errors import InputError
from segbench.planning.check import read_config
from test_config import CATALOGUES, merged

from tools.inspect_data import inspect_data, pairs_of
from tools.inspect_input import configuration, inspect_input, try_out
from tools.inspect_model import inspect_model

ROOT = Path(__file__).parents[2]
RANDOM = np.random.default_rng(0)


def write(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), pixels)


def write_pair(image: Path, label: Path, values: np.ndarray | None = None, size: tuple[int, int] = (24, 40)) -> None:
    """A picture of noise, and a label of areas of `values` (ids, or BGR colours)."""
    values = np.array([0, 1, 2, 255], np.uint8) if values is None else values
    write(image, RANDOM.integers(0, 256, (*size, 3), dtype=np.uint8))
    areas = np.arange(size[0])[:, None] // 3 % len(values) + np.zeros((1, size[1]), int)
    write(label, values[areas])


def network(path: Path, shape: list, outputs: dict[str, int], size: tuple = ("h", "w")) -> Path:
    """A network whose outputs are convolutions of so many channels; `aux` is at half size."""
    nodes, weights = [], []
    for name, count in outputs.items():
        weights.append(numpy_helper.from_array(np.ones((count, 3, 1, 1), np.float32), f"{name} weight"))
        strides = [2, 2] if name == "aux" else [1, 1]
        nodes.append(helper.make_node("Conv", ["image", f"{name} weight"], [name], strides=strides))
    values = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, count, None, None])
        for name, count in outputs.items()
    ]
    graph = helper.make_graph(
        nodes, "net", [helper.make_tensor_value_info("image", TensorProto.FLOAT, shape)], values, weights
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 16)], ir_version=8), str(path))
    return path


@pytest.fixture
def made(tmp_path) -> tuple[Path, Path]:
    """The network and the folder of the small runs."""
    make_folder_dataset(tmp_path / "streets")
    make_folder_dataset(tmp_path / "streets", split="train", seed=1)
    return make_onnx_model(tmp_path / "nearest.onnx"), tmp_path / "streets"


def test_configuration_of_a_model_and_a_folder_is_accepted(made, tmp_path):
    text = configuration(*inspect_input(list(made)))
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    files = [*CATALOGUES, str(path)]
    config = read_config(merged(files), files)
    assert (config["dataset"], config["models"]) == ("streets", ["nearest"])
    assert config["model_catalogue"]["nearest"]["input"] == {"height": 32, "width": 64}
    assert config["model_catalogue"]["nearest"]["class_count"] == 4
    assert config["dataset_catalogue"]["streets"]["splits"] == {
        "train": {"images": "train/*.png", "labels": "train labels/*.png", "list": None},
        "val": {"images": "val/*.png", "labels": "labels/*.png", "list": None},
    }
    assert "# ? no file says it: take what the network was trained with" in text
    assert "classes: [class_0, class_1, class_2, class_3] # ? ids seen: 0, 1, 2, 3; give their names" in text


def test_it_needs_no_snakemake_and_writes_a_picture(made, tmp_path):
    model, data = made
    without = "import runpy, sys; sys.modules['snakemake'] = None; runpy.run_path(sys.argv[1], run_name='__main__')"
    tool = [sys.executable, "-c", f"import sys; sys.argv = sys.argv[1:]; {without.replace('argv[1]', 'argv[0]')}"]
    command = [*tool, str(ROOT / "tools/inspect_input.py"), str(model), str(data), "--try", "--picture", "out.png"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert yaml.safe_load(done.stdout)["models"] == ["nearest"]
    assert done.stderr.splitlines()[-1] == "wrote out.png"
    assert cv2.imread(str(tmp_path / "out.png")).shape == (320, 3 * 640, 3)


def test_try_runs_the_network_that_the_workflow_would_run(made):
    model, data = inspect_input(list(made))
    said = try_out(model, data, None)[1]
    share = float(said[-1].split("%")[0])
    assert 75 < share < 100 and said[-1].endswith("of the labelled pixels are predicted as labelled")
    alone, said = try_out(model, None, made[1] / "val" / "scene 01.png")
    assert alone.shape == (320, 2 * 640, 3) and said[1].startswith("predicted: class 0")


@pytest.mark.parametrize(
    ("paths", "said"),
    [
        (["nowhere"], "nowhere: is neither a model's file nor a folder of images"),
        (["streets", "streets"], "give one model, one folder of images, or one of each"),
        (["broken.onnx"], "broken.onnx: not an ONNX model, or a truncated one"),
        (["none.onnx"], "none.onnx: no such file"),
        (["empty"], "empty: has no picture (.png, .jpg"),
        (["nearest.onnx", "--try"], "--try: give an image (--try IMAGE) or a folder of images"),
    ],
)
def test_what_it_cannot_read_is_one_line(made, tmp_path, paths, said):
    (tmp_path / "broken.onnx").write_bytes(b"\x08")
    (tmp_path / "empty").mkdir()
    command = [sys.executable, str(ROOT / "tools/inspect_input.py"), *paths]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert said in done.stderr.splitlines()[-1]


def test_size_that_the_file_does_not_fix_is_marked(tmp_path):
    found = inspect_model(network(tmp_path / "net.onnx", ["n", 3, "h", "w"], {"logits": 5}))
    assert "input" in found.unknown and found.entry["class_count"] == 5
    for number in range(2):
        write_pair(tmp_path / f"d/images/{number}.jpg", tmp_path / f"d/masks/{number}.png")
    model, _ = inspect_input([tmp_path / "net.onnx", tmp_path / "d"])
    assert model.entry["input"] == {"height": 24, "width": 40} and "that of the images" in model.unknown["input"]


def test_largest_of_several_outputs_is_taken_and_marked(tmp_path):
    found = inspect_model(network(tmp_path / "net.onnx", [1, 3, 32, 64], {"aux": 5, "main": 7}))
    assert (found.entry["output"], found.entry["class_count"]) == ("main", 7)
    assert found.unknown["output"] == ("the largest map of 2 outputs: aux [1, 5, 16, 32], main [1, 7, 32, 64]")


def one_channel(path: Path, last: str, count: int = 1) -> Path:
    """A network of so many channels that ends in the operator `last`, for whole numbers in `Cast`."""
    end = {"to": TensorProto.UINT8} if last == "Cast" else {}
    middle = [
        helper.make_node("Greater", ["score", "zero"], ["hit"]),
        helper.make_node("Where", ["hit", "most", "zero"], ["big"]),
    ]
    nodes = [helper.make_node("Conv", ["image", "weight"], ["score"]), *(middle if last == "Cast" else [])]
    nodes.append(helper.make_node(last, ["big" if last == "Cast" else "score"], ["y"], **end))
    weights = [
        numpy_helper.from_array(RANDOM.normal(size=(count, 3, 1, 1)).astype(np.float32), "weight"),
        numpy_helper.from_array(np.array(0, np.float32), "zero"),
        numpy_helper.from_array(np.array(255, np.float32), "most"),
    ]  # fmt: skip
    kind = TensorProto.UINT8 if last == "Cast" else TensorProto.FLOAT
    values = [helper.make_tensor_value_info(name, kind, [1, channels, 24, 40]) for name, kind, channels in
              (("image", TensorProto.FLOAT, 3), ("y", kind, count))]  # fmt: skip
    graph = helper.make_graph(nodes, "net", values[:1], values[1:], weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 16)], ir_version=8), str(path))
    return path


@pytest.mark.parametrize(("last", "kind", "threshold"), [("Sigmoid", "sigmoid", 0.5), ("Identity", "logits", 0.0)])
def test_one_channel_is_written_with_its_threshold(tmp_path, last, kind, threshold):
    found = inspect_model(one_channel(tmp_path / "net.onnx", last))
    expected = {"class_count": 2, "output_kind": kind, "threshold": threshold}
    assert {key: found.entry[key] for key in expected} == expected
    assert "give the value that it was trained for" in found.unknown["threshold"]
    Model.model_validate(found.entry)


def test_mask_of_0_and_255_is_two_classes(tmp_path):
    found = inspect_model(one_channel(tmp_path / "net.onnx", "Cast"))
    assert found.entry["class_count"] == 2 and "a mask of two values" in found.notes["class_count"]


@pytest.mark.parametrize("classes", [3, 4])
def test_shares_without_one_for_the_background_follow_from_the_labels(tmp_path, classes):
    one_channel(tmp_path / "net.onnx", "Sigmoid", count=3)
    write_pair(tmp_path / "d/images/1.png", tmp_path / "d/masks/1.png", np.arange(classes, dtype=np.uint8))
    (tmp_path / "d/classes.txt").write_text("\n".join("abcd"[:classes]))
    model, data = inspect_input([tmp_path / "net.onnx", tmp_path / "d"])
    assert len(data.entry["classes"]) == model.entry["class_count"] == classes
    assert model.entry.get("output_kind") == ("sigmoid" if classes == 4 else None)
    assert "3 shares for 4 classes" in model.unknown["class_count"] or classes == 3
    predicted = next(line for line in try_out(model, data, None)[1] if line.startswith("predicted: "))
    assert any(f"{name} " in predicted for name in "abcd"[:classes])


def test_one_output_more_than_classes_is_asked_for(tmp_path):
    network(tmp_path / "net.onnx", [1, 3, 24, 40], {"logits": 5})
    write_pair(tmp_path / "d/images/1.png", tmp_path / "d/masks/1.png", np.arange(4, dtype=np.uint8))
    (tmp_path / "d/classes.txt").write_text("a\nb\nc\nd\n")
    model, data = inspect_input([tmp_path / "net.onnx", tmp_path / "d"])
    assert data.entry["classes"] == ["a", "b", "c", "d"] and "classes" not in data.unknown
    assert model.entry["class_map"] == [0, 1, 2, 3, 255]
    assert model.unknown["class_map"] == "5 outputs for 4 classes: give the class of each, 255 for none"


def test_hugging_faces_files_beside_a_model_are_read(tmp_path):
    network(tmp_path / "model.onnx", ["n", 3, "h", "w"], {"logits": 2})
    settings = {"do_resize": True, "size": {"height": 48, "width": 96}, "do_rescale": True, "rescale_factor": 1 / 255}
    settings |= {"do_normalize": True, "image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(settings))
    (tmp_path / "config.json").write_text(json.dumps({"id2label": {"1": "car", "0": "road"}}))
    found = inspect_model(tmp_path)  # the folder
    assert found.entry["input"] == {"height": 48, "width": 96} and found.classes == ["road", "car"]
    assert found.entry["preprocessing"] == {
        "channel_order": "rgb", "scale": 1 / 255, "mean": settings["image_mean"], "std": settings["image_std"],
        "resize": "stretch",
    }  # fmt: skip
    assert "preprocessing" not in found.unknown


def test_try_runs_a_paddle_model_as_its_deploy_yaml_says(tmp_path):
    picture = tmp_path / "1.png"
    write(picture, RANDOM.integers(0, 256, (24, 40, 3), dtype=np.uint8))
    save_network(tmp_path / "net", lambda logits: logits, size=(24, 40))
    normal = "{mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225], type: Normalize}"
    (tmp_path / "deploy.yaml").write_text(f"Deploy: {{transforms: [{normal}]}}\n")
    said = try_out(inspect_model(tmp_path / "net.pdmodel"), None, picture)[1][1]
    image = (cv2.imread(str(picture))[..., ::-1] / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    (logits,) = run_paddle(tmp_path / "net.pdmodel", [image.astype(np.float32).transpose(2, 0, 1)[None].copy()])
    shares = np.bincount(logits[0].argmax(0).ravel(), minlength=4) / logits[0, 0].size
    assert said.startswith(f"predicted: class {shares.argmax()} {shares.max():.0%}")
    (tmp_path / "net.pdmodel").rename(tmp_path / "net.json")
    with pytest.raises(InputError, match=r"^--try: net\.json is of Paddle 3, which has an interpreter of its own"):
        try_out(inspect_model(tmp_path / "net.json"), None, picture)


def test_folder_of_transformers_says_its_input_and_leaves_resizing_to_the_workflow(made, tmp_path):
    labels = {str(number): name for number, name in enumerate(["a", "b", "c", "d"])}
    folder = make_folder(tmp_path / "my net", {"id2label": labels})
    model, data = inspect_input([folder, made[1]])
    assert model and model.classes == list(labels.values())
    assert (model.name, model.entry) == (
        "my_net",
        {"kind": "huggingface", "folder": str(folder), "input": {"height": 64, "width": 96}, "class_count": 4},
    )
    assert "kind: huggingface # preprocessing is read from preprocessor_config.json" in configuration(model, data)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(InputError, match=r"pytorch_model.bin: a pickle"):
        inspect_model(folder)


@pytest.mark.parametrize("size", [None, (32, 64)])
def test_exported_paddle_model(tmp_path, size):
    save_network(tmp_path / "net", lambda logits: logits, size=size)
    found = inspect_model(tmp_path)
    assert found.entry["weights"] == {"path": str(tmp_path / "net.pdmodel")} and found.entry["class_count"] == 4
    assert ("input" in found.unknown) == (size is None)
    assert "there is no deploy.yaml" in found.unknown["preprocessing"]
    (tmp_path / "deploy.yaml").write_text("Deploy: {}\n")
    found = inspect_model(tmp_path, (16, 48))
    assert found.notes["kind"] == f"preprocessing is read from {tmp_path}/deploy.yaml"
    assert found.entry["input"] == ({"height": 16, "width": 48} if size is None else {"height": 32, "width": 64})
    assert "preprocessing" not in found.entry
    Model.model_validate(found.entry)


def test_configuration_of_paddleseg(tmp_path):
    (tmp_path / "my.yml").write_text("model: {type: PPLiteSeg, num_classes: 7}\n")
    found = inspect_model(tmp_path / "my.yml")
    assert found.entry["config"] == str(tmp_path / "my.yml") and "0 files *.pdparams" in found.unknown["weights"]
    (tmp_path / "model.pdparams").touch()
    found = inspect_model(tmp_path / "my.yml")
    assert found.entry["weights"] == {"path": str(tmp_path / "model.pdparams")} and "weights" not in found.unknown
    Model.model_validate(found.entry)


LAYOUTS = {
    "one folder": (["{n}.jpg", "{n}_mask.png"], {"val": {"images": "*.jpg", "labels": "*_mask.png"}}),
    "beside": (["images/{n}.jpg", "labels/{n}.png"], {"val": {"images": "images/*.jpg", "labels": "labels/*.png"}}),
    "splits": (
        ["{s}/images/{n}.png", "{s}/masks/{n}.png"],
        {
            "train": {"images": "train/images/*.png", "labels": "train/masks/*.png"},
            "val": {"images": "val/images/*.png", "labels": "val/masks/*.png"},
        },
    ),
    "cities": (
        ["i/{s}/city{n}/{n}_photo.jpg", "l/{s}/city{n}/{n}_ids.png"],
        {
            "train": {"images": "i/train/*/*_photo.jpg", "labels": "l/train/*/*_ids.png"},
            "val": {"images": "i/val/*/*_photo.jpg", "labels": "l/val/*/*_ids.png"},
        },
    ),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_globs_of_a_folder_are_found(tmp_path, layout):
    (image, label), expected = LAYOUTS[layout]
    for split in ("train", "val"):
        for number in range(3):
            own = number + 3 * (split == "train")
            write_pair(*(tmp_path / text.format(s=split, n=own) for text in (image, label)))
    found = inspect_data(tmp_path)
    assert found.entry["splits"] == expected
    pairs = pairs_of(found)
    assert len(pairs) == (3 if "train" in expected else 6) and not [pair for pair in pairs if pair.fault]


def test_suffixes_of_both_kinds_become_braces(tmp_path):
    for number, suffix in enumerate(("jpg", "JPG", "jpeg", "png")):
        write_pair(tmp_path / f"images/{number}.{suffix}", tmp_path / f"labels/{number}.png")
    found = inspect_data(tmp_path)
    assert found.entry["splits"] == {"val": {"images": "images/*.{jpeg,jpg,png}", "labels": "labels/*.png"}}
    assert len(pairs_of(found)) == 4


def test_list_files_are_found(tmp_path):
    for split in ("train", "val"):
        for number in range(2):
            write_pair(tmp_path / f"img/{split}_{number}.png", tmp_path / f"ann/{split}{number}_x.png")
        lines = [f"img/{split}_{number}.png ann/{split}{number}_x.png" for number in range(2)]
        (tmp_path / f"{split}.txt").write_text("\n".join(lines))
    found = inspect_data(tmp_path)
    assert found.entry["splits"] == {"train": {"list": "train.txt"}, "val": {"list": "val.txt"}}
    assert len(pairs_of(found)) == 2


def test_lists_of_names_are_found_with_their_globs(tmp_path):
    for number in range(5):
        write_pair(tmp_path / f"JPEGImages/{number}.jpg", tmp_path / f"SegmentationClass/{number}.png")
    (tmp_path / "SegmentationClass/4.png").unlink()
    (tmp_path / "ImageSets/Main").mkdir(parents=True)
    (tmp_path / "ImageSets/Main/val.txt").write_text("0\n3\n")
    found = inspect_data(tmp_path)
    assert found.entry["splits"] == {
        "val": {"list": "ImageSets/Main/val.txt", "images": "JPEGImages/*.jpg", "labels": "SegmentationClass/*.png"}
    }
    assert [pair.image.stem for pair in pairs_of(found)] == ["0", "3"]


def test_layouts_with_a_file_of_their_own_are_known_by_their_labels_too(tmp_path):
    for split in ("training", "validation"):
        ids = np.array([0, 1, 150], np.uint8)
        write_pair(tmp_path / f"images/{split}/1.jpg", tmp_path / f"annotations/{split}/1.png", ids)
    assert inspect_data(tmp_path).entry["kind"] == "ade20k"
    write_pair(tmp_path / "images/validation/1.jpg", tmp_path / "annotations/validation/1.png", ids + 60)
    assert inspect_data(tmp_path).entry["kind"] == "folder"


def test_masks_of_0_and_255_are_two_classes(tmp_path):
    write_pair(tmp_path / "images/1.png", tmp_path / "masks/1.png", np.array([0, 255], np.uint8))
    found = inspect_data(tmp_path)
    assert found.entry["id_map"] == {0: 0, 255: 1} and len(found.entry["classes"]) == 2 and found.unknown["classes"]


def test_colours_become_an_id_map_with_the_names_of_a_file(tmp_path):
    write_pair(tmp_path / "images/1.png", tmp_path / "masks/1.png", COLOURS[:3])
    found = inspect_data(tmp_path)
    assert sorted(found.entry["id_map"]) == ["200,40,40", "40,200,40", "40,40,200"] and "classes" in found.unknown
    (tmp_path / "class_dict.csv").write_text("name,r,g,b\nroad,200,40,40\ncar,40,200,40\n")
    found = inspect_data(tmp_path)
    assert found.entry["classes"] == ["road", "car"]
    assert found.entry["id_map"] == {"200,40,40": 0, "40,200,40": 1, "40,40,200": 255}
    assert found.unknown["id_map"] == "no file names 40,40,200: 255 ignores them"


def test_ids_with_gaps_become_an_id_map(tmp_path):
    write_pair(tmp_path / "images/1.png", tmp_path / "masks/1.png", np.array([7, 26, 33, 255], np.uint8))
    found = inspect_data(tmp_path)
    assert found.entry["id_map"] == {7: 0, 26: 1, 33: 2, 255: 255} and "id_map" in found.unknown


def test_one_id_more_than_the_network_has_classes_may_be_zero_that_is_ignored(tmp_path):
    write_pair(tmp_path / "images/1.png", tmp_path / "masks/1.png", np.arange(5, dtype=np.uint8))
    found = inspect_data(tmp_path, class_count=4)
    assert found.entry["zero_is_ignored"] and len(found.entry["classes"]) == 4 and "zero_is_ignored" in found.unknown


def test_folder_without_labels(tmp_path):
    for number in range(2):
        write(tmp_path / f"{number}.jpg", RANDOM.integers(0, 256, (24, 40, 3), dtype=np.uint8))
    found = inspect_data(tmp_path)
    assert found.entry["splits"] == {"val": {"images": "*.jpg", "labels": None}}
    assert found.unknown["classes"] == "there are no labels, so mIoU is not measured"


def test_own_set_that_is_laid_out_like_a_known_one_is_a_folder(tmp_path):
    write_pair(tmp_path / "val/1.png", tmp_path / "valannot/1.png", np.array([0, 1, 11], np.uint8))
    assert inspect_data(tmp_path, 12).entry["kind"] == "camvid"
    assert inspect_data(tmp_path, 4).entry["kind"] == "folder"


def test_camvids_own_colours_are_known(tmp_path):
    colours = np.array([[128, 128, 128], [192, 128, 64], [0, 0, 0]], np.uint8)  # BGR of sky, SUVPickupTruck and void
    write_pair(tmp_path / "val/1.png", tmp_path / "val_labels/1_L.png", colours)
    assert inspect_data(tmp_path).entry == {"kind": "camvid", "root": str(tmp_path)}
    assert inspect_data(tmp_path, 32).entry["kind"] == "folder"


def test_size_of_most_images_is_tried_where_sizes_differ(tmp_path):
    network(tmp_path / "net.onnx", ["n", 3, "h", "w"], {"logits": 3})
    for number, size in enumerate([(24, 40), (30, 30), (24, 40)]):
        write_pair(tmp_path / f"d/images/{number}.jpg", tmp_path / f"d/masks/{number}.png", size=size)
    model, data = inspect_input([tmp_path / "net.onnx", tmp_path / "d"])
    assert model.entry["input"] == {"height": 24, "width": 40} and "most images" in model.unknown["input"]
    assert model.entry["preprocessing"]["resize"] == "stretch"
    assert "no better than one class everywhere" in try_out(model, data, None)[1][-1]


def test_set_that_has_only_a_test_split(tmp_path):
    write_pair(tmp_path / "test/images/1.png", tmp_path / "test/masks/1.png")
    write_pair(tmp_path / "train/images/1.png", tmp_path / "train/masks/1.png")
    found = inspect_data(tmp_path)
    assert found.entry["split"] == "test" and sorted(found.entry["splits"]) == ["test", "train"]


def test_quantised_network_gets_the_variants_that_run_it(made, tmp_path):
    source = float_network(tmp_path / "raw.onnx")
    net = by_onnxruntime(source, tmp_path / "net.onnx", street_images(HEIGHT, WIDTH, 1))
    text = configuration(*inspect_input([net, made[1]]))
    assert "variants: [onnxruntime-int8-model, openvino-int8-model]\n" in text
    assert "QuantizeLinear): float_model names the model that it was made from\n" in text
    assert "-model" not in configuration(*inspect_input([source, made[1]]))
