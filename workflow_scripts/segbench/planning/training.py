"""Look-ups of rules/training.smk: the data that a demo model is trained on, and its settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from segbench.config.schema import ARCHITECTURES
from segbench.models.paddleseg_files import read_network
from segbench.planning.data import GENERATED
from segbench.planning.lookup import Lookup, options

BACKBONE = "NarrowResNet"  # of all of the eight but UNet
QUANTIZED = "_qat"  # ends the name of a network that goes on from the trained one of the name, with INT8's rounding


class Training(Lookup):
    """One model is trained from random weights. Others start from its backbone, if they have it."""

    @property
    def names(self) -> list[str]:
        """Names of all models that are trained."""
        return [*ARCHITECTURES, *self._configs, *self.quantized]

    @property
    def quantized(self) -> list[str]:
        """Names of the networks that are trained further with fake quantisation, and then quantised."""
        return [f"{name}{QUANTIZED}" for name in self.config["training"]["quantization"]["networks"]]

    @property
    def _configs(self) -> dict[str, str]:
        return {Path(path).stem: path for path in self.config["training"]["configs"]}

    def config_file(self, w: Any) -> list[str]:
        """Return the PaddleSeg configuration of a network that has one."""
        return [self._configs[w.architecture]] if w.architecture in self._configs else []

    def images(self, w: Any) -> str:
        """Return the folder of the drawn training set."""
        return f"{GENERATED}/images".format(dataset=self.config["training"]["dataset"])

    def manifest(self, w: Any) -> str:
        """Return the manifest, which exists once the training set is drawn."""
        return f"{GENERATED}/manifest.json".format(dataset=self.config["training"]["dataset"])

    def initial_weights(self, w: Any) -> str | list[str]:
        """Return the weights whose backbone a training starts from; none for the first one and for other backbones."""
        first = self.config["training"]["first"]
        if files := self.config_file(w):
            other = read_network(Path(files[0])).section.get("backbone", {}).get("type") != BACKBONE
        else:
            other = w.architecture in (first, "unet", *self.quantized)
        return [] if other else f"results/training/{first}/weights.npz"

    def start(self, w: Any) -> list[str]:
        """Return the argument of the training script that names the weights to start from."""
        return options(init=self.initial_weights(w), fine_tune=self.trained_weights(w))

    def network(self, w: Any) -> str:
        """Return the architecture of a network that is trained further."""
        return str(w.architecture).removesuffix(QUANTIZED)

    def trained_weights(self, w: Any) -> str | list[str]:
        """Return the weights that a further training goes on from."""
        return f"results/training/{self.network(w)}/weights.npz" if w.architecture in self.quantized else []

    def results(self) -> list[str]:
        """Return what a demo model is made of: trained weights, or a Q/DQ model."""
        floats = [name for name in self.names if name not in self.quantized]
        files = [f"results/training/{name}/weights.npz" for name in floats]
        return [*files, *(f"results/training/{name}/model.onnx" for name in self.quantized)]

    def plan(self, w: Any) -> list[str]:
        """Return the arguments of the training script."""
        plan = self.config["training"]
        if w.architecture in self.quantized:
            of, further = self.network(w), plan["quantization"]
            numbers = {**{key: further[key] for key in ("iterations", "batch", "learning_rate")}, "seed": plan["seed"]}
            crop = plan["unet_crop" if of == "unet" else "crop"]
            given = [f"--{key.replace('_', '-')}={value}" for key, value in numbers.items()]
            return [f"--architecture={of}", "--fake-quantization", f"--crop={crop}", *given]
        if files := self.config_file(w):
            return [f"--config={files[0]}", f"--crop={plan['unet_crop']}", f"--seed={plan['seed']}"]
        crop = plan["unet_crop" if w.architecture == "unet" else "crop"]
        more = [f"--{key.replace('_', '-')}={plan[key]}" for key in ("batch", "learning_rate", "seed")]
        iterations = plan["iterations"][w.architecture]
        return [f"--architecture={w.architecture}", f"--iterations={iterations}", f"--crop={crop}", *more]
