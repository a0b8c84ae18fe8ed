"""What the wheel's own TensorRT converter says of exported programs; no GPU is needed.

    .venv-gpu/bin/python tests/gpu_env/converter.py results/models/*/model.pdmodel

prints for each program, as Paddle's GPU engines get it and with dynamic shapes, the operators that TensorRT does not
take, the outputs of what it takes, and the type that each is declared with. `OpTeller::Tell` and
`OpConverter::ConvertBlockToTRTEngine` are called by their mangled names: of the pinned wheel, 2.6.2, only.
"""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
TELLER = "_ZN6paddle9inference8tensorrt8OpTeller"
CONVERTER = (
    "_ZN6paddle9inference8tensorrt11OpConverter23ConvertBlockToTRTEngineEPNS_9framework9BlockDescERKNS3_5ScopeERKSt6vector"
    "INSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEESaISF_EERKSt13unordered_setISF_St4hashISF_ESt8equal_toISF_ESG_E"
    "SJ_PNS1_14TensorRTEngineE"
)
# The passes before TensorRT's that change which operators there are to take in these networks.
PASSES = ("identity_op_clean_pass", "trt_map_ops_to_matrix_multiply_pass")
TYPES = ("FP32", "FP16", "INT8", "INT32", "BOOL", "UINT8")  # by TensorRT's numbers
PRELOADED = "LD_PRELOAD"


def tell(pdmodels: list[Path], static: bool = False) -> dict[str, Any]:
    """By program: `operators`, `outside` (types and counts), `outputs` of what TensorRT takes, with their types.

    In a process of its own, which is started with the compiled caller before Paddle's library. Raises FileNotFoundError
    where there is no C++ compiler.
    """
    with tempfile.TemporaryDirectory() as folder:
        caller = Path(folder) / "converter.so"
        source = HERE / "converter.cpp"
        subprocess.run(["g++", "-std=c++17", "-shared", "-fPIC", "-o", caller, source], check=True)
        command = [sys.executable, "-W", "ignore", __file__, "--worker", str(int(static)), *map(str, pdmodels)]
        variables = {**os.environ, PRELOADED: str(caller), "GLOG_minloglevel": "2"}
        done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stdout + done.stderr)
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


def _work(static: bool, pdmodels: list[str]) -> dict[str, Any]:
    import zlib  # noqa: F401  before paddle 2.6.2: see PaddlePaddle/Paddle#70538

    import paddle  # noqa: F401
    from paddle.base import core

    library, caller = ctypes.CDLL(core.libpaddle.__file__), ctypes.CDLL(None)
    teller, told = ctypes.create_string_buffer(1 << 16), {}
    getattr(library, f"{TELLER}C1Ev")(teller)
    takes = getattr(library, f"{TELLER}4TellEPKNS_9framework2ir4NodeEbbb")
    takes.argtypes, takes.restype = [ctypes.c_void_p, ctypes.c_void_p, *[ctypes.c_bool] * 3], ctypes.c_bool
    converter = ctypes.cast(getattr(library, CONVERTER), ctypes.c_void_p)
    for path in pdmodels:
        program = core.ProgramDesc(Path(path).read_bytes())
        graph = core.Graph(program)
        for name in PASSES:
            change = core.get_pass(name)
            change.set("with_dynamic_shape", not static)
            change.apply(graph)
        operators = [node for node in graph.nodes() if node.is_op() and node.name() not in ("feed", "fetch")]
        inside = {node.id() for node in operators if takes(teller, _address(node), False, not static, False)}
        outputs = {}
        for node in operators:
            for tensor in node.outputs if node.id() in inside else ():
                if any(reader.id() not in inside for reader in tensor.outputs):
                    outputs[tensor.name()] = _declared(caller, converter, program.block(0), tensor.name())
        outside = Counter(node.name() for node in operators if node.id() not in inside)
        told[path] = {"operators": len(operators), "outside": outside, "outputs": outputs}
    return told


def _declared(caller: Any, converter: Any, block: Any, name: str) -> str:
    """The type of TensorRT's that an output is declared with, or what Paddle's converter throws."""
    said = ctypes.create_string_buffer(1 << 14)
    number = caller.declare_output(
        converter, ctypes.c_void_p(_address(block)), name.encode(), said, ctypes.c_size_t(len(said))
    )
    return TYPES[number] if number >= 0 else " ".join(said.value.decode(errors="replace").split())


def _address(wrapped: Any) -> int | None:
    """Of the C++ object in a Python object of pybind11: the first word behind Python's own two."""
    return ctypes.c_void_p.from_address(id(wrapped) + 16).value


def main() -> None:
    """Print the table of the programs that are named."""
    sys.path.insert(0, str(HERE.parents[1] / "workflow_scripts"))
    from segbench.runtimes.paddle.program import activation_bytes, without_cast

    with tempfile.TemporaryDirectory() as folder:
        staged = {}
        for number, path in enumerate(sys.argv[1:]):
            staged[str(Path(folder) / f"{number}.pdmodel")] = path
            Path(folder, f"{number}.pdmodel").write_bytes(without_cast(Path(path).read_bytes()))
        dynamic, static = (tell([Path(one) for one in staged], static) for static in (False, True))
        print("| program | operators | outside, dynamic shapes | outputs | outside, static shapes | activations, GB |")
        print("|---|---|---|---|---|---|")
        for one, path in staged.items():
            size = activation_bytes(Path(one).read_bytes()) / 1e9
            outside = [
                ", ".join(f"{kind} ×{count}" for kind, count in sorted(told[one]["outside"].items())) or "none"
                for told in (dynamic, static)
            ]
            outputs = ", ".join(f"{name} {kind}" for name, kind in dynamic[one]["outputs"].items())
            count = dynamic[one]["operators"]
            print(f"| {Path(path).parent.name} | {count} | {outside[0]} | {outputs} | {outside[1]} | {size:.1f} |")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        print(json.dumps(_work(sys.argv[2] == "1", sys.argv[3:])))
    else:
        main()
