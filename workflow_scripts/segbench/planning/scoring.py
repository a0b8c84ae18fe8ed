"""Look-ups of rules/scoring.smk: the reference of class maps, and the bounds of agreement."""

from __future__ import annotations

import json
import os
from typing import Any

from segbench.calibration.base import OF_MODEL
from segbench.config.schema import forms_of
from segbench.images import shards
from segbench.planning.lookup import Lookup, options

PREPROCESSING = "results/preprocessing/{dataset}/{model}.json"
NATIVE = {  # by a model's form
    "paddle": "paddle-fp32",
    "paddle3": "paddle3-fp32",
    "onnx": "onnxruntime-fp32",
    "openvino": "openvino-fp32",
}


def searched(config: dict[str, Any]) -> list[str]:
    """Return the records of the search for a better preprocessing: of each chosen model that a person brings, with
    trained weights, in a form that the search runs.
    """
    catalogue = {name: config["model_catalogue"][name] for name in config["models"]}
    own = [name for name, entry in catalogue.items() if entry["kind"] != "narrow" and entry["weights"] != "random"]
    return [
        PREPROCESSING.format(dataset=config["dataset"], model=name)
        for name in own
        if forms_of(catalogue[name])[0] not in ("paddle3", "openvino")
    ]


class Scoring(Lookup):
    """The reference is a chosen variant, a variant that runs for it alone, or a stored file. That of a quantised model
    is its float sibling's.
    """

    def reference_name(self, w: Any) -> str:
        """Return the variant, or file of stored predictions, that class maps are compared with; MODEL/VARIANT where it
        is a variant of another model.
        """
        sibling = self.model(w)["float_model"]
        model = sibling or w.model
        native = NATIVE[forms_of(self.config["model_catalogue"][model])[0]]
        name = str(self.config["reference"] or native).format(dataset=w.dataset, model=model)
        return f"{sibling}/{name}" if sibling and not name.endswith(".zip") else name

    def reference_files(self, w: Any) -> dict[str, str]:
        """Return predictions and status of the reference: the pass of a chosen variant (the same shard of it), a pass
        of its own, or a stored file.

        A missing stored file is no input. The script then reports it, while Snakemake would keep the old scores.
        """
        name = self.reference_name(w)
        if name.endswith(".zip"):
            return {"reference": name} if os.path.exists(name) else {}
        sibling, _, variant = name.rpartition("/")
        model = sibling or w.model
        here = f"{w.dataset}/{model}/{variant}"
        run = f"results/predictions/{here}/{getattr(w, 'shard', shards.WHOLE)}"
        is_row = variant in self.config["variants"] and (not sibling or sibling in self.config["models"])
        folder = run if is_row else f"results/references/{here}"
        return {"reference": f"{folder}/predictions.zip", "reference_status": f"{folder}/status.json"}

    def single_files(self, w: Any) -> dict[str, str]:
        """Return predictions, status and score of the chosen variant that is the row's and runs one image after the
        other: what has the same class maps has the same score. None for such a variant itself.
        """
        name = self.base_variant(w.variant)
        if name == w.variant or name not in self.config["variants"]:
            return {}
        shard, here = getattr(w, "shard", ""), f"{w.dataset}/{w.model}/{name}"
        run = f"results/predictions/{here}/{shard or shards.WHOLE}"
        score = f"results/scores/{here}/{shard}.json" if shard else f"results/scores/{here}.json"
        return {"single": f"{run}/predictions.zip", "single_status": f"{run}/status.json", "single_score": score}

    def compared_files(self, w: Any) -> dict[str, str]:
        """Return all files that class maps are compared with."""
        return {**self.reference_files(w), **self.single_files(w)}

    def reference_arguments(self, w: Any) -> list[str]:
        """Return the arguments of the scoring script that name the reference, and the row of single images."""
        return options(**(self.reference_files(w) or {"reference": self.reference_name(w)}), **self.single_files(w))

    def score_of_first(self, w: Any) -> str:
        """Return the score that tells whether a model's preprocessing is searched: that of its reference where it is a
        row, else of its first row in FP32 (of a quantised model, as it is), else of its first.
        """
        chosen, entries = self.config["variants"], self.config["variant_catalogue"]
        key, value = ("calibrator", OF_MODEL) if self.model(w)["float_model"] else ("precision", "fp32")
        full = [name for name in chosen if entries[name][key] == value]
        first = next(name for name in (self.reference_name(w), *full, *chosen) if name in chosen)
        return f"results/scores/{w.dataset}/{w.model}/{first}.json"

    def ignored_pixels(self, w: Any) -> str:
        """Return how the data set's scores treat ignored pixels."""
        return str(self.config["dataset_catalogue"][w.dataset]["ignored_pixels"])

    def boundary_width(self, w: Any) -> str:
        """Return the width of boundaries as JSON: a share of the image's diagonal, or null."""
        return json.dumps(self.config["dataset_catalogue"][w.dataset]["boundary_width"])

    def objects(self, w: Any) -> str:
        """Return which objects are counted as JSON, or null."""
        return json.dumps(self.config["dataset_catalogue"][w.dataset]["objects"])

    def agreement_bounds(self, w: Any) -> list[str]:
        """Return the arguments of the scoring scripts with the bounds below which the variant gets a warning."""
        classes = self.config["class_agreement_bounds"][self.variant(w)["precision"]]
        return options(agreement_bound=str(self.pixel_bound(w)), class_agreement_bound=str(classes))

    def pixel_bound(self, w: Any) -> float:
        """Return the share of pixels with the reference's class below which the variant gets a warning."""
        bound: float = self.config["agreement_bounds"][self.variant(w)["precision"]]
        return bound

    def shard(self, w: Any) -> str:
        """Return the shard that is scored, or the whole where the job has no shard."""
        return str(w.get("shard", shards.WHOLE))

    def shards(self) -> list[str]:
        """Return the pattern of the score of every shard of a row."""
        folder = "results/scores/{dataset}/{model}/{variant}"
        return [f"{folder}/{name}.json" for name in shards.names(self.config["shards"])]
