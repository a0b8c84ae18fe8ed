"""What is wrong in a configuration is told with file, key, value and what would be right."""

from pathlib import Path

import pytest
import yaml
from segbench.config.resizing import Resizing
from segbench.config.schema import Model
from segbench.errors import InputError
from segbench.planning.check import read_config
from snakemake.common.configfile import load_configfile

ROOT = Path(__file__).parents[2]
CATALOGUES = [
    str(ROOT / "config" / f"{name}.yaml") for name in ("config", "models", "variants", "calibrators", "datasets")
]
FOLDER = {"kind": "folder", "root": "x", "classes": ["a"], "splits": {"val": {"images": "*"}}}
MODEL = {"kind": "onnx", "weights": {"path": "m.onnx"}, "input": {"height": 32, "width": 64}}


KINDS = "input should be 'none', 'stretch', 'short_side', 'long_side' or 'letterbox'"
BAD_PREPROCESSING = [
    ({"resize": "letterboxed"}, f".preprocessing.resize: 'letterboxed': {KINDS}"),
    ({"resize": {"kind": "short"}}, f".preprocessing.resize.kind: 'short': {KINDS}"),
    ({"resize": {"sise": 3}}, ".preprocessing.resize.sise: unknown key; did you mean 'size'?"),
    (
        {"resize": {"kind": "short_side"}},
        ".preprocessing.resize: kind 'short_side' needs size, one number of pixels",
    ),
    (
        {"resize": {"kind": "long_side", "size": {"height": 3, "width": 4}}},
        ".preprocessing.resize: kind 'long_side' needs size, one number of pixels",
    ),
    (
        {"resize": {"kind": "stretch", "size": "big"}},
        ".preprocessing.resize.size: 'big': is neither a number of pixels nor a mapping of height and width",
    ),
    (
        {"resize": {"kind": "letterbox", "size": 512}},
        ".preprocessing.resize: kind 'letterbox' takes no size; 'stretch', 'short_side' and 'long_side' do",
    ),
    (
        {"resize": {"kind": "long_side", "size": 3, "max_long_side": 4}},
        ".preprocessing.resize: max_long_side is for kind 'short_side', not 'long_side'",
    ),
    (
        {"resize": {"kind": "stretch", "enlarge": False}},
        ".preprocessing.resize: enlarge is for kinds 'short_side', 'long_side' and 'letterbox', not 'stretch'",
    ),
    (
        {"resize": {"kind": "letterbox", "pad_value": 300}},
        ".preprocessing.resize.pad_value: 300: is neither a number from 0 to 255 nor 'mean'",
    ),
    (
        {"window": {"stride": {"height": 33, "width": 64}}},
        ": preprocessing.window.stride is 33×64, more than the window, 32×64 (height×width): pixels between windows"
        " would be left out",
    ),
    (
        {"window": {"size": 512}},
        ": preprocessing.window.size is 512×512, but the window is the model's input, 32×64 (height×width); give the"
        " same",
    ),
    ({"window": {"step": 3}}, ".preprocessing.window.step: unknown key; did you mean 'stride'?"),
]


def merged(paths: list[str]) -> dict:
    """As Snakemake merges: mappings deeply, all else replaced."""

    def update(into, other):
        for key, value in other.items():
            if isinstance(value, dict) and isinstance(into.get(key), dict):
                update(into[key], value)
            else:
                into[key] = value

    result: dict = {}
    for path in paths:
        update(result, yaml.safe_load(Path(path).read_text()))
    return result


def fault(tmp_path: Path, **overlay) -> str:
    """The message for the default configuration with `overlay` on top."""
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(overlay))
    files = [*CATALOGUES, str(path)]
    with pytest.raises(InputError) as error:
        read_config(merged(files), files)
    return str(error.value).replace(str(path), "mine.yaml").replace(f"{ROOT}/", "")


@pytest.mark.parametrize(
    "name", sorted(path.stem for path in (ROOT / "config").glob("*.yaml") if str(path) not in CATALOGUES[1:])
)
def test_committed_configurations_are_valid(name):
    files = [*CATALOGUES, str(ROOT / "config" / f"{name}.yaml")]
    assert read_config(merged(files), files)["models"]


