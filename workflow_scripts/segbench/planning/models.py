"""Look-ups of rules/models.smk: where weights come from, which files a model is exported to."""

from __future__ import annotations

import json
import os
from typing import Any

from segbench.config.schema import suffix_of
from segbench.planning.lookup import Lookup, options


class Models(Lookup):
    """A Paddle model is exported and converted to ONNX; an ONNX model has that form only."""

    def entry(self, w: Any) -> str:
        """The model's entry, for a command line, without its title: that is the table's."""
        return json.dumps({key: value for key, value in self.model(w).items() if key != "title"})

    def _weights(self, w: Any) -> dict[str, Any]:
        """Where the model's weights come from, with `model_root` before a relative path."""
        weights = dict(self.model(w)["weights"])
        if weights["path"]:
            weights["path"] = os.path.normpath(os.path.join(self.config["model_root"], weights["path"]))
        return weights

    def weights(self, w: Any) -> str:
        """Where the model's weights come from, for a command line."""
        return json.dumps(self._weights(w))

    def local_weights(self, w: Any) -> str | list[str]:
        """The weights' own file, so that a changed one is fetched again; the script tells when it is missing."""
        path = self._weights(w)["path"]
        if path and w.suffix == "pdiparams":
            path = os.path.splitext(path)[0] + ".pdiparams"
        return path if path and os.path.isfile(path) else []

    def checkpoint(self, w: Any) -> list[str]:
        """The fetched weights of a model, with the suffix that they came with (X.pdmodel has X.pdiparams beside it);
        none for random weights."""
        weights = self.model(w)["weights"]
        if weights == "random":
            return []
        suffix = suffix_of(weights)
        suffixes = [suffix, ".pdiparams"] if suffix == ".pdmodel" else [suffix]
        return [f"results/models/{w.model}/checkpoint{suffix}" for suffix in suffixes]

    def checkpoint_argument(self, w: Any) -> list[str]:
        """Argument of the export script that names the fetched weights; none for random weights."""
        return options(checkpoint=next(iter(self.checkpoint(w)), ""))

    def is_onnx(self, w: Any) -> bool:
        """Whether the model was given as ONNX, and so has no Paddle form."""
        return bool(self.model(w)["kind"] == "onnx")

    def files(self, w: Any, reads: tuple[str, ...]) -> list[str]:
        """The files of the first form of `reads` that the model has."""
        folder = f"results/models/{w.model}"
        forms = ["onnx"] if self.is_onnx(w) else ["paddle", "onnx"]
        form = next((form for form in reads if form in forms), None)
        files = {"paddle": [f"{folder}/model.pdmodel", f"{folder}/model.pdiparams"], "onnx": [f"{folder}/model.onnx"]}
        return files.get(form or "", [])

    def conversion(self, w: Any, files: list[str]) -> str | list[str]:
        """How the conversion to ONNX ended, where one of `files` came of it."""
        converted = any(path.endswith(".onnx") for path in files) and not self.is_onnx(w)
        return f"results/models/{w.model}/onnx.json" if converted else []

    def shapes(self, w: Any) -> str | list[str]:
        """How the collection of the model's shapes ended; none for an ONNX model, whose engine says why."""
        return [] if self.is_onnx(w) else f"results/models/{w.model}/shapes.json"
