"""Look-ups of rules/comparison.smk: the pairs that are timed again, the baselines, and the bounds of verdicts."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from itertools import product
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from segbench.errors import InputError
from segbench.files import read_json
from segbench.machine.cpu import package_version
from segbench.planning.baselines import RECORD, Kept, KeptRow, engine_of, kept_rows, model_of, table_of
from segbench.planning.code import engine_digest, modules_of
from segbench.planning.engines import Engines
from segbench.planning.inference import round_settings
from segbench.planning.jobs import Jobs
from segbench.planning.lookup import Lookup

OTHER = "results/engines/{dataset}/{model}/{other}"
WITH_BASELINE = "results/baseline_pairs/{dataset}/{model}/{variant}.json"


class Comparison(Lookup):
    """A pair is two variants of one model, the wildcards `variant` and `other`, or one variant as it was built for the
    baseline and as it is built now: then there is no `other`.
    """

    def __init__(self, config: dict[str, Any], jobs: Jobs, engines: Engines) -> None:
        super().__init__(config)
        self._jobs, self._engines = jobs, engines

    @staticmethod
    def _sides(w: Any) -> list[Any]:
        """Split the wildcards of a pair into those of its two variants."""
        return [SimpleNamespace(variant=name) for name in (w.variant, w.get("other", w.variant))]

    def code(self) -> dict[str, Any]:
        """Return the inputs of the rule that times a pair: its script, the script that it starts, and both engines'
        modules.
        """

        def modules(w: Any) -> list[str]:
            files = [f"engines/{self.variant(side)['engine']}.py" for side in self._sides(w)]
            scripts = ("time_pair.py", "time_round.py")
            return sorted({path for file, script in product(files, scripts) for path in modules_of(script, file)})

        return {**self._jobs.code("time_pair.py"), "round": "workflow_scripts/time_round.py", "modules": modules}

    def pair(self, w: Any) -> str:
        """Return both variants of a pair: their entries, options, interpreters and fingerprints."""
        return json.dumps([self.side(side) for side in self._sides(w)])

    def side(self, w: Any) -> dict[str, Any]:
        """Return one variant of a pair."""
        return {
            "variant": json.loads(self._engines.identity(w)),
            "options": self.variant(w)["run"],
            "python": self._jobs.interpreter(w),
            "fingerprint": self._jobs.fingerprint(w),
        }

    def pair_timing(self, w: Any) -> str:
        """Return how a pair is timed: like a round, in a number of processes and blocks."""
        section = {key: self.config["comparison"][key] for key in ("rounds", "blocks", "round_s")}
        return json.dumps({**round_settings(self.config), **section})

    def loadgen_timing(self, w: Any) -> str:
        """Return how LoadGen's run is timed, and its installed version, so that its installation reruns the job."""
        queries, version = self.config["comparison"]["loadgen_queries"], package_version("mlcommons-loadgen")
        return json.dumps({**round_settings(self.config), "queries": queries, "loadgen": version})

    # The baselines

    def baselines(self) -> list[str]:
        """Return the paths of the baselines."""
        given = self.config["baseline"]
        return [given] if isinstance(given, str) else given or []

    def baseline_files(self, w: Any) -> list[str]:
        """Return the baselines' tables and records that exist. The script reports missing ones."""
        files = [str(path) for one in self.baselines() for path in (table_of(one), Path(one, RECORD))]
        return [path for path in files if os.path.exists(path)]

    def pairs_with_baseline(self, comparison: str) -> list[str]:
        """Return the pairs with a baseline's engine that a gate needs, by comparison.json."""
        return [WITH_BASELINE.format(**entry) for entry in read_json(comparison) if entry["again"]]

    def _kept(self, w: Any) -> Kept:
        key = (w.dataset, w.model, w.variant)
        kept = kept_rows(self.baselines()).get(key)
        if kept is None:
            raise InputError(f"baseline: has no engine of {' '.join(key)}; snakemake update_baseline writes one")
        return kept

    def kept_engine(self, file: str) -> Callable[[Any], str]:
        """Return a look-up of `file` of the engine that a baseline keeps for a row."""
        return lambda w: str(engine_of(self._kept(w).folder, (w.dataset, w.model, w.variant)) / file)

    def kept_model(self, w: Any) -> str:
        """Return the model.json that a baseline keeps for a row."""
        return str(model_of(self._kept(w).folder, (w.dataset, w.model, w.variant)))

    def kept_and_now(self, w: Any) -> str:
        """Return a row as the baseline has it and as it is now, like `pair`."""
        row = self._kept(w).row
        engine = row["variant"]["engine"]
        kept = {
            "variant": {**row["variant"], "name": f"the baseline's {w.variant}"},
            "options": row["options"],
            "python": self._jobs.interpreter_of(engine),
            "fingerprint": self._jobs.fingerprint_of(engine),
        }
        return json.dumps([kept, self.side(w)])

    def to_keep(self, w: Any) -> str:
        """Return what `update_baseline` keeps, and where."""
        rows: list[KeptRow] = [
            {
                "dataset": self.config["dataset"],
                "model": model,
                "variant": json.loads(self._engines.identity(side)),
                "options": self.variant(side)["run"],
                "code": engine_digest(self.variant(side)["engine"]),
            }
            for model in self.config["models"]
            for side in (SimpleNamespace(variant=name) for name in self.config["variants"])
        ]
        return json.dumps({"baselines": self.baselines(), "rows": rows})

    # What is compared

    def pairs(self) -> list[str]:
        """Return every pair of variants of every chosen model, where pairs are timed again."""
        section = self.config["comparison"]
        folder = f"results/pairs/{self.config['dataset']}"
        chosen = product(self.config["models"], section["pairs"] if section["alternate"] else [])
        return [f"{folder}/{model}/{a}--{b}.json" for model, (a, b) in chosen]

    def settings(self, w: Any) -> str:
        """Return what is compared, and by which bounds. No measurement depends on these."""
        names = ("margin", "allowed", "max_drop", "max_lost", "pairs", "alternate")
        section = {key: self.config["comparison"][key] for key in names}
        codes = {
            name: engine_digest(self.config["variant_catalogue"][name]["engine"]) for name in self.config["variants"]
        }
        bounds = {key: self.config[key] for key in ("agreement_bounds", "class_agreement_bounds")}
        return json.dumps({**section, "baselines": self.baselines(), "codes": codes, **bounds})

    def bounds(self, w: Any) -> str:
        """Return the bounds that a gate judges by."""
        return json.dumps({key: self.config["comparison"][key] for key in ("margin", "allowed")})
