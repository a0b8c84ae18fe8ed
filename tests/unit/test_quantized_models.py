"""Models that are INT8 already run as INT8 rows, by the class maps of their own runtimes, and as no other row."""

from __future__ import annotations

import zlib  # noqa: F401  before paddle 2.6.2: see PaddlePaddle/Paddle#70538
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import build_engine
import calibrate
import export_onnx_model
import export_openvino
import export_paddle
import numpy as np
import onnx
import pytest
import yaml
from helpers.onnx_made import CLASSES, HEIGHT, WIDTH, entry
from helpers.paddle_made import street_images
from helpers.quantized_made import by_nncf, by_onnxruntime, float_network
from segbench.calibration.base import OF_MODEL
from segbench.config.options import Variant, parse_options
from segbench.engines import base
from segbench.engines.base import run_once
from segbench.errors import InputError, Unsupported
from segbench.files import write_record
from segbench.models.exported import ExportedModel
from segbench.models.logits import LogitsModel
from segbench.models.record import model_record

ROOT = Path(__file__).parents[2]
IMAGES = street_images(HEIGHT, WIDTH, 3)
MAKERS = {"onnxruntime": by_onnxruntime, "nncf": by_nncf}


def exported(source: Path, folder: Path) -> Path:
    """model.json of a person's ONNX file."""
    folder.mkdir()
    model, facts = export_onnx_model.export("mine", entry(), source)
    onnx.save(model, str(folder / "model.onnx"))
    record = model_record("mine", entry(), {"model.onnx": folder / "model.onnx"}, 0, ())
    write_record(folder / "model.json", {"status": "ok", "reason": "", **record, **facts})
    return folder / "model.json"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Files by who quantised them."""
    folder = tmp_path_factory.mktemp("files")
    raw = float_network(folder / "float.onnx")
    made = {name: make(raw, folder / f"{name}.onnx", IMAGES) for name, make in MAKERS.items()}
    return {"float": raw, **made}


@pytest.fixture(scope="module")
def records(models: dict[str, Path]) -> dict[str, Path]:
    """model.json of each."""
    return {name: exported(path, path.with_name(f"{name} exported")) for name, path in models.items()}


def build(record: Path, engine: str, precision: str, out: Path) -> tuple[dict[str, Any], list[np.ndarray]]:
    """The facts of an engine that the build script makes, and its class maps. INT8 has no calibration here."""
    variant = {"name": f"{engine}-{precision}", "engine": engine, "precision": precision}
    request: build_engine.Request = {
        "model": str(record), "variant": variant, "options": {}, "calibration": "", "shapes": "", "passes": "",
        "logits": False, "twin": "", "out": str(out),
    }  # fmt: skip
    facts = build_engine.build(request)
    plugin = base.load(engine)
    session = plugin.open(out, Variant(**variant), parse_options(plugin.run_options, {}, "run"), 1)
    return facts, [run_once(session, image) for image in IMAGES]


def openvino_of(path: Path) -> Any:
    """A person's file in OpenVINO, without our code."""
    import openvino

    return openvino.Core().compile_model(str(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})


def by_its_own_runtime(path: Path) -> list[np.ndarray]:
    """Class maps of a person's file without our code: ONNX Runtime's own in ONNX Runtime, NNCF's in OpenVINO."""
    if path.stem == "nncf" or path.suffix == ".xml":
        run = openvino_of(path)
        return [np.asarray(run([image])[0])[0].argmax(0) for image in IMAGES]
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return [session.run(None, {"x": image})[0][0].argmax(0) for image in IMAGES]


@pytest.mark.parametrize("maker", MAKERS)
def test_quantised_file_runs_as_int8_like_in_its_own_runtime(maker, models, records, tmp_path):
    own = "openvino" if maker == "nncf" else "onnxruntime"
    expected = by_its_own_runtime(models[maker])
    assert len(np.unique(expected)) == 3  # of four
    for engine in ("onnxruntime", "openvino"):
        facts, found = build(records[maker], engine, "int8", tmp_path / engine)
        # NNCF rounds nothing behind the last convolution, which ONNX Runtime then computes in floats.
        assert facts["int8_layers"] == (1 if (maker, engine) == ("nncf", "onnxruntime") else 2)
        same = min(float((one == other).mean()) for one, other in zip(found, expected, strict=True))
        assert same == 1 if engine == own else same > 0.99


