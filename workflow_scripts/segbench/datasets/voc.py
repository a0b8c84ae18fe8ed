"""Read Pascal VOC: names in ImageSets/Segmentation/{split}.txt, pictures in JPEGImages/, labels in SegmentationClass/.

Classes and ids are those of the development kit (VOCcode/VOCinit.m); 255 are the borders, which no score counts.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from segbench.datasets.base import Facts, Layout, Pair, need_folder, pair_with_label, safe_id
from segbench.datasets.lists import lines_of

CLASSES = [
    "background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow",
    "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
]  # fmt: skip


class VOC(Layout):
    """Pascal VOC's layout. The split is the name of a list: val, trainval, …."""

    about = "ImageSets/Segmentation/{split}.txt, JPEGImages/*.jpg and SegmentationClass/*.png, as in VOCdevkit/VOC2012"

    def pairs(self, root: Path, split: str, entry: dict[str, Any]) -> list[Pair]:
        """Return the images that the split's list names."""
        images, labels = need_folder(root / "JPEGImages"), need_folder(root / "SegmentationClass")
        where = f"dataset_catalogue.{entry.get('name', 'NAME')}.split"
        names = sorted(lines_of(root / "ImageSets" / "Segmentation" / f"{split}.txt", where))
        return [pair_with_label(safe_id(Path(f"{n}.png")), images / f"{n}.jpg", labels / f"{n}.png") for n in names]

    def facts(self, root: Path, split: str, entry: dict[str, Any]) -> Facts:
        """Return the 21 classes. Ids are trainIds."""
        return Facts(CLASSES)


LAYOUT = VOC()
