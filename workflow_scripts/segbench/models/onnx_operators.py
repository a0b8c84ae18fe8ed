"""Look at an ONNX network's operators: those that 8 bits are in already, those that are not ONNX's, those unnamed."""

from __future__ import annotations

from collections import Counter
from typing import Any

OWN_DOMAINS = ("", "ai.onnx")
OPTIMISED = "com.microsoft.nchwc"  # ONNX Runtime's optimiser imports this domain into every graph that it saves
EIGHT_BITS = (
    "QLinearConv", "QLinearMatMul", "QLinearAdd", "QLinearAveragePool", "QLinearGlobalAveragePool", "QLinearConcat",
    "QGemm", "ConvInteger", "MatMulInteger", "MatMulIntegerToFloat", "DynamicQuantizeLinear", "DynamicQuantizeMatMul",
)  # fmt: skip


def quantized_operators(model: Any) -> dict[str, int]:
    """Count the operators, by name, by which the network rounds its activations to 8 bits. Weights alone may be stored
    so.
    """
    constants = {tensor.name for tensor in model.graph.initializer}
    return dict(
        Counter(
            node.op_type
            for node in model.graph.node
            if node.op_type in EIGHT_BITS or (node.op_type == "QuantizeLinear" and node.input[0] not in constants)
        )
    )


def operator_name(node: Any) -> str:
    """Return the operator of a node, with its domain where that is not ONNX's own."""
    return str(node.op_type) if node.domain in OWN_DOMAINS else f"{node.op_type} of domain {node.domain}"


def foreign_operators(model: Any) -> list[str]:
    """Return the operators that are neither ONNX's nor functions of the model, each once."""
    own = {*OWN_DOMAINS, *(function.domain for function in model.functions)}
    return list(dict.fromkeys(operator_name(node) for node in model.graph.node if node.domain not in own))


def foreign_note(model: Any, foreign: list[str]) -> list[str]:
    """Return a note where the network has `foreign` operators, which other engines may not know."""
    if not foreign:
        return []
    saved = OPTIMISED in {entry.domain for entry in model.opset_import}
    how = "was saved by ONNX Runtime's optimiser: it has" if saved else "has"
    return [f"the graph {how} {', '.join(foreign)}, which other engines may not know"]


def name_nodes(model: Any) -> None:
    """Give each node a name of its own, in place, since layers are told apart by it. ONNX asks for none."""
    taken = Counter(node.name for node in model.graph.node)
    for number, node in enumerate(model.graph.node):
        if not node.name or taken[node.name] > 1:
            node.name = f"{node.name or node.op_type}/{number}"
