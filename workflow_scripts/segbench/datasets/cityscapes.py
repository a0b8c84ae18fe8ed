"""Read Cityscapes: leftImg8bit/{split}/{city}/ beside gtFine/{split}/{city}/, labelTrainIds or labelIds.

Ids and trainIds come from cityscapesscripts/helpers/labels.py. Ids of instances are read where a split has them.
"""

from __future__ import annotations

from dataclasses import replace
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
# trainId (255: not evaluated) and average pixels of an instance by labelId, of the classes that have instances. The
# sizes are those that cityscapesscripts/evaluation/evalPixelLevelSemanticLabeling.py weighs instances by.
INSTANCES = {
    24: (11, 3462.4756337644), 25: (12, 3930.4788056518), 26: (13, 12794.0202738185), 27: (14, 27855.1264367816),
    28: (15, 35732.1511111111), 29: (255, 36771.8241758242), 30: (255, 16926.9763313609), 31: (16, 67583.7075812274),
    32: (17, 6298.7200839748), 33: (18, 4672.3249222261),
}  # fmt: skip
IMAGE, TRAIN_IDS, IDS = "_leftImg8bit.png", "_gtFine_labelTrainIds.png", "_gtFine_labelIds.png"
INSTANCE_IDS = "_gtFine_instanceIds.png"


class Cityscapes(Layout):
    """Cityscapes' layout, with a folder for each city."""

    about = "leftImg8bit/{split}/{city}/ beside gtFine/{split}/{city}/, labelTrainIds or labelIds"

    def pairs(self, root: Path, split: str, entry: dict[str, Any]) -> list[Pair]:
        """Return the images of all cities, with labelTrainIds where the set has them, else labelIds."""
        images, labels = need_folder(root / "leftImg8bit" / split), need_folder(root / "gtFine" / split)
        suffix, with_instances = _label_suffix(labels), _has_instances(labels)
        found = []
        for path in sorted(images.glob(f"*/*{IMAGE}")):
            stem = path.name.removesuffix(IMAGE)
            beside = labels / path.parent.name
            pair = pair_with_label(safe_id(Path(f"{stem}.png")), path, beside / f"{stem}{suffix}")
            found.append(_with_instances(pair, beside / f"{stem}{INSTANCE_IDS}") if with_instances else pair)
        return found

    def facts(self, root: Path, split: str, entry: dict[str, Any]) -> Facts:
        """Return the 19 classes. Ids are mapped where only labelIds exist."""
        labels = root / "gtFine" / split
        instances = INSTANCES if _has_instances(labels) else None
        if _label_suffix(labels) == TRAIN_IDS:
            return Facts(CLASSES, instances=instances)
        id_map = {**dict.fromkeys(UNSCORED, 255), **{raw: i for i, raw in enumerate(LABEL_IDS)}}
        return Facts(CLASSES, 255, id_map, instances)


def _has_instances(labels: Path) -> bool:
    """Return whether a split has at least one file with ids of instances. Others are then reported as missing."""
    return next(labels.glob(f"*/*{INSTANCE_IDS}"), None) is not None


def _with_instances(pair: Pair, path: Path) -> Pair:
    """Return the pair with its instances. One that lacks them, while others have them, has a fault."""
    if path.is_file():
        return replace(pair, instances=path)
    mend = "add it, or take all files of instances out of the split"
    return replace(pair, fault=pair.fault or f"{pair.image}: has no ids of instances ({path} is missing): {mend}")


def _label_suffix(labels: Path) -> str:
    """Choose the split's kind of label files: trainIds if there is at least one. Others are then reported as
    missing.
    """
    only_ids = next(labels.glob(f"*/*{TRAIN_IDS}"), None) is None and next(labels.glob(f"*/*{IDS}"), None)
    return IDS if only_ids else TRAIN_IDS


LAYOUT = Cityscapes()
