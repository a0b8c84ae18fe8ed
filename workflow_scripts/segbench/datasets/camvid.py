"""Read CamVid: {split}/*.png beside {split}annot/ (SegNet's ids), or beside {split}_labels/ (CamVid's colours).

The 32 classes of the colours are joined to SegNet's 11, as its authors did for their ids.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from segbench.datasets.base import Facts, Layout, Pair, need_folder, pair_with_label, safe_id
from segbench.errors import InputError

CLASSES = [
    "sky", "building", "pole", "road", "pavement", "tree", "sign", "fence", "car", "pedestrian", "bicyclist",
]  # fmt: skip
VOID = 11
# The colours of CamVid's label_colors.txt, by trainId.
COLOURS = {
    0: ["128,128,128"],  # sky
    1: ["128,0,0", "0,128,64", "192,0,128", "64,0,64", "64,192,0"],  # building, bridge, archway, tunnel, wall
    2: ["192,192,128", "0,0,64"],  # column or pole, traffic cone
    3: ["128,64,128", "128,0,192", "192,0,64"],  # road, its markings
    4: ["0,0,192", "64,192,128", "128,128,192"],  # sidewalk, parking block, road shoulder
    5: ["128,128,0", "192,192,0"],  # tree, other vegetation
    6: ["192,128,128", "128,128,64", "0,64,64"],  # sign, other text, traffic light
    7: ["64,64,128"],  # fence
    8: ["64,0,128", "64,128,192", "192,128,192", "192,64,128", "128,64,64"],  # car, van, lorry or bus, train, other
    9: ["64,64,0", "192,128,64", "64,0,192", "64,128,64"],  # pedestrian, child, luggage or pram, animal
    10: ["0,128,192", "192,0,192"],  # bicyclist, motorcycle
    255: ["0,0,0"],  # void
}
COLOURED = "_L.png"


class CamVid(Layout):
    """CamVid's layout, with the labels in a folder beside the images."""

    about = "{split}/*.png beside {split}annot/*.png (SegNet's ids) or {split}_labels/*_L.png (CamVid's colours)"

    def pairs(self, root: Path, split: str, entry: dict[str, Any]) -> list[Pair]:
        """Return the images of {root}/{split}, each with the label of its name."""
        images, labels = need_folder(root / split), _labels(root, split)
        suffix = COLOURED if next(labels.glob(f"*{COLOURED}"), None) else ".png"
        return [
            pair_with_label(safe_id(Path(path.name)), path, labels / f"{path.stem}{suffix}")
            for path in sorted(images.glob("*.png"))
        ]

    def facts(self, root: Path, split: str, entry: dict[str, Any]) -> Facts:
        """Return the 11 classes. Ids are trainIds, except void."""
        if _labels(root, split).name.endswith("annot"):
            return Facts(CLASSES, 255, {**{i: i for i in range(len(CLASSES))}, VOID: 255})
        return Facts(CLASSES, 255, {colour: train_id for train_id, own in COLOURS.items() for colour in own})


def _labels(root: Path, split: str) -> Path:
    """Return the folder of the split's labels."""
    folders = [root / f"{split}{end}" for end in ("annot", "_labels")]
    if found := next((folder for folder in folders if folder.is_dir()), None):
        return found
    raise InputError(f"{folders[0]}: no such folder, and no {folders[1].name} either")


LAYOUT = CamVid()
