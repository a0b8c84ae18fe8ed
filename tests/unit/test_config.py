"""What is wrong in a configuration is told with file, key, value and what would be right."""

from pathlib import Path

import pytest
import yaml
from segbench.errors import InputError
from segbench.planning.check import read_config

ROOT = Path(__file__).parents[2]
CATALOGUES = [
    str(ROOT / "config" / f"{name}.yaml") for name in ("config", "models", "variants", "calibrators", "datasets")
]
MODEL = {"kind": "onnx", "weights": {"path": "m.onnx"}, "input": {"height": 32, "width": 64}}


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
            "mine.yaml: model_catalogue.m.kind: 'onyx': input should be 'paddleseg', 'narrow', 'onnx' or"
            " 'paddle_inference'",
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
    ],
)
def test_fault_is_told_in_one_line(tmp_path, overlay, message):
    assert fault(tmp_path, **overlay) == message


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
