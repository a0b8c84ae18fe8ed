"""Look-ups of rules/report.smk: the chosen rows' files, and the configuration as tables and report show it."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Sequence
from itertools import product
from typing import Any

from segbench.images import shards
from segbench.planning.code import SCRIPTS
from segbench.planning.engines import ENGINE
from segbench.planning.inference import RUN
from segbench.planning.lookup import Lookup

TEMPLATES = SCRIPTS / "segbench" / "report" / "templates"
SHOWN = ("dataset", "models", "variants", "rounds", "shards", "timing", "calibration", "reference", "agreement_bounds")


class Report(Lookup):
    """`overlays` are the files given by --configfile. Only the report's text depends on them."""

    def __init__(self, config: dict[str, Any], overlays: Sequence[str] = ()) -> None:
        super().__init__(config)
        self._overlays = overlays

    def row_files(self, pattern: str) -> list[str]:
        """Expand `pattern` for every chosen model and variant, and for rounds and shards where it has them."""
        rounds = range(1, self.config["rounds"] + 1) if "{round}" in pattern else [0]
        chosen = product([self.config["dataset"]], self.config["models"], self.config["variants"], rounds)
        return [
            pattern.format(dataset=dataset, model=model, variant=variant, round=number, shard=shard)
            for dataset, model, variant, number in chosen
            for shard in (shards.of_round(self.config["shards"], number) if "{shard}" in pattern else [""])
        ]

    def rows(self) -> dict[str, list[str]]:
        """Return all files of the chosen rows, as inputs of the table and of the report."""
        return {
            "models": [f"results/models/{model}/model.json" for model in self.config["models"]],
            "engines": self.row_files(f"{ENGINE}/status.json"),
            "latencies": self.row_files(f"{RUN}/latencies.csv"),
            "predictions": self.row_files(f"{RUN}/predictions.zip"),
            "statuses": self.row_files(f"{RUN}/status.json"),
            "environments": self.row_files(f"{RUN}/environment.json"),
            "scores": self.row_files("results/scores/{dataset}/{model}/{variant}.json"),
        }

    def selection(self, w: Any) -> str:
        """Return what the table shows: data set, rounds, the models' titles and the variants' entries by name.

        It is a function of wildcards that it does not need, since Snakemake would look for wildcards in a plain string.
        """
        chosen = {key: self.config[key] for key in ("dataset", "rounds", "shards")}
        chosen["models"] = {
            name: self.config["model_catalogue"][name]["title"] or name for name in self.config["models"]
        }
        variants = {name: self.config["variant_catalogue"][name] for name in self.config["variants"]}
        return json.dumps({**chosen, "variants": variants})

    def templates(self) -> list[str]:
        """Return the report's template files, as inputs of its rule."""
        return sorted(str(path) for path in TEMPLATES.iterdir())

    def settings(self, w: Any) -> str:
        """Return the configuration for the report, and the command that reproduces it. It is a function as `selection`
        is.

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
        return json.dumps({"configuration": chosen, "command": command})

    def pictures(self) -> list[str]:
        """Return the pictures of every chosen model's first variant."""
        chosen = product(self.config["models"], self.config["variants"][:1])
        return [f"results/pictures/{self.config['dataset']}/{model}/{variant}.png" for model, variant in chosen]

    def first_round(self, file: str) -> list[str]:
        """Return the pattern of `file` for every shard of a row's round 1."""
        folder = "results/runs/{dataset}/{model}/{variant}/1"
        return [f"{folder}/{shard}/{file}" for shard in shards.names(self.config["shards"])]

    def tables(self) -> list[str]:
        """Return the tables to merge that exist. The script reports the missing ones."""
        return [path for path in self.config["tables"] if os.path.exists(path)]
