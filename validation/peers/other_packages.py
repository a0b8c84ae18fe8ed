"""Call other packages' functions for what SegBench does outside the model, as their own packages call them.

They are installed by `make env-peers` only, and imported here inside functions.
"""

from __future__ import annotations

import time
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from segbench.datasets.cityscapes import LABEL_IDS
from segbench.images.index import IndexEntry
from segbench.scoring.confusion import fold, pair_counts

ClassMap = npt.NDArray[np.uint8]  # H×W trainIds
CLASSES = 19
IGNORE = 255


class Areas(NamedTuple):
    """Pixels of each class, int64 (19,), where the label counts: hits, predicted, labelled. mIoU is made from these."""

    hits: Any
    predicted: Any
    labelled: Any

    def same(self, other: Areas) -> bool:
        """Return whether all counts are equal."""
        return all((np.asarray(a) == np.asarray(b)).all() for a, b in zip(self, other, strict=True))


class Scorer(NamedTuple):
    """A way to score a label and a class map. `prepare` makes its own input from them, and is not timed."""

    prepare: Callable[[ClassMap, ClassMap], Any]
    count: Callable[[Any], Any]
    areas: Callable[[Any], Areas]


def of_matrix(matrix: Any) -> Areas:
    """Return the areas of a confusion matrix K×K or larger, with labels as rows."""
    matrix = np.asarray(matrix)[:CLASSES]
    return Areas(np.diag(matrix)[:CLASSES], matrix.sum(0)[:CLASSES], matrix.sum(1))


def segbench() -> Scorer:
    """Score as score.py does: ids are looked up once, in the sum of all images."""
    return Scorer(
        lambda label, prediction: (label, prediction),
        lambda maps: pair_counts(*maps),
        lambda counts: of_matrix(fold(counts, CLASSES, IGNORE)),
    )


def cityscapesscripts() -> Scorer:
    """Score by cityscapesscripts' evaluatePair, on images in memory. The package has no compiled evaluator."""
    from cityscapesscripts.evaluation import evalPixelLevelSemanticLabeling as peer
    from PIL import Image

    peer.args.evalInstLevelScore = False
    peer.Image = types.SimpleNamespace(open=lambda image: image)
    ids = np.zeros(256, np.uint8)  # the ignored 255 becomes id 0, unlabelled
    ids[:CLASSES] = LABEL_IDS

    def count(images: Any) -> Any:
        matrix = peer.generateMatrix(peer.args)
        peer.evaluatePair(*images, matrix, {}, {}, peer.args)
        return matrix

    return Scorer(
        lambda label, prediction: (Image.fromarray(ids[prediction]), Image.fromarray(ids[label])),
        count,
        lambda matrix: of_matrix(np.asarray(matrix)[np.ix_(LABEL_IDS, LABEL_IDS)]),
    )


def torchmetrics() -> Scorer:
    """Score by torchmetrics' multiclass_confusion_matrix."""
    import torch
    from torchmetrics.functional.classification import multiclass_confusion_matrix

    def count(maps: Any) -> Any:
        return multiclass_confusion_matrix(*maps, num_classes=CLASSES, ignore_index=IGNORE)

    return Scorer(
        lambda label, prediction: (torch.tensor(prediction).long(), torch.tensor(label).long()),
        count,
        of_matrix,
    )


def mmsegmentation() -> Scorer:
    """Score by the body of mmsegmentation 1.2.2's IoUMetric.intersect_and_union (Apache-2.0), since the package
    needs mmcv.
    """
    import torch

    def count(maps: Any) -> Any:
        pred_label, label = maps
        mask = label != IGNORE
        pred_label = pred_label[mask]
        label = label[mask]
        intersect = pred_label[pred_label == label]
        return [
            torch.histc(part.float(), bins=CLASSES, min=0, max=CLASSES - 1).cpu()
            for part in (intersect, pred_label, label)
        ]

    return Scorer(
        lambda label, prediction: (torch.tensor(prediction).long(), torch.tensor(label).long()),
        count,
        lambda found: Areas(*found),
    )


def scikit_learn() -> Scorer:
    """Score by scikit-learn's confusion_matrix."""
    from sklearn.metrics import confusion_matrix as peer

    return Scorer(
        lambda label, prediction: (label.ravel(), prediction.ravel()),
        lambda maps: peer(*maps, labels=range(CLASSES)),
        of_matrix,
    )


def paddleseg() -> Scorer:
    """Score by PaddleSeg's calculate_area."""
    import paddle

    metrics = mended_metrics()
    return Scorer(
        lambda label, prediction: (
            paddle.to_tensor(prediction.astype(np.int32))[None, None],
            paddle.to_tensor(label.astype(np.int64))[None, None],
        ),
        lambda maps: metrics.calculate_area(*maps, CLASSES, IGNORE),
        lambda found: Areas(*(part.numpy() for part in found)),
    )


def mended_metrics() -> Any:
    """Return PaddleSeg 2.8.0's metrics. On Paddle 2.6.2 they fail to concatenate 0-D tensors, which later sources
    stack.
    """
    import paddle
    from paddleseg.utils import metrics

    class Stacking:
        concat = staticmethod(paddle.stack)

        def __getattr__(self, name: str) -> Any:
            return getattr(paddle, name)

    metrics.paddle = Stacking()
    return metrics


SCORERS: dict[str, Callable[[], Scorer]] = {
    "cityscapesscripts": cityscapesscripts,
    "torchmetrics": torchmetrics,
    "mmsegmentation's method": mmsegmentation,
    "scikit-learn": scikit_learn,
    "PaddleSeg": paddleseg,
}


def paddleseg_transforms() -> Callable[[Any], Any]:
    """Return PaddleSeg's transforms for the published page's models: uint8 H×W×3 BGR to float32 3×H×W."""
    from paddleseg.transforms import Compose, Normalize

    compose = Compose([Normalize()])
    return lambda image: compose({"img": image.astype("float32")})["img"]  # what it does after its own imread


def paddleseg_evaluation(layer: Any, rows: list[IndexEntry], folder: str) -> Callable[[], dict[str, float]]:
    """Prepare PaddleSeg's evaluate (which its val.py runs) of `layer` on the images and labels of `rows`.

    Returns a function that runs it: `whole_s`, `model_s` (inside its inference call) and `miou`. `folder` is for the
    list of files.
    """
    from paddleseg import core
    from paddleseg.core import val
    from paddleseg.datasets import Dataset
    from paddleseg.transforms import Normalize

    mended_metrics()
    listed = Path(folder) / "val.txt"
    listed.write_text("".join(f"{Path(r['image']).resolve()}|{Path(r['label']).resolve()}\n" for r in rows))
    data = Dataset("val", "/", [Normalize()], CLASSES, val_path=str(listed), separator="|", ignore_index=IGNORE)
    inside: list[float] = []

    def inference(*arguments: Any, **options: Any) -> Any:
        start = time.perf_counter()
        result = their_inference(*arguments, **options)
        inside.append(time.perf_counter() - start)
        return result

    their_inference, val.infer.inference = val.infer.inference, inference

    def run() -> dict[str, float]:
        inside.clear()
        start = time.perf_counter()
        miou = core.evaluate(layer, data, num_workers=0, print_detail=False)[0]
        return {"whole_s": time.perf_counter() - start, "model_s": sum(inside), "miou": float(miou)}

    return run
