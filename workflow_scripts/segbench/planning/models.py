"""Look-ups of rules/models.smk: where weights come from, and which files a model is exported to."""

from __future__ import annotations

import contextlib
import functools
import json
import os
from pathlib import Path
from typing import Any

from segbench.config.schema import forms_of, suffix_of
from segbench.errors import InputError
from segbench.files import read_json
from segbench.models.download import local_path
from segbench.models.exported import FILES
from segbench.planning.lookup import Lookup, any_of, options
from segbench.planning.state import seen_by, state_of


class Models(Lookup):
    """A Paddle model is exported and converted to ONNX. An ONNX model has that form only."""

    def of_form(self, *forms: str) -> str:
        """A wildcard pattern for the models whose own form is one of `forms`."""
        catalogue = self.config["model_catalogue"]
        return any_of([name for name, entry in catalogue.items() if forms_of(entry)[0] in forms])

    def entry(self, w: Any) -> str:
        """Return the model's entry for a command line. Its title is left out, since only tables show it."""
        return json.dumps({key: value for key, value in self.model(w).items() if key != "title"})

    def _weights(self, w: Any) -> dict[str, Any]:
        """Return where the model's weights come from, with `model_root` before a relative path."""
        weights = dict(self.model(w)["weights"])
        if weights["path"]:
            weights["path"] = os.path.normpath(os.path.join(self.config["model_root"], weights["path"]))
        return weights

    def weights(self, w: Any) -> str:
        """Return where the model's weights come from, for a command line."""
        return json.dumps(self._weights(w))

    def local_weights(self, w: Any) -> str | list[str]:
        """Return the file of the weights where it is there. The script reports a missing one."""
        path = self._weights_path(w)
        return path if path and os.path.isfile(path) else []

    def _weights_path(self, w: Any) -> str:
        """Return the path of the file that is fetched; empty for one from the network."""
        weights = self._weights(w)
        path: str = local_path(weights)
        return os.path.splitext(path)[0] + ".pdiparams" if path and w.suffix == "pdiparams" else path

    def weights_state(self, w: Any) -> str:
        """Return what stands for the weights' file, and for the files that its external data lie in (see state.py)."""
        return self._state(self._weights_path(w), f"results/models/{w.model}/checkpoint.{w.suffix}.json")

    @functools.cache  # noqa: B019  there is one for each run
    def _state(self, path: str, record: str) -> str:
        if not path:
            return ""
        sources: list[Any] = []
        with contextlib.suppress(InputError, KeyError):
            sources = read_json(record)["sources"]
        seen = seen_by(Path(record), sources, "source", "source")
        files = [file.path for file in seen.files] if seen and seen.files and seen.files[0].path == path else [path]
        return state_of([(file, file) for file in files], seen)

    def checkpoint(self, w: Any) -> list[str]:
        """The fetched weights of a model, with the suffix that they came with (X.pdmodel and X.json have X.pdiparams
        beside them); none for random weights."""
        weights = self.model(w)["weights"]
        if weights == "random":
            return []
        suffix = suffix_of(weights)
        suffixes = [suffix, ".pdiparams"] if suffix in (".pdmodel", ".json") else [suffix]
        return [f"results/models/{w.model}/checkpoint{suffix}" for suffix in suffixes]

    def checkpoint_argument(self, w: Any) -> list[str]:
        """Return the argument of the export script that names the fetched weights; none for random weights."""
        return options(checkpoint=next(iter(self.checkpoint(w)), ""))

    def form(self, w: Any) -> str:
        """The form that the model is exported to: its own."""
        return forms_of(self.model(w))[0]

    def files(self, w: Any, reads: tuple[str, ...]) -> list[str]:
        """Return the files of the first form of `reads` that the model has."""
        forms = forms_of(self.model(w))
        form = next((form for form in reads if form in forms), None)
        return [f"results/models/{w.model}/{name}" for name in FILES[form]] if form else []

    def own_files(self, w: Any) -> list[str]:
        """The files that the model is exported to, before its conversion to ONNX."""
        return self.files(w, (self.form(w),))

    def conversion(self, w: Any, files: list[str]) -> str | list[str]:
        """Return the status of the conversion to ONNX, where it made one of `files`."""
        converted = any(path.endswith(".onnx") for path in files) and self.form(w) != "onnx"
        return f"results/models/{w.model}/onnx.json" if converted else []

    def shapes(self, w: Any) -> str | list[str]:
        """How the collection of the model's shapes ended; none for a model that is no .pdmodel: its engine says why."""
        return f"results/models/{w.model}/shapes.json" if self.form(w) == "paddle" else []
