"""Export a network of transformers to ONNX, with its logits as the output. This runs in the environment of PyTorch.

Nothing is downloaded, and no code that lies in the folder is run. Each of PyTorch's two exporters is tried, until one
gives what PyTorch itself computes.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from segbench.errors import InputError, Unsupported, one_line
from segbench.models.onnx_run import noise, outputs_of, same_outputs

OPSET = 18  # both exporters write it without a conversion
EXPORTERS = {"TorchScript": False, "dynamo": True}  # the value of `dynamo` in torch.onnx.export
OFFLINE = {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}  # variables of the process that exports
COLOURS = re.compile(r"\x1b\[\d*m")  # of a terminal
FLOAT = 1  # ONNX's number of the type


def load(folder: Path, where: str) -> Any:
    """Return the network of a folder that `huggingface_files` accepts, in float32. Raises InputError where transformers
    cannot load it, or its weights are not all there.
    """
    import torch
    import transformers

    transformers.logging.set_verbosity_error()
    try:
        network, found = transformers.AutoModelForSemanticSegmentation.from_pretrained(
            str(folder), local_files_only=True, use_safetensors=True, trust_remote_code=False, output_loading_info=True,
            ignore_mismatched_sizes=True, attn_implementation="eager", dtype=torch.float32,
        )  # fmt: skip
    except Exception as error:  # the library has many classes of its own
        version = transformers.__version__
        raise InputError(f"{where}.folder: {folder}: transformers {version} cannot load it: {_said(error)}") from None
    lacking = sorted([*found["missing_keys"], *(name for name, *_ in found["mismatched_keys"])])
    if lacking:
        raise InputError(
            f"{where}.folder: {folder}: the weights are not those of its config.json: {len(lacking)} tensors are"
            f" missing or of another shape, such as {lacking[0]}"
        )
    return network.eval()


def export(network: Any, size: tuple[int, int], where: str, out: Path) -> list[str]:
    """Write the network as ONNX, for one image of height×width `size`. Return notes.

    Raises InputError where the network does not take that size, and Unsupported where no exporter writes what PyTorch
    computes.
    """
    import torch

    class Logits(torch.nn.Module):
        """The network, from the image to the logits of its classes."""

        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, image: Any) -> Any:
            """Return 1×C×h×w."""
            return self.network(pixel_values=image).logits

    image = noise((1, 3, *size), FLOAT)
    given, wrapped = torch.from_numpy(image), Logits().eval()
    try:
        with torch.no_grad():
            wanted = wrapped(given).numpy()
    except Exception as error:
        raise InputError(f"{where}.input: {size[0]}×{size[1]}: the network cannot run it: {_said(error)}") from None
    failed = []
    for name, dynamo in EXPORTERS.items():
        try:
            torch.onnx.export(
                wrapped, (given,), str(out), dynamo=dynamo, opset_version=OPSET, input_names=["image"],
                output_names=["logits"], external_data=False, verbose=False,
            )  # fmt: skip
            found = outputs_of(_read(out), image)
        except Exception as error:  # the exporters have many classes of their own
            failed.append(f"{name}: {_said(error)}")
            continue
        if same_outputs(found, {"logits": wanted}):
            return [f"exported by PyTorch's {name} exporter, since {reason}" for reason in failed]
        failed.append(f"{name}: its ONNX model computes something else")
    raise Unsupported(f"PyTorch {torch.__version__} cannot export it to ONNX: {'; '.join(failed)}")


def _read(path: Path) -> Any:
    import onnx

    return onnx.load(str(path))


def _said(error: Exception) -> str:
    """Return an exception in a few words: its first sentence says what is wrong."""
    lines = [line for line in COLOURS.sub("", str(error)).splitlines() if line.strip()] or [""]
    sentence = lines[0].split(". ")[0].replace("; ", ", ")  # which ends a note in the table
    return one_line(f"{type(error).__name__}: {sentence}", 200)
