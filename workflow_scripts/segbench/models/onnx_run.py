"""Run a person's ONNX network once, on noise, where its shapes and ids do not follow from its graph."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from segbench.errors import InputError, one_line

Values = npt.NDArray[Any]
ROUNDING = 1e-3  # of the largest output: how far outputs of two forms of one network may be from each other
EQUAL_SHARE = 0.999  # of the outputs that are equal then; an id of two equal scores may be either


def outputs_of(model: Any, image: Values) -> dict[str, Values]:
    """Return the outputs of `model`, by name, for its one input. Raises InputError with what ONNX Runtime says."""
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = 4  # what matters is raised
    try:
        session = onnxruntime.InferenceSession(model.SerializeToString(), settings, providers=["CPUExecutionProvider"])
        values = session.run(None, {session.get_inputs()[0].name: image})
    except Exception as error:  # the library has a class of its own for each kind of refusal
        raise InputError(f"ONNX Runtime cannot run it: {one_line(str(error), 250)}") from None
    return {output.name: value for output, value in zip(session.get_outputs(), values, strict=True)}


def noise(shape: tuple[int, ...], kind: int) -> Values:
    """Return values of an image of noise, of the ONNX type `kind`: 0 to 255 in integers, else −2 to 2."""
    from onnx import helper

    dtype = np.dtype(helper.tensor_dtype_to_np_dtype(kind))
    random = np.random.default_rng(0)
    if dtype.kind in "iu":
        return random.integers(0, np.iinfo(dtype).max if dtype.itemsize == 1 else 255, shape).astype(dtype)
    return random.uniform(-2, 2, shape).astype(dtype)


def same_outputs(found: dict[str, Values], wanted: dict[str, Values]) -> bool:
    """Return whether outputs for one image are the first of those for a batch, or the same, but for rounding."""
    for name, value in found.items():
        first = wanted[name][:1]
        if value.shape != first.shape:
            return False
        if value.dtype.kind == "f":
            near = np.abs(value - first) <= ROUNDING * np.abs(first).max(initial=0)
        else:
            near = value == first
        if near.mean() < EQUAL_SHARE:
            return False
    return True
