"""Look-ups of rules/calibration.smk: the files that a calibrator reads, and the settings that it depends on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from segbench.calibration import base
from segbench.images.index import summary_of
from segbench.machine.cpu import package_version, this_machine
from segbench.planning.jobs import Jobs
from segbench.planning.lookup import Lookup, any_of, options
from segbench.planning.models import Models


class Calibration(Lookup):
    """A calibrator writes a table, which every engine that builds from ONNX takes, or a folder for one engine."""

    def __init__(self, config: dict[str, Any], jobs: Jobs, models: Models) -> None:
        super().__init__(config)
        self._jobs, self._models = jobs, models

    def names(self, table: bool, folder: str = base.QUANTIZED) -> str:
        """Return a wildcard pattern for the calibrators that write a table, or for those that write `folder`."""
        libraries = {name: self.library(name) for name in self.config["calibrator_catalogue"]}
        return any_of([n for n, it in libraries.items() if it.leaves_table == table and (table or it.folder == folder)])

    def index(self, w: Any) -> str:
        """Return the index of the training images, with labels where the calibrator measures the loss itself."""
        library = self.library(w.calibrator)
        measures = not library.leaves_table and library.folder == base.QUANTIZED
        return f"results/data/{w.dataset}/calibration/{'index' if measures else 'images'}.csv"

    def summary(self, w: Any) -> str:
        """Return the record beside the index of the training images."""
        return str(summary_of(Path(self.index(w))))

    def files(self, w: Any) -> list[str]:
        """Return the exported files that the calibrator reads: its preferred form among those that the model has."""
        return self._models.with_fallback(w, self.library(w.calibrator))

    def onnx(self, w: Any) -> list[str]:
        """Return the ONNX file that a table belongs to; none for a model of another form: the calibration says why."""
        return self._models.files(w, ("onnx",))

    def conversion(self, w: Any) -> str | list[str]:
        """Return the status of the conversion to ONNX, where the calibrator reads its result."""
        return self._models.conversion(w, self.files(w))

    def shapes(self, w: Any) -> str | list[str]:
        """Return the status of the collection of shapes, where the calibrator works in an engine that needs them."""
        return self._models.shapes(w) if self.library(w.calibrator).engine else []

    def passes(self, w: Any) -> str | list[str]:
        """Return the record of the graph passes that the calibrator's judge has to leave out."""
        return self._models.wrong_passes(w) if self.library(w.calibrator).leaves_passes_out else []

    def more(self, w: Any) -> list[str]:
        """Return the arguments of the calibration script that only some calibrators need: a conversion, shapes, wrong
        passes.
        """
        beside = {"shapes": self.shapes(w), "passes": self.passes(w), "fp32_layers": self.fp32_layers_of_model(w)}
        return options(twin=self.conversion(w), **beside)

    def fp32_layers(self, w: Any) -> str | list[str]:
        """Return the file of the layers that stay in FP32 whatever they lose, where the entry names one."""
        return self.calibrator(w)["fp32_layers"].get(w.model, [])

    def fp32_layers_of_model(self, w: Any) -> str | list[str]:
        """Return this file where the calibrator quantises the model itself. No table depends on it."""
        return [] if self.library(w.calibrator).leaves_table else self.fp32_layers(w)

    def fp32_layers_argument(self, w: Any) -> list[str]:
        """Return the argument that names this file."""
        return options(fp32_layers=self.fp32_layers(w))

    def interpreter(self, w: Any) -> str:
        """Return the Python that the calibrator works in."""
        engine = self.library(w.calibrator).engine
        return self._jobs.interpreter_of(engine) if engine else "python"

    def entry(self, w: Any) -> str:
        """Return the calibrator's entry with its name."""
        entry = self.calibrator(w)
        return json.dumps({"name": w.calibrator, "library": entry["library"], "options": entry["options"]})

    def settings_without_loss(self, w: Any) -> str:
        """Return the settings that ranges depend on. The accepted loss is not one of them."""
        section = self.config["calibration"]
        return json.dumps({"images": section["images"], "seed": section["seed"], "max_drop": None})

    def fingerprint(self, w: Any) -> str:
        """Return the versions of the library's packages, and whether this CPU needs 7-bit weights; or an engine's
        fingerprint.
        """
        library = self.library(w.calibrator)
        if library.engine:
            return self._jobs.fingerprint_of(library.engine)
        versions = {name: package_version(name) for name in library.packages}
        facts = {"versions": versions, "reduce_range": base.needs_reduced_range(this_machine())}
        return self.config["fingerprint"] or json.dumps(facts, sort_keys=True)
