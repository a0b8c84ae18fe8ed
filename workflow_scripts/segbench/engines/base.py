"""The protocol of an engine: one file of this folder with an `ENGINE` object.

The framework is imported inside functions, so that an engine's facts can be read where it is not installed. An
exception of the framework that means "not here" becomes `Unsupported`, one that means "could not" becomes `Failed`.
Every other exception is a bug of SegBench and stays one.
"""

from __future__ import annotations

import importlib
import os
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from segbench import plugins
from segbench.arrays import ClassMap, Float32Image, Logits
from segbench.config.options import NoOptions, Variant
from segbench.errors import Failed, Unsupported
from segbench.machine import nvml
from segbench.machine.cpu import Machine, package_version
from segbench.models.exported import ExportedModel

if TYPE_CHECKING:  # this is imported where no array is
    import numpy.typing as npt

SIXTEEN_BIT_FLAGS = {
    "bf16": frozenset({"avx512_bf16", "amx_bf16"}),
    "fp16": frozenset({"avx512_fp16", "amx_fp16"}),
}


FOR_BUILDS = ("onnx",)  # of an engine's modules, those that opening an engine does without

# The oldest driver that serves any CUDA of a major version (NVIDIA: CUDA Compatibility, minor version compatibility).
DRIVERS = {11: "450.80.02", 12: "525.60.13", 13: "580.65.06"}


class GPUCode(NamedTuple):
    """What a release of a GPU engine's packages runs on. `release`: how the version of `packages[0]` begins, "" for
    any; `capabilities`: the compute capabilities that it has machine code for, which also serves later ones of the same
    major number; `cuda`: what the driver has to serve at least."""

    release: str
    capabilities: tuple[tuple[int, int], ...]
    cuda: tuple[int, int]

    def runs_on(self, capability: tuple[int, int]) -> bool:
        """Whether any of the code is for this GPU."""
        return any(capability[0] == major and capability[1] >= minor for major, minor in self.capabilities)

    def is_of(self, version: str) -> bool:
        """Whether this is what `version` of the package has."""
        return not self.release or f"{version}.".startswith(f"{self.release}.")


class Support(NamedTuple):
    """Whether a variant can run here, why not, and the command that fixes it where there is one."""

    ok: bool
    reason: str = ""
    mend: str = ""


YES = Support(True)


def none_in_int8(fp32_layers: int, otherwise: str) -> Failed:
    """Return the failure of a quantised engine that computes nothing in 8 bits. `fp32_layers`: how many layers
    `calibration.max_drop` keeps in FP32; where there are none, `otherwise` says what the engine did.
    """
    if fp32_layers:
        kept = f"calibration.max_drop keeps {fp32_layers} layer(s) in FP32, and no other gains from 8 bits"
        otherwise = f"{kept}: raise it, or give null, which leaves them in INT8"
    return Failed(f"no layer runs in INT8: {otherwise}")


class Session(Protocol):
    """An opened engine. The clock stands outside, around these calls."""

    def upload(self, image: Float32Image) -> None:
        """Bring one 1×3×H×W image to the device, or a batch of N×3×H×W."""

    def execute(self) -> None:
        """Run the network on it."""

    def synchronize(self) -> None:
        """Wait until the device has finished."""

    def download(self) -> ClassMap | Logits:
        """Bring the H×W class map back, as an array of its own, or those of a batch, N×H×W; from an engine that ends in
        them, C×H×W logits.
        """


def run_once(session: Session, image: Float32Image) -> Any:
    """Run one 1×3×H×W image outside of any clock. Return what the session makes of it: a class map, or logits."""
    session.upload(image)
    session.execute()
    session.synchronize()
    return session.download()


class LayerTimes(NamedTuple):
    """How long one executed node of an engine took in each run. Texts are in the engine's own words; "": it does not
    tell.
    """

    name: str
    kind: str  # operator
    kernel: str
    precision: str  # of its arithmetic: fp32, int8, …
    stands_for: tuple[str, ...]  # what of the model was fused into it, itself included
    seconds: tuple[float, ...]  # one for each run


class ProfiledSession(Session, Protocol):
    """A session whose engine times its own nodes. That costs time too, so no latency comes from it."""

    def layers(self) -> list[LayerTimes]:
        """End the session. Return the executed nodes in running order, with their times in every run so far."""


class TensorSession(Session, Protocol):
    """A session of a piece of a network, which has as many inputs and outputs as it needs."""

    def run(self, tensors: Mapping[str, npt.NDArray[Any]]) -> list[npt.NDArray[Any]]:
        """Run the piece on its inputs, by name. Return all outputs, in its order."""


