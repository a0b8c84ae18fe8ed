"""What the wheel's own converter makes of the eight networks, on a CPU: which operators TensorRT takes, and whether the
outputs of what it takes have a type that it declares."""

from __future__ import annotations

import shutil
from pathlib import Path

import converter
import pytest
from exported import ARCHITECTURES, export
from paddle.base import core
from segbench.runtimes.paddle.program import DECLARED, without_cast

# Strings of libpaddle.so that our reading of logs and of failures rests on; another release may have others.
STRINGS = (
    "unsupported datatype in TRT op converter, type: %s.",
    "---  detect a sub-graph with ",
    "Load TRT Optimized Info from ",
    "Fail to load TRT Optimized Info from ",
    "Prepare TRT engine (",
    "RUN Paddle TRT int8 calibration mode...",
    " op is not in TensorRT",
    "/trt_serialized_",
    "TRT engine key: ",
    "exp_disable_tensorrt_ops",
)


@pytest.fixture(scope="session")
def compiler() -> None:
    """Skip, visibly, where the small caller cannot be compiled."""
    if not shutil.which("g++"):
        pytest.skip("there is no g++ to compile the caller of Paddle's converter with")


@pytest.fixture(scope="session")
def told(compiler, models, tmp_path_factory) -> dict[str, dict]:
    """By architecture, and by architecture with `exported` behind it for the file with the cast still in."""
    folder = tmp_path_factory.mktemp("staged")
    named: dict[str, Path] = {}
    for architecture in ARCHITECTURES:
        exported = export(models, architecture).with_suffix(".pdmodel")
        named[f"{architecture} exported"] = exported
        named[architecture] = folder / f"{architecture}.pdmodel"
        named[architecture].write_bytes(without_cast(exported.read_bytes()))
    found = converter.tell(list(named.values()))
    return {name: found[str(path)] for name, path in named.items()}


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_tensorrt_takes_the_whole_network_and_declares_its_output(told, architecture):
    """One subgraph, one builder, one output, of the argmax's own type."""
    assert told[architecture]["outside"] == {}
    assert told[architecture]["outputs"] == {"save_infer_model/scale_0.tmp_0": "INT32"}


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_tensorrt_would_take_the_exported_files_cast_and_throw(told, architecture):
    """Why the GPU does not get the exported file as it is."""
    assert told[f"{architecture} exported"]["outside"] == {}
    (said,) = told[f"{architecture} exported"]["outputs"].values()
    assert "unsupported datatype in TRT op converter, type: UINT8" in said


def test_types_that_we_call_declared_are_those_that_the_converter_declares(compiler, tmp_path):
    """Asked with a program of one cast to each type, whose output is a subgraph's."""
    kinds = ("FP32", "FP64", "FP16", "INT32", "INT64", "BOOL", "UINT8", "INT8", "INT16")
    for kind in kinds:
        program = core.ProgramDesc()
        block = program.block(0)
        before = "INT32" if kind == "FP32" else "FP32"  # a cast to its own type is removed
        for name, of in (("in", before), ("out", kind), ("end", kind)):
            variable = block.var(name.encode())
            variable.set_type(core.VarDesc.VarType.LOD_TENSOR)
            variable.set_dtype(getattr(core.VarDesc.VarType, of))
            variable.set_shape([1, 4, 4])
        for operator, source, result in (("cast", "in", "out"), ("fetch", "out", "end")):
            one = block.append_op()
            one.set_type(operator)
            one.set_input("X", [source])
            one.set_output("Out", [result])
            if operator == "cast":
                one._set_attr("in_dtype", int(getattr(core.VarDesc.VarType, before)))
                one._set_attr("out_dtype", int(getattr(core.VarDesc.VarType, kind)))
        (tmp_path / f"{kind}.pdmodel").write_bytes(program.serialize_to_string())
    told = converter.tell([tmp_path / f"{kind}.pdmodel" for kind in kinds])
    declared = {
        Path(path).stem for path, one in told.items() for said in one["outputs"].values() if said in converter.TYPES
    }
    assert declared == DECLARED


def test_wheel_still_says_what_is_read():
    content = Path(core.libpaddle.__file__).read_bytes()
    assert [text for text in STRINGS if text.encode() not in content] == []
