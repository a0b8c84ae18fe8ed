"""Run images that are resized to the network's input, and make class maps of each image's own size.

The timed engine ends in the argmax. A second engine of the same network ends in logits, which are brought to the
image's size before the argmax. Both run: the first one's map is what timed rounds are compared with. Where there is no
second engine, the first one's map is resized by its nearest pixels, and the row says so.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypedDict

import numpy as np

from segbench.arrays import Float32Image
from segbench.config.options import Variant, parse_options
from segbench.engines.base import Session, load
from segbench.errors import Failed, Unsupported
from segbench.files import check_manifest, read_json
from segbench.images.normalize import enlarged_class_map, resize_class_map
from segbench.process.supervise import progress
from segbench.scoring.predictions import CLASS_MAPS, LOGITS, PredictionsWriter
from segbench.timing.job import Entries, PassRequest, TimedSession


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
    """Return whether an image of `rows` has another size than the network's input."""
    size = opened.normalize.height, opened.normalize.width
    return any((int(row["height"]), int(row["width"])) != size for row in rows)


def keep_class_maps_of_image_size(opened: TimedSession, rows: Entries, request: PassRequest) -> Protocol:
    """Run the images of `rows`, and write class maps of each image's own size to `request["predictions"]`."""
    second, reason = _open_logits(opened, request)
    equal = pixels = 0
    with PredictionsWriter(request["predictions"], opened.normalize.height, opened.normalize.width) as predictions:
        for done, row in enumerate(rows, 1):
            image, size = opened.image(row), (int(row["height"]), int(row["width"]))
            own = _output(opened.session, image)
            if second is None:
                at_size = resize_class_map(own, *size)
            else:
                logits = _output(second, image)
                at_size = enlarged_class_map(logits, *size)
                equal += int(np.count_nonzero(enlarged_class_map(logits, *own.shape) == own))
                pixels += own.size
            predictions.add_at_image_size(row["image_id"], at_size, own)
            progress("running", done, len(rows))
    return {
        "scored_by": LOGITS if second else CLASS_MAPS,
        "scored_by_reason": reason,
        "logits_agreement": equal / pixels if pixels else None,
    }


def _open_logits(opened: TimedSession, request: PassRequest) -> tuple[Session | None, str]:
    """Open the engine that ends in logits; None, and why, where there is none."""
    if not request["logits"]:
        return None, "no engine with logits was built"
    folder, status = Path(request["logits"]), read_json(request["logits_status"])
    if status["status"] != "ok":
        return None, status["reason"]
    check_manifest(folder, status["manifest"])
    variant = Variant(**request["variant"])
    engine = load(variant.engine)
    options = parse_options(engine.run_options, request["options"], f"variant_catalogue.{variant.name}.run")
    progress("opening the engine with logits")
    try:
        return engine.open(folder, variant, options, opened.threads), ""
    except (Unsupported, Failed) as error:
        return None, str(error)


def _output(session: Session, image: Float32Image) -> Any:
    session.upload(image)
    session.execute()
    session.synchronize()
    return session.download()
