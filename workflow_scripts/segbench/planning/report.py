"""Look-ups of rules/report.smk: the chosen rows' files, and the configuration as tables and report show it."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

from segbench.config.sweep import base_models
from segbench.images import shards
from segbench.machine.cpu import package_version
from segbench.planning.code import SCRIPTS
from segbench.planning.engines import ENGINE
from segbench.planning.inference import PASS, Inference
from segbench.planning.lookup import Lookup
from segbench.planning.scoring import searched

TEMPLATES = SCRIPTS / "segbench" / "report" / "templates"
PASS_FILES = ("predictions.zip", "environment.json", "status.json")
SHOWN = (
    *("dataset", "models", "variants", "rounds", "shards", "timing", "calibration", "reference"),
    *("agreement_bounds", "class_agreement_bounds"),
)


class Report(Lookup):
    """`overlays` are the files given by --configfile. Only the report's text depends on them."""

    def __init__(self, config: dict[str, Any], inference: Inference, overlays: Sequence[str] = ()) -> None:
        super().__init__(config)
        self._inference, self._overlays = inference, overlays

    def row_files(self, pattern: str) -> list[str]:
        """Expand `pattern` for every chosen model and variant, and for the shards of the data set where it has them."""
        return [
            pattern.format(dataset=self.config["dataset"], model=model, variant=variant, shard=shard)
            for model, variant in product(self.config["models"], self.config["variants"])
            for shard in (shards.names(self.config["shards"]) if "{shard}" in pattern else [""])
        ]

    def rows(self) -> dict[str, list[str]]:
        """Return the files of the chosen rows, as inputs of the table and of the report. Rounds beyond the planned ones
        come to them.
        """
        return {
            "models": [f"results/models/{model}/model.json" for model in self.config["models"]],
            "engines": self.row_files(f"{ENGINE}/status.json"),
            "passes": [path for file in PASS_FILES for path in self.row_files(f"{PASS}/{file}")],
            "rounds": self._inference.measured({}),
            "scores": self.row_files("results/scores/{dataset}/{model}/{variant}.json"),
            "preprocessing": searched(self.config),
        }

    def selection(self, w: Any) -> str:
        """Return what the table shows: data set, rounds, the models' titles and the variants' entries by name.

        It is a function of wildcards that it does not need, since Snakemake would look for wildcards in a plain string.
        """
        chosen = {key: self.config[key] for key in ("dataset", "rounds", "shards")}
        chosen["average"] = self.config["timing"]["average"]
        chosen["control"] = self._inference.control()
        chosen["models"] = {
            name: self.config["model_catalogue"][name]["title"] or name for name in self.config["models"]
        }
        variants = {name: self.config["variant_catalogue"][name] for name in self.config["variants"]}
        if self.config["price_per_hour"]:
            chosen["price_per_hour"] = self.config["price_per_hour"]
        if sizes := base_models(self.config["models"], self.config["sweep"]["size"]):
            chosen["base_models"] = sizes
        return json.dumps({**chosen, "variants": variants})

    def vega_version(self, w: Any) -> str | None:
        """Return the version of what bundles the plotting library, so that another one bundles it again."""
        return package_version("vl-convert-python")

    def templates(self) -> list[str]:
        """Return the report's template files, as inputs of its rule."""
        return sorted(str(path) for path in TEMPLATES.iterdir())

    def settings(self, w: Any) -> str:
        """Return the configuration for the report, the command that reproduces it, and the margin within which times
        are the same. It is a function as `selection` is.

        Paths of this machine are left out, since a report is made to be shared.
        """
        chosen = {key: self.config[key] for key in SHOWN}
        dataset = self.config["dataset_catalogue"][self.config["dataset"]]
        chosen["dataset_entry"] = {key: value for key, value in dataset.items() if key != "root"}
        chosen["variant_entries"] = {name: self.config["variant_catalogue"][name] for name in self.config["variants"]}
        overlays = "".join(f" {shlex.quote(path)}" for path in self._overlays)
        command = f"snakemake{' --configfile' if overlays else ''}{overlays}"
        if self.config["dataset_root"]:
            command += " --config dataset_root=PATH"
        margin = self.config["comparison"]["margin"]
        return json.dumps({"configuration": chosen, "command": command, "margin": margin})

    def asked_for(self, w: Any) -> str:
        """Return what stands for explanations, starts and stages that are there, so that the report is made again
        with new ones. They are no inputs: nobody may have asked for them.
        """
        found = hashlib.sha256()
        asked = ("explain", "diverge", "cold_start", "stages")
        folders = [Path("results", name, self.config["dataset"]) for name in asked]
        for path in sorted(path for folder in folders for path in folder.glob("*/*.json")):
            found.update(path.as_posix().encode() + path.read_bytes())
        return found.hexdigest()[:24]

    def pictures(self) -> list[str]:
        """Return the pictures of every chosen model's first variant, and their records."""
        chosen = product(self.config["models"], self.config["variants"][:1], ("png", "json"))
        return [f"results/pictures/{self.config['dataset']}/{model}/{variant}.{end}" for model, variant, end in chosen]

    def tables(self) -> list[str]:
        """Return the tables to merge that exist. The script reports the missing ones."""
        return [path for path in self.config["tables"] if os.path.exists(path)]
