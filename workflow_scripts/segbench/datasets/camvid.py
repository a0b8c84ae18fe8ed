"""Read CamVid as SegNet's authors laid it out: {split}/*.png beside {split}annot/*.png, 11 classes and void."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from segbench.datasets.base import Facts, Layout, Pair, need_folder, pair_with_label, safe_id

CLASSES = [
    "sky", "building", "pole", "road", "pavement", "tree", "sign", "fence", "car", "pedestrian", "bicyclist",
]  # fmt: skip
VOID = 11


class CamVid(Layout):
    """CamVid's layout, with the labels in a folder beside the images."""

    about = "{split}/*.png beside {split}annot/*.png, as SegNet's authors laid CamVid out"

    def pairs(self, root: Path, split: str, entry: dict[str, Any]) -> list[Pair]:
        """Return the images of {root}/{split} with the label of the same name in {root}/{split}annot."""
        images, labels = need_folder(root / split), need_folder(root / f"{split}annot")
        return [
            pair_with_label(safe_id(Path(path.name)), path, labels / path.name) for path in sorted(images.glob("*.png"))
        ]

    def facts(self, root: Path, split: str, entry: dict[str, Any]) -> Facts:
        """Return CamVid's classes. Ids are trainIds, except void."""
        return Facts(CLASSES, 255, {**{i: i for i in range(len(CLASSES))}, VOID: 255})


LAYOUT = CamVid()
