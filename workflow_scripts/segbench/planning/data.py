"""Look-ups of rules/data.smk: the data set's entry, its files, and the images that are indexed."""

from __future__ import annotations

import contextlib
import functools
import json
from pathlib import Path
from typing import Any, NamedTuple

from segbench.datasets.base import Pair
from segbench.datasets.listing import CHOSEN_FROM, listed, split_of
from segbench.errors import InputError
from segbench.files import read_json
from segbench.images.index import index_rows
from segbench.planning.code import modules_of
from segbench.planning.lookup import Lookup
from segbench.planning.state import Seen, seen_by, state_of

GENERATED = "results/generated/{dataset}"
INDEX = "results/data/{dataset}/{split}"
OF_SCORES = ("limit", "ignored_pixels", "boundary_width", "objects")  # keys that only scores need, and the limit
OF_LABELS = ("classes", "ignore_index", "id_map", "zero_is_ignored")  # keys of an entry that say nothing of images


class Data(Lookup):
    """A data set that the workflow draws has a manifest and a folder. Any other is read where it lies."""

    def entry(self, w: Any) -> dict[str, Any]:
        """Return the data set's entry, with its root in this run."""
        entry = dict(self.config["dataset_catalogue"][w.dataset])
        if entry["generate"]:
            entry["root"] = f"{GENERATED}/images".format(dataset=w.dataset)
        elif w.dataset == self.config["dataset"] and self.config["dataset_root"]:
            entry["root"] = self.config["dataset_root"]
        return entry

    def scenes(self, w: Any) -> list[str]:
        """Return the arguments of the script that draws a data set."""
        return [f"--{key}={value}" for key, value in self.entry(w)["generate"].items()]

    def manifest(self, w: Any) -> str | list[str]:
        """Return the list of drawn files with their digests; none for a data set that is not drawn."""
        return f"{GENERATED}/manifest.json".format(dataset=w.dataset) if self.entry(w)["generate"] else []

    def folder(self, w: Any) -> str | list[str]:
        """Return the folder of drawn images; none for a data set that is not drawn."""
        return f"{GENERATED}/images".format(dataset=w.dataset) if self.entry(w)["generate"] else []

    def layout(self, w: Any) -> list[str]:
        """Return the file that defines the data set's layout, and those that it imports."""
        file = f"datasets/{self.entry(w)['kind']}.py"
        return modules_of(f"segbench/{file}", file)

    def images_entry(self, w: Any) -> str:
        """Return the part of the data set's entry that lists a split's images."""
        entry = self._entry_of_split(w)
        if entry["splits"]:
            entry["splits"] = {split: {**globs, "labels": None} for split, globs in entry["splits"].items()}
        return json.dumps({key: value for key, value in entry.items() if key not in OF_LABELS})

    def labels_entry(self, w: Any) -> str:
        """Return the part of the data set's entry that lists a split's images and labels, and says what ids mean."""
        return json.dumps(self._entry_of_split(w))

    def _entry_of_split(self, w: Any) -> dict[str, Any]:
        """Return the data set's entry without its limit, which is another argument, without keys that only scores
        need, and without other splits.
        """
        entry = self.entry(w)
        split = split_of(w.split, entry)
        splits = entry["splits"] and {split: entry["splits"][split]} if split in (entry["splits"] or ()) else {}
        kept = {key: value for key, value in entry.items() if key not in OF_SCORES}
        return {**kept, "splits": splits or None}

    def images(self, w: Any) -> list[str]:
        """Return the arguments that choose a split's images: the first ones up to the entry's limit, or a sample."""
        return [
            f"--split={w.split}",
            f"--limit={json.dumps(self._limit(w))}",
            f"--sample={json.dumps(self._sample(w))}",
        ]

    def labels(self, w: Any) -> list[str]:
        """Return the arguments that choose the images whose labels are checked where an image is faulty."""
        return [f"--split={w.split}", f"--limit={json.dumps(self._limit(w))}"]

    def _limit(self, w: Any) -> int | None:
        limit: int | None = self.entry(w)["limit"] if CHOSEN_FROM.get(w.split, w.split) == "val" else None
        return limit

    def _sample(self, w: Any) -> dict[str, int] | None:
        """Return how many images are chosen from a split, and by which seed; None for a split that is taken whole."""
        if w.split == "calibration":
            section = self.config["calibration"]
            return {"count": section["images"] + section["judging_images"], "seed": section["seed"]}
        if w.split == "timed":
            section = self.config["timing"]
            return {"count": section["images_per_round"], "seed": section["seed"]}
        return None

    def apart_from(self, w: Any) -> str | list[str]:
        """Return the index of the images that calibration must not see."""
        return f"{INDEX}/images.csv".format(dataset=w.dataset, split="val") if w.split == "calibration" else []

    def images_state(self, w: Any) -> str:
        """Return what stands for the split's image files (see segbench/planning/state.py)."""
        return self._state(w.dataset, w.split, "image")

    def labels_state(self, w: Any) -> str:
        """Return what stands for the split's label files."""
        return self._state(w.dataset, w.split, "label")

    @functools.cache  # noqa: B019  there is one for each run
    def _state(self, dataset: str, split: str, kind: str) -> str:
        """Return the state of a split's files. One that is drawn is known by its manifest. Data that are not there are
        taken to be unchanged, since tables can be made without them.
        """
        place = _Place(dataset, split)
        entry = self.entry(place)
        if entry["generate"]:
            return ""
        seen = _seen(place, kind)
        if not Path(entry["root"]).is_dir():
            return seen.state if seen else ""
        try:
            pairs = self._pairs(dataset, split)
        except InputError as error:
            return str(error)
        if kind == "image":
            return state_of([(pair.image_id, str(pair.image)) for pair in pairs], seen)
        labels = [(str(pair.image), str(pair.label or "")) for pair in pairs]
        instances = [(str(pair.image), str(pair.instances)) for pair in pairs if pair.instances]
        return state_of(labels + instances, seen)

    @functools.cache  # noqa: B019
    def _pairs(self, dataset: str, split: str) -> list[Pair]:
        place = _Place(dataset, split)
        return listed(dataset, split, self.entry(place), self._limit(place), self._sample(place))

    def to_compare(self, w: Any) -> str:
        """Return the index of the images that engines are compared on when they are built: those of calibration. A data
        set without training images has those that are timed.
        """
        split = "calibration" if self._has_training_images(w.dataset) else "timed"
        return f"{INDEX}/images.csv".format(dataset=w.dataset, split=split)

    @functools.cache  # noqa: B019
    def _has_training_images(self, dataset: str) -> bool:
        place = _Place(dataset, "calibration")
        entry = self.entry(place)
        if not entry["generate"] and Path(entry["root"]).is_dir():
            with contextlib.suppress(InputError):
                return bool(self._pairs(dataset, place.split))
            return False
        indices = [Path(INDEX.format(dataset=dataset, split=split), "images.csv") for split in ("calibration", "timed")]
        return [index.exists() for index in indices] != [False, True]  # as it was when the data were there

    @functools.cache  # noqa: B019
    def is_refused(self, record: str) -> bool:
        """Return whether the record says that data set and model do not fit, or that one of them was refused."""
        with contextlib.suppress(InputError):
            return bool(read_json(record)["status"] != "ok")
        return False

    def keep_decoded(self, w: Any) -> str:
        """Say whether decoded images are kept."""
        return "yes" if self.config["decoded_images"] else "no"


class _Place(NamedTuple):
    """The wildcards of a split."""

    dataset: str
    split: str


def _seen(place: _Place, kind: str) -> Seen | None:
    """Return what the job has read that lists a split's images, or its labels."""
    folder = Path(INDEX.format(**place._asdict()))
    index, record = ("images.csv", "images.json") if kind == "image" else ("index.csv", "dataset.json")
    rows: list[Any] = []
    with contextlib.suppress(InputError, OSError):
        rows = list(index_rows(folder / index))
    if kind == "image":
        return seen_by(folder / record, rows, kind, "image_id")
    with_instances = [row for row in rows if row.get("instances")]
    labels = seen_by(folder / record, rows, kind, "image")
    instances = seen_by(folder / record, with_instances, "instances", "image")
    return Seen(labels.state, labels.files + instances.files) if labels and instances else None