def test_documented_way_from_paddleseg_to_a_table_is_eight_lines_at_most(tmp_path):
    page = (ROOT / "docs/use/models.md").read_text()
    block = page.split("## From PaddleSeg's configuration\n\n```yaml\n")[1].split("```")[0]
    assert len(block.splitlines()) <= 8
    (tmp_path / "mine.yaml").write_text(block)
    files = [*CATALOGUES, str(tmp_path / "mine.yaml")]
    config = read_config(merged(files), files)
    entry = config["model_catalogue"][config["models"][0]]
    assert (entry["kind"], entry["config"], entry["class_count"]) == ("paddleseg", "configs/pp_liteseg/my.yml", None)


def test_one_mean_and_one_deviation_stand_for_all_channels():
    model = {**MODEL, "preprocessing": {"mean": [0.25], "std": [0.5]}}
    config = read_config({**merged(CATALOGUES), "model_catalogue": {"m": model}, "models": ["m"]}, CATALOGUES)
    read = config["model_catalogue"]["m"]["preprocessing"]
    assert (read["mean"], read["std"]) == ([0.25] * 3, [0.5] * 3)


def test_bound_of_one_precision_leaves_the_others_as_they_are():
    default = read_config(merged(CATALOGUES), CATALOGUES)
    given = read_config({**merged(CATALOGUES), "class_agreement_bounds": {"int8": 0.5}}, CATALOGUES)
    assert given["class_agreement_bounds"] == {**default["class_agreement_bounds"], "int8": 0.5}
    assert given["agreement_bounds"] == default["agreement_bounds"]


