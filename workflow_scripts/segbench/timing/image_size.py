"""Run images that are resized, padded or cut into windows, and make class maps of each image's own size.

The timed engine ends in the argmax. A second engine of the same network ends in logits, which are brought to the
image's size before the argmax. Both run: the first one's map is what timed rounds are compared with. Where there is no
second engine, the first one's map is resized by its nearest pixels, and the row says so.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypedDict

import numpy as np

from segbench.arrays import ClassMap, Float32Image
from segbench.config.options import Variant, parse_options
from segbench.config.resizing import Size
from segbench.engines.base import Session, load, run_once
from segbench.errors import Failed, Unsupported
from segbench.files import check_manifest, read_json
from segbench.images.index import IndexEntry
from segbench.images.normalize import class_map_at, class_map_of_logits, enlarged_class_map
from segbench.images.placement import Placement
from segbench.process.supervise import progress
from segbench.scoring.predictions import CLASS_MAPS, LOGITS, PredictionsWriter
from segbench.timing.job import Entries, TimedSession
from segbench.timing.request import PassRequest


class Protocol(TypedDict):
    """How class maps got their image's size. `scored_by`: "" where none was resized. `scored_by_reason`: why class maps
    were resized and not logits. `logits_agreement`: share of pixels at which the highest logit is the timed engine's
    class; None without logits.
    """

    scored_by: str
    scored_by_reason: str
    logits_agreement: float | None


NOT_RESIZED: Protocol = {"scored_by": "", "scored_by_reason": "", "logits_agreement": None}


def any_resized(opened: TimedSession, rows: Entries) -> bool:
    """Return whether an image of `rows` is not the network's input as it is."""
    return not all(_placed(opened, row).keeps(_size(row)) for row in rows)


def _size(row: IndexEntry) -> Size:
    return int(row["height"]), int(row["width"])


def _placed(opened: TimedSession, row: IndexEntry) -> Placement:
    return opened.normalize.place(_size(row), row["image"])


def keep_class_maps_of_image_size(opened: TimedSession, rows: Entries, request: PassRequest) -> Protocol:
    """Run the images of `rows`, and write class maps of each image's own size to `request["predictions"]`."""
    second, reason = _open_logits(opened, request)
    equal = pixels = 0
    with PredictionsWriter(request["predictions"], opened.normalize.height, opened.normalize.width) as predictions:
        for done, (row, image, maps) in enumerate(_class_maps(opened, rows), 1):
            placement, own = _placed(opened, row), np.concatenate(maps)
            if second is None:
                at_size = class_map_at(own, placement, *_size(row))
            else:
                logits = _outputs(second, image)
                at_size = class_map_of_logits(logits, placement, *_size(row))
                for scores, chosen in zip(logits, maps, strict=True):
                    equal += int(np.count_nonzero(enlarged_class_map(scores, *chosen.shape) == chosen))
                pixels += own.size
            predictions.add_at_image_size(row["image_id"], at_size, own)
            progress("running", done, len(rows))
    return {
        "scored_by": LOGITS if second else CLASS_MAPS,
        "scored_by_reason": reason,
        "logits_agreement": equal / pixels if pixels else None,
    }


def _class_maps(opened: TimedSession, rows: Entries) -> Iterator[tuple[IndexEntry, Float32Image, list[ClassMap]]]:
    """Yield each image's row, its inputs, and the timed engine's class maps of these."""
    for together, inputs in opened.batches((row, opened.image(row)) for row in rows):
        if opened.batch == 1:
            yield together[0], inputs, _outputs(opened.session, inputs)
            continue
        for number, (row, class_map) in enumerate(zip(together, run_once(opened.session, inputs), strict=False)):
            yield row, inputs[number : number + 1], [class_map]


def _open_logits(opened: TimedSession, request: PassRequest) -> tuple[Session | None, str]:
    """Open the engine that ends in logits; None, and why, where there is none."""
    if not request["logits"]:
        return None, "no engine with logits was built"
    folder, status = Path(request["logits"]), read_json(request["logits_status"])
    if status["status"] != "ok":
        return None, status["reason"]
    check_manifest(folder, status["manifest"])
    variant = Variant(**request["variant"]).single
    engine = load(variant.engine)
    options = parse_options(engine.run_options, request["options"], f"variant_catalogue.{variant.name}.run")
    progress("opening the engine with logits")
    try:
        return engine.open(folder, variant, options, opened.threads), ""
    except (Unsupported, Failed) as error:
        return None, str(error)


def _outputs(session: Session, image: Float32Image) -> list[Any]:
    """Return what the session makes of each input of an image."""
    return [run_once(session, image[number : number + 1]) for number in range(len(image))]