@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16"])
@pytest.mark.parametrize("maker", MAKERS)
def test_quantised_file_is_no_row_of_another_precision(maker, precision, records, tmp_path, monkeypatch):
    monkeypatch.setattr(type(base.load("openvino")), "can_build", lambda *_: base.YES)  # whatever this CPU has
    with pytest.raises(Unsupported) as caught:
        build(records[maker], "openvino", precision, tmp_path / "engine")
    assert str(caught.value).startswith("the model is quantised already (") and "\n" not in str(caught.value)
    assert "QuantizeLinear) and computes in 8 bits: choose onnxruntime-int8-model or" in str(caught.value)
    assert not (tmp_path / "engine").exists()


def test_quantised_file_is_not_calibrated(records, tmp_path):
    request: Any = {
        "calibrator": {"name": "percentile", "library": "onnxruntime", "options": {}}, "settings": {}, "index": "",
        "model": str(records["nncf"]), "dataset": str(records["nncf"]), "passes": "", "fp32_layers": "",
    }  # fmt: skip
    with pytest.raises(Unsupported, match=r"^the model is quantised already \(\d+ QuantizeLinear\)"):
        calibrate.calibrate(request)


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_model_of_floats_is_not_int8_by_itself(engine, records, tmp_path):
    said = f"^no operator of the model computes in 8 bits: choose {engine}-int8, which calibrates it, or {engine}-fp32$"
    with pytest.raises(Unsupported, match=said):
        build(records["float"], engine, "int8", tmp_path / "engine")


def test_row_says_that_the_model_brought_its_int8():
    assert build_engine.how_calibrated("", "onnxruntime", "int8").result == {"calibrator": OF_MODEL}
    assert build_engine.how_calibrated("", "onnxruntime", "fp32").result == {}


def test_eight_bit_operators_run_on_onnx_runtime_too(models, tmp_path):
    """The older form, without Q/DQ pairs around operators of floats."""
    source = by_onnxruntime(models["float"], tmp_path / "operators.onnx", IMAGES, form="QOperator")
    facts, found = build(exported(source, tmp_path / "exported"), "onnxruntime", "int8", tmp_path / "engine")
    assert facts["int8_layers"] == 2
    assert all((one == other).all() for one, other in zip(found, by_its_own_runtime(source), strict=True))


@pytest.fixture(scope="module")
def intermediate(models: dict[str, Path]) -> dict[str, Path]:
    """OpenVINO's own files: of floats, and as NNCF quantises it."""
    import nncf
    import openvino

    graph = openvino.Core().read_model(str(models["float"]))
    found = {"float": models["float"].with_name("raw.xml"), "nncf": models["float"].with_name("nncf.xml")}
    openvino.save_model(graph, str(found["float"]), compress_to_fp16=False)
    openvino.save_model(nncf.quantize(graph, nncf.Dataset(IMAGES), subset_size=len(IMAGES)), str(found["nncf"]))
    return found


def exported_openvino(source: Path, folder: Path, **other: Any) -> Path:
    """model.json of a person's OpenVINO file."""
    import openvino

    folder.mkdir()
    given = entry(kind="openvino", **other)
    model, facts = export_openvino.export("mine", given, source)
    files = {name: folder / name for name in ("model.xml", "model.bin")}
    openvino.save_model(model, str(files["model.xml"]), compress_to_fp16=False)
    record = model_record("mine", given, files, 0, ())
    write_record(folder / "model.json", {"status": "ok", "reason": "", **record, **facts})
    return folder / "model.json"


def test_nncfs_own_openvino_model_runs_as_int8_like_in_openvino(intermediate, tmp_path):
    record = exported_openvino(intermediate["nncf"], tmp_path / "exported")
    facts, found = build(record, "openvino", "int8", tmp_path / "int8")
    assert facts["int8_layers"] == 2
    assert np.array_equal(found, by_its_own_runtime(intermediate["nncf"]))
    with pytest.raises(Unsupported, match=r"FakeQuantize\) and computes in 8 bits: choose openvino-int8-model, or"):
        build(record, "openvino", "fp32", tmp_path / "fp32")
    with pytest.raises(Unsupported, match="computes in 8 bits"):
        build(record, "onnxruntime", "fp32", tmp_path / "other")