class Engine(ABC):
    """One inference engine on one device."""

    device: str = "cpu"  # or "gpu"; it belongs to the engine, and no detection switches it
    accelerated: bool = True  # False for the framework's plain native path
    precisions: tuple[str, ...] = ("fp32",)
    environment: str = "envs/cpu.yaml"  # the file that pins its packages
    install: str = "make env"  # the command that installs them
    packages: tuple[str, ...] = ()  # distributions whose versions make up its fingerprint
    modules: tuple[str, ...] = ()  # what of the framework it imports, in this order
    scenarios: tuple[str, ...] = ()  # what it can beside one image after the other: "batch", "streams"
    calibrators: tuple[str, ...] = ()  # libraries whose calibration its INT8 is built from, or ANY_TABLE
    table_judge: str = "onnxruntime"  # runtime that judges what a table costs here (rule choose_layers)
    reads: tuple[str, ...] = ("paddle", "onnx")  # forms of a model that it builds from, best first
    falls_back: tuple[str, ...] = ()  # forms that it tries where it cannot read that one, and the model has them
    build_options: type = NoOptions  # dataclasses of the options that config may set, with defaults
    run_options: type = NoOptions
    venv: str = ""  # folder of its own virtual environment, used where it exists; "": Snakemake's
    gpu_code: tuple[GPUCode, ...] = ()  # NVIDIA's GPUs that its releases run on
    runs_pieces: bool = False  # whether pieces of its network run on it, which tells where its class maps go wrong
    needs_shapes: bool = False  # whether it builds from the shapes that `collect_shapes` writes
    leaves_passes_out: bool = (
        False  # whether its class maps are right without the passes that `find_wrong_passes` finds
    )
    has_cache: bool = False  # whether it can keep what opening makes, so that the next process opens it faster

    def supports(self, variant: Variant, machine: Machine) -> Support:
        """Return yes, or a reason why not that a person can act on. This imports no framework."""
        gpu = has_nvidia_gpu(self, machine) if self.device == "gpu" else YES
        return first_no(has_precision(self, variant), has_packages(self), gpu)

    def child_variables(self) -> dict[str, str]:
        """Environment variables that its process has to start with, beside the shell's."""
        return {}

    def can_build(self, variant: Variant, machine: Machine) -> Support:
        """Do what `supports` does for the build alone. Some engines are built without the device that runs them."""
        return self.supports(variant, machine)

    def import_framework(self, building: bool = True) -> None:
        """Import what building and running will, or running alone: every library that it is linked with has to be
        there.
        """
        for module in self.modules:
            if building or module not in FOR_BUILDS:
                importlib.import_module(module)

    def with_cache(self, options: dict[str, Any], folder: Path | None) -> dict[str, Any]:
        """Return run options by which opening keeps what it makes, in `folder` where it can be anywhere; None: it keeps
        and finds nothing. An engine that `has_cache` has this.
        """
        raise NotImplementedError

    def calibration_fault(self, options: Any, calibration: Any) -> str:
        """Say why a build with `options` cannot use the result of a calibrator with options `calibration`. Empty: it
        can.
        """
        return ""

    @abstractmethod
    def build(
        self, model: ExportedModel, calibration: Path | None, variant: Variant, options: Any, out: Path
    ) -> dict[str, Any]:
        """Make folder `out` with the serialized engine. Return facts for its record.

        `calibration` is the folder that the calibrator wrote: `table.json` and `layers.*.json`, or `quantized/`.
        """

    @abstractmethod
    def open(self, engine: Path, variant: Variant, options: Any, threads: int) -> Session:
        """Open a built engine. This never builds one."""

    def open_streams(self, engine: Path, variant: Variant, options: Any, threads: int) -> list[Session]:
        """Open a built engine as `variant.streams` sessions, which run at the same time and share `threads` threads."""
        raise Unsupported(no_scenario(self, variant))

    def open_profiled(self, engine: Path, variant: Variant, options: Any, threads: int) -> ProfiledSession:
        """Open a built engine as `open` does, with its own profiler on."""
        raise Unsupported(f"engine {variant.engine} gives SegBench no times of its layers")

    def network(self, engine: Path, model: ExportedModel, calibration: Path | None, work: Path) -> Path:
        """Return the network that `engine` was built from, or is, in a form that `models/pieces.py` cuts. One that has
        to be made is made in `work`. An engine that `runs_pieces` has this and `open_piece`.
        """
        raise NotImplementedError

    def open_piece(
        self, piece: Path, variant: Variant, build_options: Any, run_options: Any, threads: int
    ) -> TensorSession:
        """Open a piece of `network` as the engine itself was built and opened. It lies in a folder of its own."""
        raise NotImplementedError


