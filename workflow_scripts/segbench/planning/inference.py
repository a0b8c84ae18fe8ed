"""Look-ups of rules/inference.smk: which rounds there are, and in which order they are timed.

A block is one round of all chosen variants of a model and of the control, one behind the other, in an order shuffled by
seed. Times of one block are compared as ratios, so that a drift of the machine cancels.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Mapping
from functools import cache
from itertools import product
from typing import Any

from segbench.engines import base
from segbench.files import read_json
from segbench.images import shards
from segbench.planning.lookup import Lookup

PASS = "results/predictions/{dataset}/{model}/{variant}/{shard}"
RUN = "results/runs/{dataset}/{model}/{variant}/{round}/0"
CONTROL = "results/control/{dataset}/{model}/{variant}/{block}/{round}"
# Of `timing`, these say what is done with rounds, not how one is timed: a change of them times nothing again.
ABOUT_ROUNDS = ("average", "control", "extra_s", "max_rounds", "target")
FILES = ("latencies.csv", "replaced.csv", "predictions.zip", "environment.json", "status.json")  # of a timed round
CONTROLS = {"cpu": "onnxruntime-fp32", "gpu": "onnxruntime_cuda-fp32"}  # by device, where it is among the chosen


def round_settings(config: dict[str, Any]) -> dict[str, Any]:
    """Return the keys of `timing` that say how a round is timed."""
    return {key: value for key, value in config["timing"].items() if key not in ABOUT_ROUNDS}


class Inference(Lookup):
    """Look-ups of the accuracy pass, of timed rounds, and of the control's rounds."""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__(config)
        model, variant = self._chosen_control()
        chosen = hashlib.blake2b(json.dumps(sorted(config["variants"])).encode(), digest_size=4).hexdigest()
        self.block = f"{model}/{variant}/{chosen}"  # of the rounds that this run times

    def whole(self, w: Any) -> list[str]:
        """Return the arguments of a pass over a shard's images."""
        return [f"--shard={w.shard}"]

    def reference(self, w: Any) -> list[str]:
        """Return the arguments of the pass of a reference that is not among the chosen variants."""
        return [f"--images={self.config['agreement_images'] or 0}"]

    def timed(self, w: Any) -> list[str]:
        """Return the arguments of a timed round, of a variant or of the control."""
        more = [f"--beside={self._block_of(w)}"] if w.get("block") else []
        if self.config["energy"]["measure"]:
            more.append(f"--energy={json.dumps(self.config['energy'])}")
        return [f"--timing={json.dumps(round_settings(self.config))}", f"--round={w.round}", *more]

    def round_timing(self, w: Any) -> str:
        """Return how a round is timed, for a job that runs the same images for another reason."""
        return json.dumps(round_settings(self.config))

    def starts(self, w: Any) -> int:
        """Return how often a row is started in each condition of the caches: an interval needs three."""
        return max(3, self.config["rounds"])

    def passes(self, file: str) -> list[str]:
        """Return the pattern of `file` for every shard of a row's accuracy pass."""
        return [f"{PASS}/{file}".replace("{shard}", name) for name in shards.names(self.config["shards"])]

    # Rounds, blocks and the control

    def extra(self, plan: str) -> list[str]:
        """Return the files of all rounds beyond the planned ones. `plan` is the file that `plan_rounds` wrote."""
        planned, rounds = set(self.measured({})), read_json(plan)["extra"]
        return [path for path in self.measured(rounds) if path not in planned]

    def measured(self, extra: Mapping[str, int]) -> list[str]:
        """Return the files of all timed rounds, and of the control's. `extra`: by `model/variant`, the number of
        rounds beyond the planned ones.
        """
        return [path for file in FILES for path in (*self.runs(file, extra), *self.controls(file, extra))]

    def rounds(self, extra: Mapping[str, int], model: str, variant: str) -> range:
        """Return the numbers of a row's rounds."""
        return range(1, self.config["rounds"] + extra.get(f"{model}/{variant}", 0) + 1)

    def runs(self, file: str, extra: Mapping[str, int]) -> list[str]:
        """Return `file` of every round of every chosen row."""
        dataset, models, variants = (self.config[key] for key in ("dataset", "models", "variants"))
        return [
            f"{RUN}/{file}".format(dataset=dataset, model=model, variant=variant, round=number)
            for model in models
            for variant in variants
            for number in self.rounds(extra, model, variant)
        ]

    def controls(self, file: str, extra: Mapping[str, int]) -> list[str]:
        """Return `file` of the control's round in every block."""
        found = {
            (block, model, number): None
            for model in self.config["models"]
            for variant in self.config["variants"]
            for number in self.rounds(extra, model, variant)
            for block in [self._block(model, variant, number)]
        }
        return [f"{self._folder_of_control(*key)}/{file}" for key in found]

    def _folder_of_control(self, block: str, model: str, number: int) -> str:
        of, variant, chosen = block.split("/")
        dataset = self.config["dataset"]
        return CONTROL.format(dataset=dataset, model=of, variant=variant, block=f"{model}-{chosen}", round=number)

    @cache  # noqa: B019  one object lives as long as the workflow
    def _block(self, model: str, variant: str, number: int) -> str:
        """Return the block of a round: the one that it was timed in, or that of this run.

        So a variant that is added later gets new blocks with the control alone, and one that is left out changes
        nothing.
        """
        folder = RUN.format(dataset=self.config["dataset"], model=model, variant=variant, round=number)
        try:
            with open(f"{folder}/status.json", encoding="utf-8") as stream:
                timed_in = json.load(stream).get("block")
        except (OSError, ValueError, AttributeError):  # it is not there yet; what is damaged, its reader reports
            timed_in = None
        return timed_in if isinstance(timed_in, str) and timed_in.count("/") == 2 else self.block

    def control(self) -> list[str]:
        """Return model and variant of the control of the chosen rows: this run's, or the one that all were timed
        beside.
        """
        rows = product(self.config["models"], self.config["variants"])
        blocks = {self._block(model, variant, 1).rpartition("/")[0] for model, variant in rows}
        here = self.block.rpartition("/")[0]
        return (here if here in blocks else min(blocks)).split("/")

    def _chosen_control(self) -> tuple[str, str]:
        """Return model and variant of this run's control: the configured ones, else of the first chosen model one that
        runs on the device of the first chosen variant.
        """
        if self.config["timing"]["control"]:
            model, _, variant = self.config["timing"]["control"].partition("/")
            return model, variant
        chosen = self.config["variants"]
        wanted = CONTROLS[base.load(self.config["variant_catalogue"][chosen[0]]["engine"]).device]
        return self.config["models"][0], wanted if wanted in chosen else chosen[0]

    def settings(self, w: Any) -> str:
        """Return what `plan_rounds` decides by."""
        chosen = {key: self.config[key] for key in ("dataset", "models", "variants", "rounds")}
        bounds = {key: self.config["timing"][key] for key in ("target", "max_rounds", "extra_s", "average")}
        return json.dumps({**chosen, **bounds, "control": self.block.rpartition("/")[0]})

    def priority(self, w: Any) -> float:
        """Return the priority of a timed round, below 1: block by block, round 1 of all models before round 2 of any,
        and within a block an order by seed.
        """
        model, member = (self._block_of(w), "") if w.get("block") else (w.model, w.variant)
        models, members = self.config["models"], [*self.config["variants"], ""]  # "" is the control
        order = random.Random(f"{self.config['timing']['seed']}-{model}-{w.round}").sample(members, len(members))
        block = (int(w.round) - 1) * len(models) + (models.index(model) if model in models else 0)
        place = block * len(members) + (order.index(member) if member in order else 0)
        return max(1 - place * 1e-5, 1e-6)

    @staticmethod
    def _block_of(w: Any) -> str:
        """Return the model in whose block the control's round stands."""
        return str(w.block).rpartition("-")[0]