@pytest.mark.parametrize(
    ("overlay", "message"),
    [
        (
            {"variants": ["openvino-fp32", "openvino-fp23"]},
            "mine.yaml: variants[1]: unknown variant 'openvino-fp23'; did you mean 'openvino-fp32'?",
        ),
        ({"models": ["ann_demp"]}, "mine.yaml: models[0]: unknown model 'ann_demp'; did you mean 'ann_demo'?"),
        ({"dataset": "demos"}, "mine.yaml: dataset: unknown data set 'demos'; did you mean 'demo'?"),
        (
            {"comparison": {"max_lost": {"persom": 0}}},
            "mine.yaml: comparison.max_lost.persom: 'persom' is not among dataset_catalogue.demo.objects.classes;"
            " did you mean 'person'?",
        ),
        (
            {"dataset_catalogue": {"demo": {"objects": None}}, "comparison": {"max_lost": {"person": 0}}},
            "mine.yaml: comparison.max_lost.person: 'person' is not among dataset_catalogue.demo.objects.classes;"
            " it has no objects",
        ),
        (
            {"comparison": {"max_lost": {"person": -1}}},
            "mine.yaml: comparison.max_lost.person: -1: input should be greater than or equal to 0",
        ),
        (
            {"dataset_catalogue": {"mine": {**FOLDER, "objects": {"classes": ["b"]}}}},
            "mine.yaml: dataset_catalogue.mine: objects.classes has 'b', which is not among classes",
        ),
        (
            {"dataset_catalogue": {"mine": {**FOLDER, "objects": {"classes": ["a"], "sizes": [9, 9]}}}},
            "mine.yaml: dataset_catalogue.mine.objects.sizes: the second bound must be the greater one",
        ),
        ({"rouns": 3}, "mine.yaml: rouns: unknown key; did you mean 'rounds'?"),
        ({"timing": {"sed": 1}}, "mine.yaml: timing.sed: unknown key; did you mean 'seed'?"),
        (
            {"rounds": "many"},
            "mine.yaml: rounds: 'many': input should be a valid integer, unable to parse string as an integer",
        ),
        ({"rounds": 0}, "mine.yaml: rounds: 0: input should be greater than or equal to 1"),
        ({"models": []}, "mine.yaml: models: []: list should have at least 1 item after validation, not 0"),
        ({"variants": ["a", "a"]}, "mine.yaml: variants: 'a' stands there twice"),
        (
            {"dataset_catalogue": {"d": {**FOLDER, "classes": ["other", "road", "other"]}}},
            "mine.yaml: dataset_catalogue.d.classes: 'other' stands there twice; a class has a name of its own",
        ),
        (
            {"model_catalogue": {"m": {**MODEL, "preprocessing": {"mean": [0.5, 0.5]}}}},
            "mine.yaml: model_catalogue.m.preprocessing.mean: has 2 values; wanted: one for each of three"
            " channels, or one for all",
        ),
        (
            {"model_catalogue": {"m": {**MODEL, "weights": {"pth": "x"}}}},
            "mine.yaml: model_catalogue.m.weights.pth: unknown key; did you mean 'path'?",
        ),
        (
            {"model_catalogue": {"m": {**MODEL, "class_count": 4, "class_map": [0, 1]}}},
            "mine.yaml: model_catalogue.m: class_map has 2 entries, class_count is 4",
        ),
        (
            {"model_catalogue": {"m": {**MODEL, "class_count": 1}}},
            "mine.yaml: model_catalogue.m.class_count: 1: a network of one output channel tells two classes:"
            " class_count: 2",
        ),
        *(
            (
                {"model_catalogue": {"m": {**MODEL, "preprocessing": preprocessing}}},
                f"mine.yaml: model_catalogue.m{message}",
            )
            for preprocessing, message in BAD_PREPROCESSING
        ),
        (
            {"model_catalogue": {"m": {**MODEL, "output_kind": "mask"}}},
            "mine.yaml: model_catalogue.m.output_kind: 'mask': input should be 'auto', 'logits', 'sigmoid' or 'ids'",
        ),
        (
            {"model_catalogue": {"m": {**MODEL, "output_kind": "ids", "threshold": 0.5}}},
            "mine.yaml: model_catalogue.m: output_kind 'ids' takes no threshold; 'sigmoid' does",
        ),
        (
            {"model_catalogue": {"m": {**MODEL, "kind": "narrow", "architecture": "unet", "threshold": 0.5}}},
            "mine.yaml: model_catalogue.m: output_kind and threshold are for kind 'onnx', not 'narrow'",
        ),
        (
            {"model_catalogue": {"m": {**MODEL, "kind": "onyx"}}},
            "mine.yaml: model_catalogue.m.kind: 'onyx': input should be 'paddleseg', 'narrow', 'onnx',"
            " 'paddle_inference', 'openvino' or 'huggingface'",
        ),
        (
            {"model_catalogue": {"m": {"kind": "huggingface", "input": MODEL["input"]}}},
            "mine.yaml: model_catalogue.m: kind 'huggingface' needs folder",
        ),
        (
            {"model_catalogue": {"m": {**MODEL, "kind": "huggingface", "folder": "net"}}},
            "mine.yaml: model_catalogue.m: kind 'huggingface' takes no weights: they are in folder",
        ),
        (
            {"model_catalogue": {"m": {**MODEL, "folder": "net"}}},
            "mine.yaml: model_catalogue.m: kind 'onnx' takes no folder",
        ),
        (
            {"model_catalogue": {"m": {"kind": "onnx", "input": MODEL["input"]}}},
            "mine.yaml: model_catalogue.m: kind 'onnx' needs weights",
        ),
        (
            {"interpreters": {"huggingface": "no-such-python"}},
            "mine.yaml: interpreters.huggingface: 'no-such-python' is not there or not executable; a Python interpreter"
            " is wanted",
        ),
        (
            {"variant_catalogue": {"v": {"engine": "opnvino", "precision": "fp32"}}},
            "mine.yaml: variant_catalogue.v.engine: unknown engine 'opnvino'; did you mean 'openvino'?",
        ),
        (
            {"variant_catalogue": {"openvino-fp32": {"run": {"pining": True}}}},
            "mine.yaml: variant_catalogue.openvino-fp32.run.pining: unknown key; did you mean 'pinning'?",
        ),
        (
            {"variant_catalogue": {"openvino-fp32": {"run": {"pinning": "yes please"}}}},
            "mine.yaml: variant_catalogue.openvino-fp32.run.pinning: 'yes please' is not true or false",
        ),
        (
            {"dataset_catalogue": {"d": {"kind": "folder", "root": "x", "classes": ["a"]}}},
            "mine.yaml: dataset_catalogue.d: kind 'folder' needs splits.val",
        ),
        (
            {"dataset_catalogue": {"d": {**FOLDER, "split": "test"}}},
            "mine.yaml: dataset_catalogue.d: kind 'folder' needs splits.test",
        ),
        (
            {"dataset_catalogue": {"d": {**FOLDER, "split": "train"}}},
            "mine.yaml: dataset_catalogue.d: split 'train' is what calibration sees, and is not scored; name another",
        ),
        (
            {"dataset_catalogue": {"d": {**FOLDER, "splits": {"val": {"labels": "l/*"}}}}},
            "mine.yaml: dataset_catalogue.d.splits.val: needs images (a glob) or list (a file)",
        ),
        (
            {"dataset_catalogue": {"d": {**FOLDER, "id_map": {0: 0}, "zero_is_ignored": True}}},
            "mine.yaml: dataset_catalogue.d: zero_is_ignored stands for an id_map of its own; remove one of them",
        ),
        (
            {"dataset_catalogue": {"d": {"kind": "voc", "root": "x", "zero_is_ignored": True}}},
            "mine.yaml: dataset_catalogue.d: kind 'voc' has splits, classes and id_map of its own; remove them",
        ),
        (
            {"model_catalogue": {"m": {**MODEL, "kind": "paddle_inference", "weights": {"path": "net.pdiparams"}}}},
            "mine.yaml: model_catalogue.m: kind 'paddle_inference' needs weights ending in .pdmodel or .json, not"
            " '.pdiparams'",
        ),
        (
            {"model_catalogue": {"m": {**MODEL, "weights": {"url": "https://x.org/model.pt?download=true"}}}},
            "mine.yaml: model_catalogue.m: kind 'onnx' needs weights ending in .onnx, not '.pt'",
        ),
        (
            {"variant_catalogue": {"openvino-fp32": {"run": {"properties": {"INFERENCE_PRECISION_HINT": "bf16"}}}}},
            "mine.yaml: variant_catalogue.openvino-fp32.run: properties may not set INFERENCE_PRECISION_HINT: they have"
            ' keys of their own, got {"properties": {"INFERENCE_PRECISION_HINT": "bf16"}}',
        ),
        (
            {"interpreters": {"openvino": "no-such-python"}},
            "mine.yaml: interpreters.openvino: 'no-such-python' is not there or not executable; a Python interpreter is"
            " wanted",
        ),
        (
            {"reference": "paddle-fp23"},
            "mine.yaml: reference: unknown variant 'paddle-fp23'; did you mean 'paddle-fp32'?",
        ),
        (
            {"dataset_catalogue": {"demo": {"objects": {"classes": ["car"], "found": 0.2}}}},
            "mine.yaml: dataset_catalogue.demo.objects: lost_below is 0.25, above found, 0.2; give less, or null",
        ),
        (
            {"variant_catalogue": {"v": {"engine": "tensorrt_rtx", "precision": "int8", "calibrator": "model"}}},
            "mine.yaml: variant_catalogue.v.calibrator: 'model': tensorrt_rtx runs no model that is quantised already",
        ),
        (
            {"variant_catalogue": {"v": {"engine": "openvino", "precision": "fp32", "calibrator": "model"}}},
            "mine.yaml: variant_catalogue.v.calibrator: 'model': precision fp32 is not calibrated; remove the key",
        ),
        (
            {"calibrator_catalogue": {"model": {"library": "nncf"}}},
            "mine.yaml: calibrator_catalogue.model: 'model' stands for models that are quantised already; give this"
            " calibrator another name",
        ),
        (
            {"model_catalogue": {"m": {**MODEL, "float_model": "gcnet_demmo"}}},
            "mine.yaml: model_catalogue.m.float_model: unknown model 'gcnet_demmo'; did you mean 'gcnet_demo'?",
        ),
        (
            {"model_catalogue": {"m": {**MODEL, "float_model": "gcnet_demo"}}},
            "mine.yaml: model_catalogue.m.float_model: 'gcnet_demo' has another input; name a model whose class maps"
            " can be compared",
        ),
        (
            {"model_catalogue": {"m": {**MODEL, "float_model": "n"}, "n": {**MODEL, "float_model": "m"}}},
            "mine.yaml: model_catalogue.m.float_model: 'n' has a float_model, too; name one of floats\n"
            "mine.yaml: model_catalogue.n.float_model: 'm' has a float_model, too; name one of floats",
        ),
        (
            {"model_catalogue": {"gcnet_demo": {"float_model": "unet_demo"}}},
            "mine.yaml: model_catalogue.gcnet_demo: float_model is for kinds 'onnx', 'paddle_inference' and"
            " 'openvino', not 'narrow'",
        ),
        (
            {"model_catalogue": {"unet": MODEL}, "models": ["unet"]},
            "mine.yaml: model_catalogue.unet: config/models.yaml has a model of this name; give yours another one, or"
            " leave `kind` out to change keys of that model",
        ),
    ],
)
def test_fault_is_told_in_one_line(tmp_path, overlay, message):
    assert fault(tmp_path, **overlay) == message


