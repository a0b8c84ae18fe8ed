"""Look-ups of rules/mixed_precision.smk: an INT8 row, the same row with groups of layers in FP32, and their pairs."""

from __future__ import annotations

import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from segbench.calibration.base import QUANTIZED
from segbench.config.options import SCENARIO
from segbench.errors import InputError
from segbench.files import read_json
from segbench.planning.calibration import Calibration
from segbench.planning.code import modules_of
from segbench.planning.comparison import Comparison
from segbench.planning.engines import ENGINE, Engines
from segbench.planning.explain import LAYERS
from segbench.planning.inference import round_settings
from segbench.planning.lookup import Lookup, any_of, options

MIXED = "results/mixed_precision/{dataset}/{model}/{variant}"
MIX = f"{MIXED}/{{mix}}"  # the row with the layers of one group in FP32, or those of the chosen mix
INT8, FP32, CHOSEN = "int8", "fp32", "chosen"  # the row as it is, that of its engine in FP32, and the chosen mix
WHOLE = (f"{INT8}--{FP32}", f"{INT8}--{CHOSEN}", f"{FP32}--{CHOSEN}")  # pairs, beside that of each group


class MixedPrecision(Lookup):
    """The wildcards `mix`, `first` and `second` are INT8, FP32, CHOSEN or a group."""

    def __init__(
        self, config: dict[str, Any], calibration: Calibration, engines: Engines, comparison: Comparison
    ) -> None:
        super().__init__(config)
        self._calibration, self._engines, self._comparison = calibration, engines, comparison
        self.groups = [f"group{number}" for number in range(1, config["mixed_precision"]["groups"] + 1)]

    def names(self, table: bool | None = None) -> str:
        """Return a wildcard pattern for INT8 variants whose calibrator can keep layers in FP32: those with a table,
        those with a quantised model, or both.
        """
        found = []
        for name, entry in self.config["variant_catalogue"].items():
            known = entry["calibrator"] in self.config["calibrator_catalogue"]  # a model's own INT8 has none
            library = self.library(entry["calibrator"]) if known else None
            if (
                library
                and not entry.keys() & SCENARIO.keys()
                and library.keeps_layers
                and table in (None, library.leaves_table)
            ):
                found.append(name)
        return any_of(found)

    def calibrated(self, of: Callable[[Any], Any]) -> Callable[[Any], Any]:
        """Return a look-up of `planning.calibration` for the calibrator of the job's variant."""
        return lambda w: of(SimpleNamespace(**vars_of(w), calibrator=self.variant(w)["calibrator"]))

    def code(self, script: str) -> dict[str, Any]:
        """Return the script, and the modules that it imports with the calibrator of the job's variant."""

        def modules(w: Any) -> list[str]:
            return modules_of(script, f"calibration/{self.library_name(w)}.py")

        return {"script": f"workflow_scripts/{script}", "modules": modules}

    # What is built

    def fp32(self, w: Any) -> Any:
        """Return the wildcards of the row of the same engine in FP32, a chosen one first."""
        catalogue, engine = self.config["variant_catalogue"], self.variant(w)["engine"]
        for name in (*self.config["variants"], *catalogue):
            if (catalogue[name]["engine"], catalogue[name]["precision"]) == (engine, "fp32"):
                return SimpleNamespace(**{**vars_of(w), "variant": name})
        raise InputError(f"variant_catalogue: has no variant of engine {engine} in fp32 to compare {w.variant} with")

    def profile(self, w: Any) -> str:
        """Return the times of the layers in FP32."""
        return LAYERS.format(**vars_of(self.fp32(w)))

    def request(self, w: Any) -> str:
        """Return what the layers are grouped by."""
        section, judge = self.config["mixed_precision"], self.engine(w).table_judge
        facts = {"rounds": self.config["comparison"]["rounds"], "judge": judge, "whole_pairs": len(WHOLE)}
        return json.dumps({**section, **facts, "library": self.library_name(w)})

    def library_name(self, w: Any) -> str:
        """Return the name of the library of the variant's calibrator."""
        name: str = self.config["calibrator_catalogue"][self.variant(w)["calibrator"]]["library"]
        return name

    def calibration(self, w: Any) -> list[str]:
        """Return the files that a mix is built from, the status first: the row's table, or its own quantised model."""
        files = self._engines.calibration(w)
        if self.library(self.variant(w)["calibrator"]).leaves_table:
            return files
        return [f"{MIX.format(**vars_of(w))}/calibration/{name}" for name in ("status.json", QUANTIZED)]

    def calibration_arguments(self, w: Any) -> list[str]:
        """Return the further arguments of the calibration script, in place of `planning.calibration.more`."""
        found = {name: self.calibrated(getattr(self._calibration, name))(w) for name in ("shapes", "passes")}
        twin = self.calibrated(self._calibration.conversion)(w)
        return options(twin=twin, fp32_layers=f"{MIX}/layers.json".format(**vars_of(w)), **found)

    def build_arguments(self, w: Any) -> list[str]:
        """Return the further arguments of the build script, in place of `planning.engines.more`."""
        beside = {"shapes": self._engines.shapes(w), "passes": self._engines.passes(w)}
        if self.library(self.variant(w)["calibrator"]).leaves_table:
            beside["fp32_layers"] = f"{MIX}/layers.json".format(**vars_of(w))
        return options(twin=self._engines.conversion(w), calibration=self.calibration(w)[0], **beside)

    @staticmethod
    def groups_in(path: str) -> list[str]:
        """Return the names of the groups that `group_layers` made."""
        return list(read_json(path)["groups"])

    # What is timed

    def built(self, wildcard: str, file: str) -> Callable[[Any], str]:
        """Return a look-up of `file` beside the engine of the mix that `wildcard` names."""

        def path(w: Any) -> str:
            mix = getattr(w, wildcard)
            row = self.fp32(w) if mix == FP32 else w
            return f"{ENGINE if mix in (INT8, FP32) else MIX}/{file}".format(**{**vars_of(row), "mix": mix})

        return path

    def side(self, w: Any, mix: str) -> dict[str, Any]:
        """Return a mix as a side of a pair."""
        side = self._comparison.side(self.fp32(w) if mix == FP32 else w)
        name = side["variant"]["name"] if mix in (INT8, FP32) else f"{w.variant} with {mix} in FP32"
        return {**side, "variant": {**side["variant"], "name": name}}

    def pair(self, w: Any) -> str:
        """Return both sides of a pair."""
        return json.dumps([self.side(w, mix) for mix in (w.first, w.second)])

    def pair_timing(self, w: Any) -> str:
        """Return how a pair is timed: as others are, but for its share of the budget."""
        section, pairs = self.config["comparison"], len(self.groups) + len(WHOLE)
        round_s = self.config["mixed_precision"]["budget_s"] / (pairs * section["rounds"])
        return json.dumps(
            {**round_settings(self.config), **{key: section[key] for key in ("rounds", "blocks")}, "round_s": round_s}
        )

    def sides(self, w: Any) -> str:
        """Return a mix and FP32, whose class maps are compared."""
        return json.dumps([self.side(w, mix) for mix in (w.mix, FP32)])

    def exact(self, file: str) -> Callable[[Any], str]:
        """Return a look-up of `file` beside the engine of the row in FP32."""
        return lambda w: f"{ENGINE}/{file}".format(**vars_of(self.fp32(w)))

    # What is said

    def settings(self, w: Any) -> str:
        """Return the bound that the mix is judged by, and the row's entries, for the lines that make the mix a row."""
        entry = self.variant(w)
        calibrator = self.config["calibrator_catalogue"][entry["calibrator"]]
        allowed = self.config["comparison"]["allowed"]
        names = {"model": w.model, INT8: w.variant, FP32: self.fp32(w).variant}
        return json.dumps({"allowed": allowed, **names, "variant": entry, "calibrator": calibrator})


def vars_of(w: Any) -> dict[str, str]:
    """Return wildcards by name."""
    return dict(w.items()) if hasattr(w, "items") else dict(vars(w))
