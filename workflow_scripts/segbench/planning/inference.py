"""Look-ups of rules/inference.smk: what a run of an engine does with its images."""

from __future__ import annotations

from typing import Any

from segbench.planning.lookup import Lookup

RUN = "results/runs/{dataset}/{model}/{variant}/{round}/{shard}"


class Inference(Lookup):
    """Two ways to run the images, told to one script by a list of arguments."""

    def timed(self, w: Any) -> list[str]:
        """Arguments of a round that is timed."""
        return [f"--timing={self.section('timing')}", f"--round={w.round}", f"--shard={w.shard}"]

    def untimed(self, w: Any) -> list[str]:
        """Arguments of a run for its class maps alone."""
        return ["--untimed", f"--images={self.config['agreement_images'] or 0}"]
