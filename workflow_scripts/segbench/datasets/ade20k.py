"""Read ADE20K as the scene parsing challenge laid it out: images/{training,validation}/ beside annotations/.

The 150 classes are the first names of objectInfo150.txt. Id 0 is what has no class, so that trainIds are ids less one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from segbench.datasets.base import Facts, Layout, Pair, need_folder, pair_with_label, safe_id

CLASSES = """
wall, building, sky, floor, tree, ceiling, road, bed, windowpane, grass, cabinet, sidewalk, person, earth, door, table,
mountain, plant, curtain, chair, car, water, painting, sofa, shelf, house, sea, mirror, rug, field, armchair, seat,
fence, desk, rock, wardrobe, lamp, bathtub, railing, cushion, base, box, column, signboard, chest of drawers, counter,
sand, sink, skyscraper, fireplace, refrigerator, grandstand, path, stairs, runway, case, pool table, pillow,
screen door, stairway, river, bridge, bookcase, blind, coffee table, toilet, flower, book, hill, bench, countertop,
stove, palm, kitchen island, computer, swivel chair, boat, bar, arcade machine, hovel, bus, towel, light, truck, tower,
chandelier, awning, streetlight, booth, television receiver, airplane, dirt track, apparel, pole, land, bannister,
escalator, ottoman, bottle, buffet, poster, stage, van, ship, fountain, conveyer belt, canopy, washer, plaything,
swimming pool, stool, barrel, basket, waterfall, tent, bag, minibike, cradle, oven, ball, food, step, tank, trade name,
microwave, pot, animal, bicycle, lake, dishwasher, screen, blanket, sculpture, hood, sconce, vase, traffic light, tray,
ashcan, fan, pier, crt screen, plate, monitor, bulletin board, shower, radiator, glass, clock, flag
"""
FOLDERS = {"train": "training", "val": "validation"}


class ADE20K(Layout):
    """ADE20K's layout."""

    about = "images/{training,validation}/*.jpg beside annotations/{training,validation}/*.png"

    def pairs(self, root: Path, split: str, entry: dict[str, Any]) -> list[Pair]:
        """Return the images of the split's folder with the label of the same name."""
        folder = FOLDERS.get(split, split)
        images, labels = need_folder(root / "images" / folder), need_folder(root / "annotations" / folder)
        return [
            pair_with_label(safe_id(Path(path.name)), path, labels / f"{path.stem}.png")
            for path in sorted(images.glob("*.jpg"))
        ]

    def facts(self, root: Path, split: str, entry: dict[str, Any]) -> Facts:
        """Return the 150 classes."""
        classes = [" ".join(name.split()) for name in CLASSES.split(",")]
        return Facts(classes, 255, {0: 255, **{i + 1: i for i in range(len(classes))}})


LAYOUT = ADE20K()