def own_interpreter(engine: str) -> str | None:
    """Return the Python of the environment that `make` has made for an engine. None: there is none."""
    return interpreter_in(load(engine).venv)


def interpreter_in(venv: str) -> str | None:
    """Return the Python of a virtual environment. None: there is none."""
    python = f"{venv}/bin/python"
    return python if venv and os.path.exists(python) else None


def load(name: str) -> Engine:
    """Return the engine of file `segbench/engines/{name}.py`."""
    engine: Engine = plugins.load("segbench.engines", "ENGINE", name)
    return engine


def names() -> list[str]:
    """Return all engines: the files of this folder that define one."""
    return plugins.names("segbench.engines", "ENGINE")


def exists(name: str) -> bool:
    """Return whether there is an engine of that name."""
    return plugins.exists("segbench.engines", "ENGINE", name)


def has_packages(engine: Engine) -> Support:
    """Check that the engine's packages are installed. The reason names the first missing one and the file that pins
    it.
    """
    for package in engine.packages:
        if package_version(package) is None:
            reason = f"package {package} is not installed (pinned in {engine.environment})"
            return Support(False, reason, engine.install)
    return YES


def has_scenario(engine: Engine, variant: Variant) -> Support:
    """Check that the engine can run images in the variant's way."""
    if variant.scenario in ("single", *engine.scenarios):
        return YES
    return Support(False, no_scenario(engine, variant))


def no_scenario(engine: Engine, variant: Variant) -> str:
    """Return the reason of a variant whose engine cannot run images in its way."""
    able = ", ".join(name for name in names() if variant.scenario in load(name).scenarios)
    asked = f"batch: {variant.batch}" if variant.batch > 1 else f"streams: {variant.streams}"
    return f"engine {variant.engine} has no way to run {asked} in SegBench yet ({able} can)"


def has_precision(engine: Engine, variant: Variant) -> Support:
    """Check that the engine has the variant's precision at all."""
    if variant.precision in engine.precisions:
        return YES
    return Support(False, f"engine {variant.engine} has no {variant.precision} (it has {', '.join(engine.precisions)})")


def has_nvidia_gpu(engine: Engine, machine: Machine) -> Support:
    """Whether there is an NVIDIA GPU that the engine's packages have code for, and a driver that serves their CUDA.

    Facts that NVML does not report, or that are not known of a release, are no reason. The library checks on opening.
    """
    if not machine.nvidia_driver:
        return Support(False, "no NVIDIA driver")
    if nvml.is_hidden():
        return Support(False, "no GPU is visible: CUDA_VISIBLE_DEVICES hides it, or the container was given none")
    package = engine.packages[0]
    version = package_version(package) or ""
    code = next((code for code in engine.gpu_code if code.is_of(version)), None)
    if code is None:
        return YES
    driver, capability = nvml.cuda_version(), nvml.compute_capability()
    if driver is not None and driver < code.cuda:
        needs = f"{package} {version} needs CUDA {_dotted(code.cuda)}: driver {DRIVERS[code.cuda[0]]} or newer"
        return Support(False, f"driver {machine.nvidia_driver} serves CUDA {_dotted(driver)}; {needs}")
    if capability is not None and not code.runs_on(capability):
        has = f"compute capability {_dotted(capability)} (it has {', '.join(map(_dotted, code.capabilities))})"
        return Support(False, f"{package} {version} has no code for {has}")
    return YES


def _dotted(version: tuple[int, int]) -> str:
    return f"{version[0]}.{version[1]}"


def has_instructions(variant: Variant, machine: Machine) -> Support:
    """Check that the CPU computes in the variant's 16-bit format, and does not only convert from and to it."""
    wanted = SIXTEEN_BIT_FLAGS.get(variant.precision, frozenset())
    if not wanted or wanted & machine.cpu_flags:
        return YES
    name = variant.precision.upper()
    return Support(False, f"this CPU has no {name} arithmetic (none of {', '.join(sorted(wanted))})")


def first_no(*answers: Support) -> Support:
    """Return the first refusal among `answers`, else yes."""
    return next((answer for answer in answers if not answer.ok), YES)
