"""Class maps by ONNX Runtime, outside of any clock: with its default optimisations and threads."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from segbench.arrays import Float32Image
from segbench.errors import framework_errors


def class_maps(model: Path | bytes, named: str = "model") -> Callable[[Float32Image], Any]:
    """Return a function from network input to class map, for an ONNX file or its bytes. Errors call it `named`.

    Raises Unsupported, as the function does, where ONNX Runtime cannot open or run it.
    """
    import onnxruntime

    given = model if isinstance(model, bytes) else str(model)
    with framework_errors(f"opening the {named}", Exception, unsupported=True):
        session = onnxruntime.InferenceSession(given, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name

    def predict(image: Float32Image) -> Any:
        with framework_errors(f"running the {named}", Exception, unsupported=True):
            return session.run(None, {name: image})[0][0]

    return predict
