"""Look-ups of rules/models.smk: where weights come from, and which files a model is exported to."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
from pathlib import Path
from typing import Any

from segbench.config.resizing import may_resize
from segbench.config.schema import Preprocessing, forms_of, suffix_of
from segbench.errors import InputError
from segbench.files import read_json
from segbench.models import huggingface_files, paddleseg_files
from segbench.models.download import BESIDE, local_path
from segbench.models.exported import FILES
from segbench.planning.lookup import Lookup, any_of, options
from segbench.planning.state import Seen, seen_by, state_of

FROM_FOLDER = "results/models/{model}/huggingface.onnx"
WRONG_PASSES = "results/engines/{dataset}/{model}/wrong_passes.json"


class Models(Lookup):
    """A Paddle model is exported and converted to ONNX. An ONNX model has that form only."""

    def of_form(self, *forms: str) -> str:
        """A wildcard pattern for the models whose own form is one of `forms`."""
        catalogue = self.config["model_catalogue"]
        return any_of([name for name, entry in catalogue.items() if forms_of(entry)[0] in forms])

    def given_entry(self, w: Any) -> str:
        """Return the model's entry for a command line. Title and float_model are left out, since no file depends on
        them, and so are keys of a kind that it is not.
        """
        entry = {key: value for key, value in self.model(w).items() if key not in ("title", "float_model")}
        for key in ("config", "package", "folder"):
            if entry[key] is None:
                del entry[key]
            else:
                entry[key] = self._path(entry[key])
        if entry["kind"] != "onnx":
            del entry["output_kind"], entry["threshold"]
        if not self.settings(w):
            entry["preprocessing"] = Preprocessing.model_validate(entry["preprocessing"]).model_dump(mode="json")
        return json.dumps(entry)

    def entry(self, w: Any) -> str:
        """Return the model's complete entry for a command line: itself, or the file that it is completed in."""
        return next(iter(self.complete_entry(w)), None) or self.given_entry(w)

    def complete_entry(self, w: Any) -> list[str]:
        """Return the file of the model's complete entry, where its own files complete it."""
        return [f"results/models/{w.model}/entry.json"] if self.settings(w) else []

    def settings(self, w: Any) -> str:
        """Return what completes the model's entry: PaddleSeg's configuration, the deploy.yaml beside an exported model,
        or the folder of a network of transformers; empty: nothing.
        """
        entry = self.model(w)
        if given := entry["config"] or entry["folder"]:
            return self._path(given)
        if entry["kind"] == "paddle_inference" and (path := self._weights(w)["path"]):
            return str(paddleseg_files.deploy_file(Path(path)) or "")
        return ""

    def may_resize(self, w: Any) -> bool:
        """Return whether images of other sizes become the model's input, by its entry or by what its files say.

        What is wrong in the files is reported by rule read_settings, not here.
        """
        entry, path = self.model(w), self.settings(w)
        if not path:
            return may_resize(entry["preprocessing"])
        size = (entry["input"]["height"], entry["input"]["width"])
        return _files_resize(path, entry["kind"], size, json.dumps(entry["preprocessing"]))

    def settings_files(self, w: Any) -> list[str]:
        """Return `settings` and what it inherits from. The script reports a missing one."""
        path = self.settings(w)
        of_folder = self.model(w)["kind"] == "huggingface"
        files = huggingface_files.settings_of if of_folder else paddleseg_files.files_of
        return [str(file) for file in files(Path(path))] if path else []

    def settings_digest(self, w: Any) -> str:
        """Return a digest of `settings_files`, whatever their dates."""
        return _digest_of(tuple(self.settings_files(w)))

    def _path(self, path: str) -> str:
        """Return `path` with `model_root` before a relative one."""
        return os.path.normpath(os.path.join(self.config["model_root"], path))

    def _weights(self, w: Any) -> dict[str, Any]:
        """Return where the model's weights come from, with `model_root` before a relative path."""
        weights = dict(self.model(w)["weights"])
        if weights["path"]:
            weights["path"] = self._path(weights["path"])
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
        return os.path.splitext(path)[0] + f".{w.suffix}" if path and f".{w.suffix}" in BESIDE.values() else path

    def weights_state(self, w: Any) -> str:
        """Return what stands for the weights' file, and for the files that its external data lie in (see state.py)."""
        return self._state(self._weights_path(w), f"results/models/{w.model}/checkpoint.{w.suffix}.json")

    @functools.cache  # noqa: B019  there is one for each run
    def _state(self, path: str, record: str) -> str:
        if not path:
            return ""
        seen = _seen(Path(record))
        files = [file.path for file in seen.files] if seen and seen.files and seen.files[0].path == path else [path]
        return state_of([(file, file) for file in files], seen)

    @functools.cache  # noqa: B019  there is one for each run
    def _state_of(self, paths: tuple[str, ...], record: str) -> str:
        return state_of([(path, path) for path in paths], _seen(Path(record)))

    def folder_files(self, w: Any) -> list[str]:
        """Return the files that a network of transformers is made of. The script reports what is wrong with them."""
        with contextlib.suppress(InputError):
            return [str(path) for path in huggingface_files.files_of(Path(self.settings(w)))]
        return []

    def folder_state(self, w: Any) -> str:
        """Return what stands for these files (see state.py)."""
        return self._state_of(tuple(self.folder_files(w)), f"{FROM_FOLDER.format(model=w.model)}.json")

    def checkpoint(self, w: Any) -> list[str]:
        """The fetched weights of a model, with the suffix that they came with, and what stands beside them (X.pdmodel
        and X.json have X.pdiparams, X.xml has X.bin); none for random weights."""
        weights = self.model(w)["weights"]
        if weights is None:
            return [FROM_FOLDER.format(model=w.model)]
        if weights == "random":
            return []
        suffix = suffix_of(weights)
        suffixes = [suffix, BESIDE[suffix]] if suffix in BESIDE else [suffix]
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

    def with_fallback(self, w: Any, user: Any) -> list[str]:
        """Return the files that an engine or a calibrator reads: the first form of `reads` that the model has, and the
        twin, with its status, where it may fall back on that.
        """
        first = self.files(w, user.reads)
        twin = self.files(w, user.falls_back) if self.form(w) == "paddle" else []
        return first if not twin or twin[0] in first else [*first, *twin, f"results/models/{w.model}/onnx.json"]

    def own_files(self, w: Any) -> list[str]:
        """The files that the model is exported to, before its conversion to ONNX."""
        return self.files(w, (self.form(w),))

    def conversion(self, w: Any, files: list[str]) -> str | list[str]:
        """Return the status of the conversion to ONNX, where it made the first of `files`."""
        converted = files[:1] == [f"results/models/{w.model}/model.onnx"] and self.form(w) != "onnx"
        return f"results/models/{w.model}/onnx.json" if converted else []

    def shapes(self, w: Any) -> str | list[str]:
        """How the collection of the model's shapes ended; none for a model that is no .pdmodel: its engine says why."""
        return f"results/models/{w.model}/shapes.json" if self.form(w) == "paddle" else []

    def wrong_passes(self, w: Any) -> str | list[str]:
        """Return the record of the graph passes with which oneDNN computes another function. There is none for a model
        that is no .pdmodel: its engine says why.
        """
        return WRONG_PASSES.format(dataset=w.dataset, model=w.model) if self.form(w) == "paddle" else []


def _seen(record: Path) -> Seen | None:
    """Return what the job that wrote `record` has read."""
    sources: list[Any] = []
    with contextlib.suppress(InputError, KeyError):
        sources = read_json(record)["sources"]
    return seen_by(record, sources, "source", "source")


@functools.cache
def _digest_of(files: tuple[str, ...]) -> str:
    """Return a digest of the names and contents of small files; those that are not there count as empty."""
    found = hashlib.sha256()
    for name in files:
        content = Path(name).read_bytes() if os.path.isfile(name) else b""
        found.update(json.dumps([name, hashlib.sha256(content).hexdigest()]).encode())
    return found.hexdigest()[:24]


@functools.cache
def _files_resize(path: str, kind: str, size: paddleseg_files.Size, given: str) -> bool:
    file = Path(path)
    try:
        if kind == "huggingface":
            return may_resize(huggingface_files.complete(json.loads(given), file, size)[0])
        transforms, sliding = paddleseg_files.transforms_of(file, kind)
        return may_resize(paddleseg_files.complete(json.loads(given), transforms, file, size, sliding))
    except InputError:
        return False
