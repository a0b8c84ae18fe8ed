"""The protocol of a calibrator: one file of this folder with a `CALIBRATOR` object, named after its library.

A calibrator that writes a table (ranges of activations, `table.py`) serves every engine that builds from ONNX. One that
writes a quantised model, or its own tables, serves the engine that needs them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from segbench import plugins
from segbench.config.options import NoOptions
from segbench.errors import InputError, Unsupported
from segbench.files import read_json, sha256_of
from segbench.machine.cpu import Machine, package_version
from segbench.models.exported import ExportedModel

if TYPE_CHECKING:  # rules look calibrators up: nothing heavy is imported for that
    from segbench.calibration.images import CalibrationImages
    from segbench.calibration.judging import HeldOut

TABLE = "table.json"
JUDGE = "onnxruntime"  # judges what a table costs, for engines whose own runtime does not
QUANTIZED = "quantized"
ANY_TABLE = "any table"  # an engine that takes this builds from the table of any calibrator
# What stands for a calibrator where a model is quantised already. An engine that takes this runs such a model as it is.
OF_MODEL = "model"
# Without one of these, a CPU sums products of 8-bit numbers in pairs to 16 bits, where they may saturate.
DOT_PRODUCT_FLAGS = frozenset({"avx512_vnni", "avx_vnni", "amx_int8"})


@dataclass(frozen=True)
class Task:
    """The input of a calibrator: the exported model, the images to see, and images to judge the result by."""

    model: ExportedModel
    images: CalibrationImages
    held_out: HeldOut
    max_drop: float | None  # mIoU that the result may lose on `held_out`; None: not judged, all layers stay INT8
    reduce_range: bool  # 7-bit weights
    cache: Path  # folder for unfinished work
    left_out: tuple[str, ...] = ()  # graph passes that the judging engine leaves out
    fp32_layers: tuple[str, ...] = ()  # layers of a quantised model that stay in FP32 without being judged


class Operator(NamedTuple):
    """An operator of a network that was calibrated. `layer` names it where it is quantised ("": it is not), so that it
    can stay in FP32. An engine's profiler calls it, or what it was fused into, by one of `names`.
    """

    layer: str
    names: tuple[str, ...]


class Calibrator(ABC):
    """One library that calibrates."""

    packages: tuple[str, ...]
    reads: tuple[str, ...]  # forms of a model that it calibrates, best first
    falls_back: tuple[str, ...] = ()  # forms that it tries where it cannot read that one, and the model has them
    leaves_table: bool = False
    folder: str = QUANTIZED  # its output without a table: a model, or tables that the engine needs beside the model
    engine: str = ""  # the engine whose interpreter it works in; "": Snakemake's
    leaves_passes_out: bool = False  # whether its judge needs what `find_wrong_passes` finds
    options: type = NoOptions  # dataclass of the options that config may set, with defaults

    @property
    def keeps_layers(self) -> bool:
        """Return whether single layers can stay in FP32 with what it makes."""
        return self.leaves_table or self.folder == QUANTIZED

    @abstractmethod
    def calibrate(self, task: Task, options: Any, out: Path) -> dict[str, Any]:
        """Fill folder `out` with `table.json` or the quantised model's files. Return facts for the record."""

    def operators(self, model: ExportedModel, calibration: Path, work: Path) -> list[Operator]:
        """Return the operators in the graph's order. `calibration` is the folder that was written; `work` is empty."""
        raise Unsupported(f"calibrator library {type(self).__name__} keeps no layers in FP32")

    def child_variables(self) -> dict[str, str]:
        """Environment variables that its process has to start with, beside the shell's."""
        return {}

    def missing(self) -> str:
        """Say why the calibrator cannot run here; empty when it can. This imports no framework."""
        lacking = next((name for name in self.packages if package_version(name) is None), None)
        return f"package {lacking} is not installed (pinned in envs/cpu.yaml)" if lacking else ""


def load(library: str) -> Calibrator:
    """Return the calibrator of file `segbench/calibration/{library}.py`."""
    calibrator: Calibrator = plugins.load("segbench.calibration", "CALIBRATOR", library)
    return calibrator


def names() -> list[str]:
    """Return all calibrators: the files of this folder that define one."""
    return plugins.names("segbench.calibration", "CALIBRATOR")


def exists(name: str) -> bool:
    """Return whether there is a calibrator of that name."""
    return plugins.exists("segbench.calibration", "CALIBRATOR", name)


def fits(library: str, taken: Collection[str]) -> bool:
    """Return whether an engine that takes `taken` (names of libraries, or ANY_TABLE) can use a calibrator's result."""
    return library in taken or (ANY_TABLE in taken and load(library).leaves_table)


def layers_file(runtime: str = JUDGE) -> str:
    """Name the file beside a table with the layers that stay in FP32, as this runtime judged it."""
    return f"layers.{runtime}.json"


def needs_reduced_range(machine: Machine) -> bool:
    """Return whether weights need 7 bits on this CPU, since it lacks the instructions that sum to 32 bits."""
    return not machine.cpu_flags & DOT_PRODUCT_FLAGS


def open_calibration(status: str, model: ExportedModel) -> Path | None:
    """Check the folder of a calibration; None for ''. Raises InputError when it is damaged or of another model."""
    if not status:
        return None
    folder, record = Path(status).parent, read_json(status)
    if record["model_digest"] != model.digest:
        raise InputError(f"{status}: is the calibration of another model (its files differ); delete {folder}")
    for name, digest in record["manifest"].items():
        places = (folder / name, folder / "quantized" / name, folder / "tables" / name)
        path = next((place for place in places if place.exists()), places[0])
        if not path.exists() or sha256_of(path) != digest:
            raise InputError(f"{path}: damaged or missing (not the recorded SHA-256); delete {folder} and run again")
    return folder
