"""Which GPU a process uses, and which engines have code for it and for its driver: through a stand-in for NVML."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.nvml import GPU, NVML
from segbench.config.options import Variant
from segbench.engines import base
from segbench.machine import cpu, nvml
from segbench.machine.cpu import this_machine

ROOT = Path(__file__).parents[2]
T4 = GPU("T4", "GPU-11111111-aaaa", (7, 5), 15)
A100 = GPU("A100", "GPU-22222222-bbbb", (8, 0), 40)
SLICES = [GPU("A100 MIG 1g.5gb", "MIG-33", None, 5), GPU("A100 MIG 3g.20gb", "MIG-44", None, 20)]
CUT = GPU("A100", "GPU-55555555-cccc", (8, 0), 40, slices=SLICES)
VERSIONS = {"onnxruntime-gpu": "1.31.1", "tensorrt-cu13-libs": "10.16.1.11", "cuda-bindings": "12.9.10"}


@pytest.fixture
def card(monkeypatch):
    """Puts a stand-in for nvidia-ml-py where it is imported from."""

    def put(*gpus, **facts):
        made = NVML(*gpus, **facts)
        monkeypatch.setitem(sys.modules, "pynvml", made)
        return made

    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    return put


def support(monkeypatch, engine: str, **versions: str) -> base.Support:
    """What an engine says of this machine, were its packages installed."""
    found = {**dict.fromkeys(base.load(engine).packages, "1.0"), **VERSIONS, **versions}
    monkeypatch.setattr(base, "package_version", found.get)
    return base.load(engine).supports(Variant("v", engine, "fp32"), this_machine())


# Which GPU


@pytest.mark.parametrize(
    ("visible", "expected"),
    [
        (None, "T4"),
        ("1", "A100"),
        ("1,0", "A100"),
        ("GPU-22222222-bbbb", "A100"),
        ("GPU-2222", "A100"),
        ("2", "A100 MIG 1g.5gb"),
        ("MIG-44", "A100 MIG 3g.20gb"),
        ("GPU-5555", "A100 MIG 1g.5gb"),
        ("", None),
        ("-1", None),
        ("7", None),
        ("GPU-9", None),
    ],
)
def test_the_gpu_is_the_one_that_cuda_shows(card, monkeypatch, visible, expected):
    card(T4, A100, CUT)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert (nvml.facts() or {}).get("name") == expected
    assert nvml.is_hidden() == (expected is None)


def test_what_a_slice_does_not_tell_its_gpu_does(card, monkeypatch):
    card(CUT)
    assert nvml.compute_capability() == (8, 0)
    assert nvml.facts()["memory_gib"] == 5


def test_slices_of_one_gpu_have_identities_of_their_own(card, monkeypatch):
    alike = GPU(
        "A100", "GPU-6", slices=[GPU("A100 MIG", "MIG-1", memory_gib=5), GPU("A100 MIG", "MIG-2", memory_gib=10)]
    )
    card(alike)
    found = set()
    for name in ("MIG-1", "MIG-2"):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", name)
        found.add(nvml.identity())
    assert found == {("A100 MIG", 5 << 10), ("A100 MIG", 10 << 10)}


def test_under_another_order_of_cuda_a_number_tells_nothing(card, monkeypatch):
    card(T4, A100)
    monkeypatch.setenv("CUDA_DEVICE_ORDER", "FASTEST_FIRST")
    assert nvml.facts() is None and not nvml.is_hidden()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-2222")
    assert nvml.facts()["name"] == "A100"


def test_every_process_with_an_engine_counts_gpus_as_nvml_does():
    code = "import os, segbench.engines.base; print(os.environ['CUDA_DEVICE_ORDER'])"
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "workflow_scripts")}
    environment.pop("CUDA_DEVICE_ORDER", None)
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "PCI_BUS_ID\n"


# The driver


def test_the_driver_is_the_one_that_nvml_names(card, tmp_path):
    card()
    assert cpu.nvidia_driver(tmp_path) == "535.104.05"
    assert nvml.cuda_version() == (12, 2)


def test_wsl2_has_a_driver_without_a_kernel_module(card, tmp_path, monkeypatch):
    card(driver=False)
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/dxg").touch()
    for has_library, expected in ((False, None), (True, "unknown")):
        monkeypatch.setattr(nvml, "has_libcuda", lambda has=has_library: has)
        assert cpu.nvidia_driver(tmp_path) == expected


def test_a_kernel_module_is_found_where_nvml_does_not_answer(card, tmp_path):
    card(driver=False)
    assert cpu.nvidia_driver(tmp_path) is None
    (tmp_path / "proc/driver/nvidia").mkdir(parents=True)
    (tmp_path / "proc/driver/nvidia/version").write_text("NVRM version: NVIDIA UNIX x86_64 Kernel Module  470.1  Thu\n")
    assert cpu.nvidia_driver(tmp_path) == "470.1"


# Engines


def test_an_old_driver_is_told_with_the_one_that_is_needed(card, monkeypatch):
    card(A100, version="550.54", cuda=12040)
    told = support(monkeypatch, "onnxruntime_cuda")
    assert told.reason == (
        "driver 550.54 serves CUDA 12.4; onnxruntime-gpu 1.31.1 needs CUDA 13.0: driver 580.65.06 or newer"
    )


def test_a_gpu_without_code_for_it_is_told_with_those_that_have(card, monkeypatch):
    card(GPU("V100", capability=(7, 0)), version="580.95", cuda=13000)
    told = support(monkeypatch, "onnxruntime_cuda")
    assert told.reason == (
        "onnxruntime-gpu 1.31.1 has no code for compute capability 7.0 (it has 7.5, 8.0, 8.6, 8.9, 9.0, 12.0)"
    )


def test_the_installed_version_decides(card, monkeypatch):
    card(GPU("V100", capability=(7, 0)), version="525.60.13", cuda=12000)
    assert support(monkeypatch, "tensorrt", tensorrt="8.5.3.1").ok
    assert "needs CUDA 13.0" in support(monkeypatch, "tensorrt", tensorrt="11.4.0.106").reason
    assert support(monkeypatch, "tensorrt", tensorrt="9.3.0").ok  # nothing is known of it: it will tell itself


def test_a_hidden_gpu_is_told(card, monkeypatch):
    card(A100, cuda=13000)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert support(monkeypatch, "onnxruntime_cuda").reason.startswith(
        "no GPU is visible: CUDA_VISIBLE_DEVICES hides it"
    )


@pytest.mark.parametrize(
    ("engine", "version", "capability", "expected"),
    [
        ("paddle_gpu", "2.6.2", (8, 9), True),  # 8.6's code
        ("paddle_gpu", "2.6.2", (9, 0), False),
        ("paddle_gpu", "2.6.2", (6, 0), False),
        ("tensorrt", "8.5.3.1", (9, 0), True),
        ("tensorrt", "8.5.3.1", (10, 0), False),
        ("onnxruntime_cuda", "1.31.1", (10, 0), False),
        ("tensorrt_rtx", "1.7.1.116", (12, 1), True),
    ],
)
def test_code_serves_later_gpus_of_its_generation_only(card, monkeypatch, engine, version, capability, expected):
    card(GPU(capability=capability), cuda=13000)
    assert support(monkeypatch, engine, **{base.load(engine).packages[0]: version}).ok == expected


def test_every_engine_on_nvidia_says_what_it_has_code_for():
    silent = [
        name
        for name in base.names()
        if base.load(name).device == "gpu" and not base.load(name).gpu_code and name != "openvino_gpu"
    ]
    assert silent == []


# The README's table

CARDS = {
    "V100": (7, 0), "T4": (7, 5), "A100": (8, 0), "A10": (8, 6), "L4, RTX 40": (8, 9), "H100": (9, 0),
    "B200": (10, 0), "RTX 50": (12, 0),
}  # fmt: skip


def test_the_readme_says_which_engine_runs_on_which_card_and_driver():
    """As the engines themselves do; printed here where it differs, to be pasted."""
    lines = [f"| engine | driver | {' | '.join(CARDS)} |", f"|---|---|{'---|' * len(CARDS)}"]
    for name in base.names():
        engine = base.load(name)
        for code in engine.gpu_code:
            cells = ["yes" if code.runs_on(capability) else "–" for capability in CARDS.values()]
            lines.append(
                f"| {f'`{name}` {code.release}'.strip()} | {base.DRIVERS[code.cuda[0]]} | {' | '.join(cells)} |"
            )
    found = re.search(r"^\| engine \| driver .*?(?=\n\n)", (ROOT / "README.md").read_text(), re.M | re.S)
    assert found and found.group(0) == "\n".join(lines), "\n".join(lines)