def test_keys_of_a_model_of_the_catalogue_can_be_changed(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("model_catalogue: {unet: {title: Another}}")
    files = [*CATALOGUES, str(path)]
    entry = read_config(merged(files), files)["model_catalogue"]["unet"]
    assert (entry["title"], entry["architecture"]) == ("Another", "unet")


def test_several_faults_are_told_at_once(tmp_path):
    told = fault(tmp_path, rounds=0, agrement_images=3)
    assert len(told.splitlines()) == 2


def test_fault_on_the_command_line_is_told_as_one():
    files = CATALOGUES[1:]
    with pytest.raises(InputError, match=r"^--config: rounds: 'many': "):
        read_config({**merged(CATALOGUES), "rounds": "many"}, files, {"rounds": "many"})


def test_weights_need_exactly_one_source(tmp_path):
    told = fault(tmp_path, model_catalogue={"m": {**MODEL, "weights": {"path": "a", "url": "b"}}})
    assert told == "mine.yaml: model_catalogue.m.weights: give either url or path"


def test_braces_in_a_path_are_told_before_snakemake_takes_them_for_a_wildcard(tmp_path):
    told = fault(tmp_path, model_root="/{b}", model_catalogue={"m": {**MODEL, "weights": {"path": "a{b}.onnx"}}})
    assert sorted(line.split(", which")[0] for line in told.splitlines()) == [
        "mine.yaml: model_catalogue.m.weights.path: 'a{b}.onnx': has { or }",
        "mine.yaml: model_root: '/{b}': has { or }",
    ]


def test_home_and_environment_variables_are_written_out(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv("DATA", "/data")
    overlay = {
        "dataset_root": "~/streets",
        "model_root": "$NOT_SET/models",
        "model_catalogue": {"m": {**MODEL, "weights": {"path": "${DATA}/m.onnx"}}},
        "dataset_catalogue": {"d": {**FOLDER, "root": "$DATA/streets"}},
    }
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(overlay))
    files = [*CATALOGUES, str(tmp_path / "mine.yaml")]
    config = read_config(merged(files), files)
    assert (config["dataset_root"], config["model_root"]) == ("/home/me/streets", "$NOT_SET/models")
    assert config["model_catalogue"]["m"]["weights"]["path"] == "/data/m.onnx"
    assert config["dataset_catalogue"]["d"]["root"] == "/data/streets"


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_configuration_as_windows_writes_it_is_read(tmp_path, mark):
    """By Snakemake's loader and by ours, which names the file at fault. Lines end in CRLF; a BOM may stand before."""
    path = tmp_path / "mine.yaml"
    path.write_bytes(mark + b"rounds: 4\r\ntiming:\r\n  seed: 7\r\n")
    config = merged(CATALOGUES)
    given = load_configfile(str(path))
    assert read_config({**config, **given}, [*CATALOGUES, str(path)])["timing"]["seed"] == 7
    path.write_bytes(mark + b"rouns: 4\r\n")
    with pytest.raises(InputError, match=r"mine\.yaml: rouns: unknown key; did you mean 'rounds'\?$"):
        read_config({**config, **load_configfile(str(path))}, [*CATALOGUES, str(path)])


def test_id_map_has_ids_or_colours(tmp_path):
    given = {"a": {0: 0, -1: 255}, "b": {"128, 64,128": 0, "0,0,0": 255}}
    overlay = {"dataset_catalogue": {name: {**FOLDER, "id_map": id_map} for name, id_map in given.items()}}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(overlay))
    files = [*CATALOGUES, str(tmp_path / "mine.yaml")]
    catalogue = read_config(merged(files), files)["dataset_catalogue"]
    assert catalogue["a"]["id_map"] == {"0": 0, "-1": 255}  # texts, as in JSON
    assert catalogue["b"]["id_map"] == given["b"]