def test_openvinos_model_of_floats_is_a_row_in_fp32_and_ends_in_logits_where_they_are_wanted(intermediate, tmp_path):
    record = exported_openvino(intermediate["float"], tmp_path / "exported")
    _, found = build(record, "openvino", "fp32", tmp_path / "fp32")
    assert np.array_equal(found, by_its_own_runtime(intermediate["float"]))
    model = ExportedModel.open(record)
    (tmp_path / "work").mkdir()
    logits = LogitsModel(model.folder, model.facts, tmp_path / "work").file("model.xml")
    run = openvino_of(logits)
    assert all(np.array_equal(np.asarray(run([i])[0])[0].argmax(0), one) for i, one in zip(IMAGES, found, strict=True))
    with pytest.raises(Unsupported, match=r"^this model has no ONNX form$"):
        build(record, "onnxruntime", "fp32", tmp_path / "other")
    with pytest.raises(Unsupported, match=r"^this model is of OpenVINO; Paddle engines need a Paddle inference model$"):
        build(record, "paddle", "fp32", tmp_path / "paddle")


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"class_count": 3}, f"class_count: 3, but the model's output .* {CLASSES} channels"),
        (
            {"input": {"height": 8, "width": 8}},
            r"input: the model's input is f32 \[1, 3, 32, 64\]; wanted: f32 \[1, 3, 8, 8\]",
        ),
        ({"output": 1}, "output: 1 is none of them: the model has 1 outputs"),
    ],
)
def test_what_does_not_fit_an_openvino_model_is_named(intermediate, tmp_path, other, said):
    with pytest.raises(InputError, match=rf"^model_catalogue\.mine\.{said}"):
        exported_openvino(intermediate["float"], tmp_path / "exported", **other)


def test_openvino_model_without_its_weights_is_refused(intermediate, tmp_path):
    (tmp_path / "alone.xml").write_bytes(intermediate["float"].read_bytes())
    with pytest.raises(InputError, match=r"alone\.xml: OpenVINO cannot read it, or its \.bin does not belong to it"):
        export_openvino.export("mine", entry(kind="openvino"), tmp_path / "alone.xml")


def test_quantised_paddle_program_runs_on_onednn_as_it_is(tmp_path):
    import paddle
    from segbench.calibration import paddle as paddle_ptq

    class Network(paddle.nn.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.last = paddle.nn.Conv2D(3, 8, 3, padding=1), paddle.nn.Conv2D(8, CLASSES, 1)

        def forward(self, image: Any) -> Any:
            return self.last(paddle.nn.functional.relu(self.first(image)))

    paddle.seed(1)
    network = Network()
    network.eval()
    spec = paddle.static.InputSpec([None, 3, None, None], "float32", "x")
    (tmp_path / "float").mkdir()
    paddle.jit.save(paddle.jit.to_static(network, input_spec=[spec], full_graph=True), str(tmp_path / "float/model"))
    task = SimpleNamespace(model=SimpleNamespace(shape=IMAGES[0].shape), images=IMAGES)
    paddle_ptq.quantize(tmp_path / "float", task, "abs_max", tmp_path / "int8", [])
    own = paddle_ptq._predictor(tmp_path / "int8", "int8")

    folder = tmp_path / "exported"
    files = {name: folder / name for name in ("model.pdmodel", "model.pdiparams")}
    given = {**entry(), "kind": "paddle_inference"}
    export_paddle.export("mine", given, tmp_path / "int8/model.pdmodel", *files.values())
    quantized = export_paddle.quantized_in_program(files["model.pdmodel"].read_bytes())
    assert quantized["quantize_linear"] >= 2
    record = model_record("mine", given, files, 0, ())
    write_record(folder / "model.json", {"status": "ok", "reason": "", **record, "quantized": quantized})
    _, found = build(folder / "model.json", "paddle_onednn", "int8", tmp_path / "engine")
    assert all((one == own(image).argmax(0)).mean() > 0.999 for one, image in zip(found, IMAGES, strict=True))
    with pytest.raises(Unsupported, match=r"computes in 8 bits: choose paddle_onednn-int8-model, or give the model"):
        build(folder / "model.json", "paddle", "fp32", tmp_path / "fp32")


def test_catalogue_has_the_variants_that_messages_name():
    catalogue = yaml.safe_load((ROOT / "config/variants.yaml").read_text())["variant_catalogue"]
    for engine in ("onnxruntime", "openvino", "paddle_onednn"):
        assert catalogue[f"{engine}-int8-model"] == {"engine": engine, "precision": "int8", "calibrator": OF_MODEL}
        assert OF_MODEL in base.load(engine).calibrators
        assert catalogue[f"{engine}-int8"]["calibrator"] != OF_MODEL and f"{engine}-fp32" in catalogue
