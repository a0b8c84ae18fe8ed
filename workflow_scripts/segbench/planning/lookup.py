"""The base of every class of look-ups: it finds entries of the checked configuration by a job's wildcards.

Look-ups stand in this room and not in rule files. A rule file then holds rules only, and tests can call look-ups.
"""

from __future__ import annotations

import json
import re
from typing import Any

from segbench.calibration import base as calibration
from segbench.config.options import base_variant
from segbench.engines import base


class Lookup:
    """Look-ups in `config`, which `read_config` returned. `w` stands for a job's wildcards."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.config = config

    def section(self, name: str) -> str:
        """Return a section of the configuration as one value. Its keys, and no others, then count for reruns."""
        return json.dumps(self.config[name])

    def model(self, w: Any) -> dict[str, Any]:
        """Return the model's entry."""
        entry: dict[str, Any] = self.config["model_catalogue"][w.model]
        return entry

    def variant(self, w: Any) -> dict[str, Any]:
        """Return the variant's entry."""
        entry: dict[str, Any] = self.config["variant_catalogue"][w.variant]
        return entry

    def base_variant(self, name: str) -> str:
        """Return the chosen variant that is this one, running one image after the other (see `base_variant`)."""
        return base_variant(name, self.config["variant_catalogue"], self.config["variants"])

    def engine(self, w: Any) -> base.Engine:
        """Return the variant's engine."""
        return base.load(self.variant(w)["engine"])

    def calibrator(self, w: Any) -> dict[str, Any]:
        """Return the calibrator's entry."""
        entry: dict[str, Any] = self.config["calibrator_catalogue"][w.calibrator]
        return entry

    def library(self, name: str) -> calibration.Calibrator:
        """Return the library of the calibrator of this name."""
        return calibration.load(self.config["calibrator_catalogue"][name]["library"])

    def names_of(self, catalogue: str, **facts: Any) -> str:
        """Return a wildcard pattern for the entries of `catalogue` whose keys have one of the given values."""
        return any_of(
            [
                name
                for name, entry in self.config[catalogue].items()
                if all(entry[key] in values for key, values in facts.items())
            ]
        )


def options(**files: str | list[str]) -> list[str]:
    """Return command-line options for the files that a job has: `status=path` becomes --status=path."""
    return [f"--{name.replace('_', '-')}={path}" for name, path in files.items() if path]


def any_of(names: list[str]) -> str:
    """Return a wildcard pattern that matches these names. Without names it matches nothing."""
    return "|".join(map(re.escape, names)) or "(?!)"
