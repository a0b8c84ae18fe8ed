"""Look-ups of rules/explain.smk and rules/diverge.smk: which pairs of variants are explained, and into which files, as
well as those of rules/cold_start.smk.
"""

from __future__ import annotations

from segbench.calibration.base import OF_MODEL
from segbench.config.options import SCENARIO
from segbench.planning.lookup import Lookup

LAYERS = "results/layers/{dataset}/{model}/{variant}.json"
STAGES = "results/stages/{dataset}/{model}/{variant}.json"
EXPLAINED = "results/explain/{dataset}/{model}/{variant}--{other}"
STARTS = "results/cold_start/{dataset}/{model}/{variant}.json"
PARTED = "results/diverge/{dataset}/{model}/{variant}"


class Explain(Lookup):
    """A pair goes from `variant` to `other`."""

    def pairs(self) -> list[tuple[str, str]]:
        """Return the pairs: the first FP32 variant of an engine and each of its INT8 variants (but for models that are
        quantised already, which have no row in FP32), then those that `comparison.pairs` names.
        """
        chosen = {name: self.config["variant_catalogue"][name] for name in self.config["variants"]}
        entries = {name: entry for name, entry in chosen.items() if not entry.keys() & SCENARIO.keys()}
        fp32: dict[str, str] = {}
        for name, entry in entries.items():
            if entry["precision"] == "fp32":
                fp32.setdefault(entry["engine"], name)
        quantised = [
            (fp32[entry["engine"]], name)
            for name, entry in entries.items()
            if entry["precision"] == "int8" and entry["engine"] in fp32 and entry["calibrator"] != OF_MODEL
        ]
        named = [(first, second) for first, second in self.config["comparison"]["pairs"]]
        return list(dict.fromkeys([*quantised, *named]))

    def said(self) -> list[str]:
        """Return the records of every pair of every chosen model."""
        return [
            f"{EXPLAINED}.json".format(dataset=self.config["dataset"], model=model, variant=first, other=second)
            for model in self.config["models"]
            for first, second in self.pairs()
        ]
