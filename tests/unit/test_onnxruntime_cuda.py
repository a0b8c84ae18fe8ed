"""ONNX Runtime's CUDA provider as far as it goes without one: what a row is told when it does not open."""

import sys
from types import ModuleType, SimpleNamespace

import pytest
from helpers.made import make_onnx_model
from segbench.config.options import parse_options
from segbench.engines import onnxruntime_cuda
from segbench.errors import InputError, Unsupported

PROVIDERS = [(onnxruntime_cuda.PROVIDER, {})]


@pytest.fixture
def library(monkeypatch, tmp_path):
    """A stand-in for the package, which behaves as the real class does around an error of its first creation."""

    def put(first_error: Exception | None, opened: list[str]) -> list[dict]:
        calls: list[dict] = []

        def create(path, settings=None, providers=(), enable_fallback=1):
            calls.append({"providers": providers, "enable_fallback": enable_fallback})
            if first_error is not None and enable_fallback:
                raise RuntimeError("conflict: session.disable_cpu_ep_fallback with the CPU EP")  # of its second try
            if first_error is not None:
                raise first_error
            return SimpleNamespace(get_providers=lambda: opened)

        module = ModuleType("onnxruntime")
        module.__file__ = str(tmp_path / "onnxruntime" / "__init__.py")
        module.preload_dlls = lambda: None
        module.get_available_providers = lambda: [onnxruntime_cuda.PROVIDER]
        module.SessionOptions = lambda: SimpleNamespace(add_session_config_entry=lambda key, value: None)
        module.InferenceSession = create
        monkeypatch.setitem(sys.modules, "onnxruntime", module)
        return calls

    return put


def test_the_first_error_is_the_reason(library, tmp_path):
    calls = library(RuntimeError("CUDA failure 35: CUDA driver version is insufficient for CUDA runtime version"), [])
    with pytest.raises(Unsupported, match="CUDA driver version is insufficient for CUDA runtime version"):
        onnxruntime_cuda.open_session(tmp_path / "model.onnx", PROVIDERS, cpu_nodes=False)
    assert [call["enable_fallback"] for call in calls] == [0]


def test_a_session_without_the_provider_is_refused(library, tmp_path):
    library(None, ["CPUExecutionProvider"])
    with pytest.raises(Unsupported, match="CUDAExecutionProvider does not load"):
        onnxruntime_cuda.open_session(tmp_path / "model.onnx", PROVIDERS, cpu_nodes=True)


def test_the_loaders_words_name_the_library_that_is_missing(tmp_path):
    (tmp_path / "capi").mkdir()
    for name in ("shared", "cuda"):
        (tmp_path / f"capi/libonnxruntime_providers_{name}.so").write_bytes(b"no library")
    assert "libonnxruntime_providers_shared.so: file too short" in onnxruntime_cuda.loading_fault(
        tmp_path, onnxruntime_cuda.PROVIDER
    )
    assert onnxruntime_cuda.loading_fault(tmp_path / "elsewhere", onnxruntime_cuda.PROVIDER) == ""


def test_the_real_class_has_the_switch_for_its_fallback(tmp_path):
    """It reads it from its keywords, where a wrong name would be taken in silence."""
    import onnxruntime

    make_onnx_model(tmp_path / "model.onnx")
    path, cpu = str(tmp_path / "model.onnx"), ["CPUExecutionProvider"]
    assert onnxruntime.InferenceSession(path, providers=cpu)._enable_fallback
    assert not onnxruntime.InferenceSession(path, providers=cpu, enable_fallback=0)._enable_fallback


def test_cudnn_chooses_by_rule_unless_told_to_time():
    kind = onnxruntime_cuda.RunOptions
    assert parse_options(kind, {}, "run").conv_search == "heuristic"
    with pytest.raises(InputError, match="run: conv_search must be heuristic or exhaustive"):
        parse_options(kind, {"conv_search": "fastest"}, "run")


@pytest.mark.parametrize("search", ["heuristic", "exhaustive"])
def test_the_provider_is_given_the_search(monkeypatch, tmp_path, search):
    given = []
    monkeypatch.setattr(onnxruntime_cuda, "GPUSession", lambda model, providers, cpu_nodes: given.append(providers))
    options = onnxruntime_cuda.RunOptions(conv_search=search)
    onnxruntime_cuda.ENGINE.open(tmp_path, None, options, 1)
    assert given[0][0][1]["cudnn_conv_algo_search"] == search.upper()
