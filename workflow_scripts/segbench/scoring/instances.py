"""Cityscapes' instance-weighted IoU (iIoU): each labelled instance weighs as much as an average one of its class.

The definition is that of cityscapesscripts' pixel-level evaluation. iTP and iFN are the pixels of a class's instances
that are right and wrong, times the average size of the class's instances over the instance's own size. iIoU =
iTP / (iTP + FP + iFN), where FP are plain pixels, since a false positive belongs to no instance. Pixels of a group
that is not labelled one by one are neither right nor wrong.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from segbench.arrays import ClassMap
from segbench.images.labels import INSTANCES_PER_CLASS
from segbench.scoring.confusion import Matrix, classes_of_outputs

UNIT = 1 << 28  # parts of a pixel. An average instance is exact to 1e-12, and 16000 images of 1024×2048 fit into int64


def instance_counts(
    instances: npt.NDArray[np.integer[Any]],
    prediction: ClassMap,
    pixels: Matrix,
    *,
    kinds: Mapping[Any, Sequence[Any]],
    class_count: int,
    class_map: Any = None,
) -> Matrix:
    """Count what the iIoU of each class is made of, int64 3×K as `iou_counts` does, in units of 1/UNIT of a pixel.

    `instances` are the H×W ids of instances, and `prediction` is a model's raw output. `pixels` are `iou_counts` of the
    same image. `kinds` gives the trainId and the average size of an instance by the id of its class. A class that has
    no instances counts nothing. Whole numbers add up exactly, whatever the order of images and shards.
    """
    train_ids = np.full(np.iinfo(np.uint16).max // INSTANCES_PER_CLASS + 1, class_count)
    averages = np.zeros(class_count)
    for key, (train_id, average) in kinds.items():
        if train_id < class_count:  # else the data set ignores the class
            train_ids[int(key)], averages[train_id] = train_id, average
    at = np.flatnonzero(instances.ravel() > INSTANCES_PER_CLASS)
    ids = instances.ravel()[at]
    right = classes_of_outputs(class_count, class_map)[prediction.ravel()[at]] == train_ids[ids // INSTANCES_PER_CLASS]
    sizes = np.bincount(ids)
    hits = np.bincount(ids[right], minlength=len(sizes))
    found = np.flatnonzero(sizes)
    found = found[train_ids[found // INSTANCES_PER_CLASS] < class_count]
    classes = train_ids[found // INSTANCES_PER_CLASS]
    weighted = np.zeros((2, class_count))
    np.add.at(weighted[0], classes, averages[classes] * (hits[found] / sizes[found]))  # at most the average: IoU <= 1
    np.add.at(weighted[1], classes, averages[classes])
    hit, labelled = np.rint(weighted * UNIT).astype(np.int64)
    false = np.where(averages > 0, pixels[2] - pixels[0], 0)
    return np.stack([hit, labelled, hit + false * UNIT])
