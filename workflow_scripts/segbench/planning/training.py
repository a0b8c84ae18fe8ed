"""Look-ups of rules/training.smk: the data that a demo model is trained on, and its settings."""

from __future__ import annotations

from typing import Any

from segbench.planning.data import GENERATED
from segbench.planning.lookup import Lookup


class Training(Lookup):
    """One model is trained from random weights. The others start from its backbone, except UNet, which has its own."""

    def images(self, w: Any) -> str:
        """Return the folder of the drawn training set."""
        return f"{GENERATED}/images".format(dataset=self.config["training"]["dataset"])

    def manifest(self, w: Any) -> str:
        """Return the manifest, which exists once the training set is drawn."""
        return f"{GENERATED}/manifest.json".format(dataset=self.config["training"]["dataset"])

    def initial_weights(self, w: Any) -> str | list[str]:
        """Return the weights whose backbone a training starts from; none for the first model and for UNet."""
        first = self.config["training"]["first"]
        return [] if w.architecture in (first, "unet") else f"results/training/{first}/weights.npz"

    def plan(self, w: Any) -> list[str]:
        """Return the arguments of the training script."""
        plan = self.config["training"]
        crop = plan["unet_crop" if w.architecture == "unet" else "crop"]
        more = [f"--{key.replace('_', '-')}={plan[key]}" for key in ("batch", "learning_rate", "seed")]
        return [f"--iterations={plan['iterations'][w.architecture]}", f"--crop={crop}", *more]
