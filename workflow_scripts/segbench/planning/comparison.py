"""Look-ups of rules/comparison.smk: the pairs that are timed again, the baseline, and the bounds of verdicts."""

from __future__ import annotations

import json
import os
from itertools import product
from types import SimpleNamespace
from typing import Any

from segbench.machine.cpu import package_version
from segbench.planning.code import modules_of
from segbench.planning.engines import Engines
from segbench.planning.inference import round_settings
from segbench.planning.jobs import Jobs
from segbench.planning.lookup import Lookup

OTHER = "results/engines/{dataset}/{model}/{other}"


class Comparison(Lookup):
    """A pair is two variants of one model: the wildcards `variant` and `other`."""

    def __init__(self, config: dict[str, Any], jobs: Jobs, engines: Engines) -> None:
        super().__init__(config)
        self._jobs, self._engines = jobs, engines

    @staticmethod
    def _sides(w: Any) -> list[Any]:
        """Split the wildcards of a pair into those of its two variants."""
        return [SimpleNamespace(variant=name) for name in (w.variant, w.other)]

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
        return json.dumps(
            [
                {
                    "variant": json.loads(self._engines.identity(side)),
                    "options": self.variant(side)["run"],
                    "python": self._jobs.interpreter(side),
                    "fingerprint": self._jobs.fingerprint(side),
                }
                for side in self._sides(w)
            ]
        )

    def pair_timing(self, w: Any) -> str:
        """Return how a pair is timed: like a round, in a number of processes and blocks."""
        section = {key: self.config["comparison"][key] for key in ("rounds", "blocks", "round_s")}
        return json.dumps({**round_settings(self.config), **section})

    def loadgen_timing(self, w: Any) -> str:
        """Return how LoadGen's run is timed, and its installed version, so that its installation reruns the job."""
        queries, version = self.config["comparison"]["loadgen_queries"], package_version("mlcommons-loadgen")
        return json.dumps({**round_settings(self.config), "queries": queries, "loadgen": version})

    def baseline(self, w: Any) -> str | list[str]:
        """Return the baseline's table. The script reports a missing one."""
        path = self.config["baseline"]
        return str(path) if path and os.path.exists(path) else []

    def pairs(self) -> list[str]:
        """Return every pair of variants of every chosen model, where pairs are timed again."""
        section = self.config["comparison"]
        folder = f"results/pairs/{self.config['dataset']}"
        chosen = product(self.config["models"], section["pairs"] if section["alternate"] else [])
        return [f"{folder}/{model}/{a}--{b}.json" for model, (a, b) in chosen]

    def settings(self, w: Any) -> str:
        """Return what is compared, and by which bounds. No measurement depends on these."""
        section = {key: self.config["comparison"][key] for key in ("margin", "max_drop", "pairs", "alternate")}
        bounds = {key: self.config[key] for key in ("agreement_bounds", "class_agreement_bounds")}
        return json.dumps({**section, "baseline": self.config["baseline"], **bounds})
