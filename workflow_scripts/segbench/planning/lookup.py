"""What every class of look-ups is made of: the entries of the checked configuration, found by a job's wildcards.

The look-ups stand in this room and not among the rules so that a rule file holds rules only, and tests can call them.
"""

from __future__ import annotations

import json
import re
from typing import Any

from segbench.calibration import base as calibration
from segbench.engines import base


class Lookup:
    """Look-ups in `config`, what `read_config` returned. `w` is a job's wildcards."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.config = config

    def section(self, name: str) -> str:
        """One section of the configuration as one value: every key of it counts for reruns, and only these."""
        return json.dumps(self.config[name])

    def model(self, w: Any) -> dict[str, Any]:
        """The model's entry."""
        entry: dict[str, Any] = self.config["model_catalogue"][w.model]
        return entry

    def variant(self, w: Any) -> dict[str, Any]:
        """The variant's entry."""
        entry: dict[str, Any] = self.config["variant_catalogue"][w.variant]
        return entry

    def engine(self, w: Any) -> base.Engine:
        """The variant's engine."""
        return base.load(self.variant(w)["engine"])

    def calibrator(self, w: Any) -> dict[str, Any]:
        """The calibrator's entry."""
        entry: dict[str, Any] = self.config["calibrator_catalogue"][w.calibrator]
        return entry

    def library(self, name: str) -> calibration.Calibrator:
        """The library of the calibrator of this name."""
        return calibration.load(self.config["calibrator_catalogue"][name]["library"])

    def names_of(self, catalogue: str, **facts: Any) -> str:
        """A wildcard pattern for the entries of `catalogue` whose keys have one of the given values."""
        return any_of(
            [
                name
                for name, entry in self.config[catalogue].items()
                if all(entry[key] in values for key, values in facts.items())
            ]
        )


def options(**files: str | list[str]) -> list[str]:
    """Command-line options for the files that a job has: `status=path` becomes --status=path."""
    return [f"--{name.replace('_', '-')}={path}" for name, path in files.items() if path]


def any_of(names: list[str]) -> str:
    """A wildcard pattern that matches these names, and nothing where there are none."""
    return "|".join(map(re.escape, names)) or "(?!)"
