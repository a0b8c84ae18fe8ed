"""Look-ups of rules/engines.smk: the files that an engine is built from, and its options."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from segbench.calibration.base import OF_MODEL, QUANTIZED, TABLE, layers_file
from segbench.planning.lookup import Lookup, options
from segbench.planning.models import Models

ENGINE = "results/engines/{dataset}/{model}/{variant}"
LOGITS = f"{ENGINE}/logits"  # of the second engine, where images are resized to the model's input


class Engines(Lookup):
    """An engine is built from an exported model, from a calibrator's quantised model, or from a model and ranges."""

    def __init__(self, config: dict[str, Any], models: Models) -> None:
        super().__init__(config)
        self._models = models

    def identity(self, w: Any) -> str:
        """Return name, engine and precision of the variant, which identify it, and how it runs images where it does not
        run one after the other.
        """
        variant = self.variant(w)
        facts = {"name": w.variant, "engine": variant["engine"], "precision": variant["precision"]}
        return json.dumps(facts | {key: variant[key] for key in ("batch", "streams") if key in variant})

    def variant_options(self, kind: str) -> Callable[[Any], str]:
        """Return a look-up of the variant's `build` or `run` options by wildcard."""
        return lambda wildcards: json.dumps(self.variant(wildcards)[kind])

    def files(self, w: Any) -> list[str]:
        """Return the exported files that the engine builds from: its preferred form among those that the model has."""
        calibrator = self.variant(w)["calibrator"]
        if calibrator in (None, OF_MODEL):
            return self._models.with_fallback(w, self.engine(w))
        library = self.library(calibrator)
        if library.leaves_table:
            return self._models.files(w, ("onnx",))
        return [] if library.folder == QUANTIZED else self._models.files(w, self.engine(w).reads)

    def conversion(self, w: Any) -> str | list[str]:
        """Return the status of the conversion to ONNX, where the engine builds from its result."""
        return self._models.conversion(w, self.files(w))

    def shapes(self, w: Any) -> str | list[str]:
        """Return the status of the collection of shapes, where the engine builds from them."""
        return self._models.shapes(w) if self.engine(w).needs_shapes else []

    def passes(self, w: Any) -> str | list[str]:
        """Return the record of the graph passes that the engine has to leave out, where it can."""
        return self._models.wrong_passes(w) if self.engine(w).leaves_passes_out else []

    def calibration(self, w: Any) -> list[str]:
        """Return the files that the variant's calibrator writes, its status first; none without a calibrator."""
        name = self.variant(w)["calibrator"]
        if name in (None, OF_MODEL):
            return []
        folder, library = f"results/calibration/{w.dataset}/{w.model}/{name}", self.library(name)
        results = [TABLE, layers_file(self.engine(w).table_judge)] if library.leaves_table else [library.folder]
        return [f"{folder}/{file}" for file in ("status.json", *results)]

    def calibration_argument(self, w: Any) -> list[str]:
        """Return the argument that names the status of the variant's calibration; none without a calibrator."""
        return options(calibration=next(iter(self.calibration(w)), ""))

    def more(self, w: Any) -> list[str]:
        """Return the arguments of the build script that only some engines need: a conversion, a calibration, shapes,
        wrong passes.
        """
        calibration = next(iter(self.calibration(w)), "")
        beside = {"shapes": self.shapes(w), "passes": self.passes(w)}
        return options(twin=self.conversion(w), calibration=calibration, **beside)

    def more_with_logits(self, w: Any) -> list[str]:
        """Return the same arguments for the engine that ends in logits."""
        return ["--logits", *self.more(w)]

    def logits(self, w: Any) -> dict[str, str]:
        """Return folder and status of the engine that ends in logits; none for a model that resizes no image."""
        if not self._models.may_resize(w):
            return {}
        folder = LOGITS.format(dataset=w.dataset, model=w.model, variant=w.variant)
        return {"logits": f"{folder}/engine", "logits_status": f"{folder}/status.json"}

    def logits_arguments(self, w: Any) -> list[str]:
        """Return the arguments of the accuracy pass that name this engine."""
        return options(**self.logits(w))

    def gpus(self, w: Any) -> int:
        """Allow one build at a time on a GPU, where kernels are chosen by their times."""
        return int(self.engine(w).device == "gpu")
