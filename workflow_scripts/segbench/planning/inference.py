"""Look-ups of rules/inference.smk: how a run of an engine handles its images."""

from __future__ import annotations

from typing import Any

from segbench.planning.lookup import Lookup

RUN = "results/runs/{dataset}/{model}/{variant}/{round}/{shard}"


class Inference(Lookup):
    """One script runs the images in two ways, chosen by its arguments."""

    def timed(self, w: Any) -> list[str]:
        """Return the arguments of a timed round."""
        return [f"--timing={self.section('timing')}", f"--round={w.round}", f"--shard={w.shard}"]

    def untimed(self, w: Any) -> list[str]:
        """Return the arguments of a run that only makes class maps."""
        return ["--untimed", f"--images={self.config['agreement_images'] or 0}"]
