"""Look-ups of rules/data.smk: the data set's entry, its files, and the images that are indexed."""

from __future__ import annotations

import json
from typing import Any

from segbench.planning.lookup import Lookup

GENERATED = "results/generated/{dataset}"


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

    def layout(self, w: Any) -> str:
        """Return the file that defines the data set's layout."""
        return f"workflow_scripts/segbench/datasets/{self.entry(w)['kind']}.py"

    def index_entry(self, w: Any) -> str:
        """Return the data set's entry without its limit, which is another argument, and without keys that only
        scores need.
        """
        return json.dumps({k: v for k, v in self.entry(w).items() if k not in ("limit", "ignored_pixels")})

    def split(self, w: Any) -> list[str]:
        """Return the arguments that choose the images of a split: all, or the first ones of val up to the entry's
        limit.
        """
        limit = self.entry(w)["limit"] if w.split == "val" else None
        return [f"--split={w.split}", f"--limit={limit}"]

    def keep_decoded(self, w: Any) -> str:
        """Say whether decoded images are kept."""
        return "yes" if self.config["decoded_images"] else "no"