@pytest.mark.parametrize("key", ["256,0,0", "1,2", "road", "#804080", "1;2;3"])
def test_key_of_an_id_map_that_is_neither_id_nor_colour_is_named(tmp_path, key):
    told = fault(tmp_path, dataset_catalogue={"d": {**FOLDER, "id_map": {key: 0}}})
    assert all(f"dataset_catalogue.d.id_map.{key}: " in line for line in told.splitlines())
    assert "R,G,B" in told


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({}, {"resize": "none"}),
        ({"resize": "stretch"}, {"resize": "stretch"}),
        ({"resize": {"kind": "stretch"}}, {"resize": "stretch"}),
        ({"window": None}, {"resize": "none", "window": None}),
        (
            {"window": {"stride": 20}},
            {"resize": "none", "window": {"size": None, "stride": {"height": 20, "width": 20}}},
        ),
        (
            {"resize": "letterbox"},
            {"resize": Resizing("letterbox")._asdict()},
        ),
        (
            {"resize": {"kind": "short_side", "size": 20}},
            {"resize": Resizing("short_side", {"height": 20, "width": 20})._asdict()},
        ),
    ],
)
def test_preprocessing_is_written_as_it_always_was_unless_more_is_asked_for(given, kept):
    model = Model.model_validate({**MODEL, "preprocessing": given}).model_dump(mode="json")
    always = {"channel_order": "rgb", "scale": 1 / 255, "mean": [0.5] * 3, "std": [0.5] * 3}
    assert model["preprocessing"] == always | kept
    of_files = {**MODEL, "kind": "paddle_inference", "weights": {"path": "m.pdmodel"}, "preprocessing": given}
    assert Model.model_validate(of_files).model_dump(mode="json")["preprocessing"].keys() == given.keys()


def test_model_that_brings_its_int8_needs_no_training_split(tmp_path):
    path = tmp_path / "mine.yaml"
    chosen = {"models": ["m"], "model_catalogue": {"m": MODEL}, "dataset": "d", "dataset_catalogue": {"d": FOLDER}}
    path.write_text(yaml.safe_dump({**chosen, "variants": ["openvino-int8-model"]}))
    files = [*CATALOGUES, str(path)]
    assert read_config(merged(files), files)["variants"] == ["openvino-int8-model"]


def test_a_calibrator_that_keeps_no_layers_in_fp32_is_told(tmp_path):
    told = fault(tmp_path, calibrator_catalogue={"paddle_tensorrt": {"fp32_layers": {"gcnet_demo": "mine.json"}}})
    assert "calibrator_catalogue.paddle_tensorrt.fp32_layers: library paddle_tensorrt keeps no layers in FP32" in told
