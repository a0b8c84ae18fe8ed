"""The real TensorRT 8.5.3.1 bindings without a GPU: make env-tensorrt8, make test-tensorrt8."""

import ast
import ctypes
from pathlib import Path

import pytest
from helpers.calibration_cache import read_cache
from helpers.fatbin import SASS, architectures
from segbench.config.options import Variant, parse_options
from segbench.engines.base import load
from segbench.errors import Unsupported
from segbench.models.exported import ExportedModel
from segbench.runtimes.tensorrt import flags, plan, session
from segbench.runtimes.tensorrt.calibration_cache import cache_text
from segbench.runtimes.tensorrt.libraries import import_tensorrt

try:
    trt = import_tensorrt()
except Unsupported as error:
    pytest.skip(f"{error} (make env-tensorrt8)", allow_module_level=True)
if plan.major(trt) >= plan.FIRST_TYPED:
    pytest.skip(f"TensorRT {trt.__version__} is not 8", allow_module_level=True)

RANGES = {"image": (-1.0, 0.5), "logits": (-4.0, 6.0)}
ENGINE = load("tensorrt")


def test_it_is_the_version_that_is_pinned():
    assert trt.__version__ == "8.5.3.1"
    library = ctypes.CDLL(str(Path(trt.__file__).parent / "libnvinfer.so.8"))
    assert f"TRT-{library.getInferLibVersion()}-".encode() == cache_text({}, trt.__version__)[:9]


def test_calibrator_offers_our_table_as_its_cache_and_no_image():
    calibrator = flags.make_calibrator(trt, cache_text(RANGES, trt.__version__))
    assert isinstance(calibrator, trt.IInt8Calibrator)
    assert calibrator.get_algorithm() == trt.CalibrationAlgoType.ENTROPY_CALIBRATION_2
    assert read_cache(calibrator.read_calibration_cache()) == pytest.approx({"image": 1.0, "logits": 6.0})
    assert calibrator.get_batch(["image"]) is None


@pytest.mark.parametrize(
    "file",
    [
        "runtimes/tensorrt/plan.py",
        "runtimes/tensorrt/flags.py",
        "runtimes/tensorrt/session.py",
        "engines/tensorrt.py",
    ],
)
def test_every_name_of_the_bindings_exists(file):
    owners = {
        "trt": trt,
        "config": trt.IBuilderConfig,
        "network": trt.INetworkDefinition,
        "parser": trt.OnnxParser,
        "BuilderFlag": trt.BuilderFlag,
        "engine": trt.ICudaEngine,
        "runtime": trt.Runtime,
        "inspector": trt.EngineInspector,
        "_builder": trt.Builder,
        "_engine": trt.ICudaEngine,
        "_context": trt.IExecutionContext,
    }
    tree = ast.parse((Path(session.__file__).parents[2] / file).read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, (ast.Name, ast.Attribute)):
            owner = node.value.id if isinstance(node.value, ast.Name) else node.value.attr
            if owner in owners and not node.attr.startswith("__"):
                assert hasattr(owners[owner], node.attr), f"{owner}.{node.attr}"


def test_options_are_parsed():
    options = parse_options(ENGINE.build_options, {"workspace_mb": 512, "int8": "qdq"}, "build")
    assert (options.workspace_mb, options.int8, options.others) == (512, "qdq", "fp32")


def test_the_engine_names_the_gpus_that_the_libraries_have_code_for():
    """The kernels that a builder chooses from lie in its resource library."""
    (library,) = Path(trt.__file__).parent.glob("libnvinfer_builder_resource.so.*")
    code = architectures(library)[SASS]
    named = set(next(code for code in ENGINE.gpu_code if code.is_of(trt.__version__)).capabilities)
    assert named == {capability for capability in code if capability >= (6, 0)}


def test_without_a_gpu_it_is_unsupported_in_one_line(tmp_path):
    try:
        session.this_gpu()
        pytest.skip("there is a GPU")
    except Unsupported:
        pass
    model = ExportedModel(tmp_path, {"files": {}, "input": {"height": 32, "width": 64}})
    with pytest.raises(Unsupported, match="no usable GPU: CUDA: "):
        ENGINE.build(model, None, Variant("v", "tensorrt", "fp32"), ENGINE.build_options(), tmp_path / "out")
    with pytest.raises(Unsupported, match=r"TensorRT 8.5.3.1 makes no builder here: no usable CUDA device"):
        plan.Builder(trt, tmp_path / "model.onnx")
