"""Read Cityscapes: leftImg8bit/{split}/{city}/ beside gtFine/{split}/{city}/, labelTrainIds or labelIds.

Ids and trainIds come from cityscapesscripts/helpers/labels.py.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from segbench.datasets.base import Facts, Layout, Pair, need_folder, pair_with_label, safe_id

CLASSES = [
    "road", "sidewalk", "building", "wall", "fence", "pole", "traffic light", "traffic sign", "vegetation", "terrain",
    "sky", "person", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle",
]  # fmt: skip
# labelId of each trainId, and the ids that exist but are not evaluated (−1: license plate).
LABEL_IDS = [7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33]
UNSCORED = [-1, *range(7), 9, 10, 14, 15, 16, 18, 29, 30]
IMAGE, TRAIN_IDS, IDS = "_leftImg8bit.png", "_gtFine_labelTrainIds.png", "_gtFine_labelIds.png"


class Cityscapes(Layout):
    """Cityscapes' layout, with a folder for each city."""

    about = "leftImg8bit/{split}/{city}/ beside gtFine/{split}/{city}/, labelTrainIds or labelIds"

    def pairs(self, root: Path, split: str, entry: dict[str, Any]) -> list[Pair]:
        """Return the images of all cities, with labelTrainIds where the set has them, else labelIds."""
        images, labels = need_folder(root / "leftImg8bit" / split), need_folder(root / "gtFine" / split)
        suffix = _label_suffix(labels)
        found = []
        for path in sorted(images.glob(f"*/*{IMAGE}")):
            stem = path.name.removesuffix(IMAGE)
            found.append(
                pair_with_label(safe_id(Path(f"{stem}.png")), path, labels / path.parent.name / f"{stem}{suffix}")
            )
        return found

    def facts(self, root: Path, split: str, entry: dict[str, Any]) -> Facts:
        """Return the 19 classes. Ids are mapped where only labelIds exist."""
        if _label_suffix(root / "gtFine" / split) == TRAIN_IDS:
            return Facts(CLASSES)
        return Facts(CLASSES, 255, {**dict.fromkeys(UNSCORED, 255), **{raw: i for i, raw in enumerate(LABEL_IDS)}})


def _label_suffix(labels: Path) -> str:
    """Choose the split's kind of label files: trainIds if there is at least one. Others are then reported as
    missing.
    """
    only_ids = next(labels.glob(f"*/*{TRAIN_IDS}"), None) is None and next(labels.glob(f"*/*{IDS}"), None)
    return IDS if only_ids else TRAIN_IDS


LAYOUT = Cityscapes()
