"""Pieces of a network: what lies between two sets of its tensors, as a network of its own.

Two engines part somewhere in a network. To find the place, its head runs on one of them and the rest on the other.
Networks of different forms (a Paddle program, its ONNX twin, OpenVINO's representation of either) name their tensors
alike, so that a head of one form goes with the rest of another.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from segbench.errors import Unsupported
from segbench.models.onnx_graph import drop_unused, infer
from segbench.models.paddle_files import read_program

# Operators to which paddle2onnx gives names of its own, with ONNX's name of the kind.
RENAMED = {"elementwise_add": "Add", "elementwise_sub": "Sub", "elementwise_mul": "Mul", "concat": "Concat"}
OUTSIDE = ("feed", "fetch")  # what Paddle puts around a program
STORED = ("Constant", "Parameter", "Result")  # what OpenVINO counts among a network's nodes
DEQUANTISED = "_DequantizeLinear_Output"  # how ONNX Runtime's quantiser calls a tensor behind its Q/DQ pair


class Node(NamedTuple):
    """An operator with a name of its own, which a Paddle program does not give, and its tensors. What the network
    stores (weights) stands apart.
    """

    kind: str
    name: str
    reads: tuple[str, ...]
    makes: tuple[str, ...]
    stored: tuple[str, ...] = ()


class Network(NamedTuple):
    """The nodes in running order, and the tensors that come in and go out."""

    nodes: list[Node]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    def made_once(self) -> set[str]:
        """Return the tensors that one node makes. A program may write to one place twice."""
        counts = Counter(name for node in self.nodes for name in set(node.makes))
        return {name for name, count in counts.items() if count == 1}


class Split(NamedTuple):
    """The tensors between some nodes of a network, those before them, and those behind."""

    into: list[str]  # from the nodes before
    out: list[str]  # to the nodes behind
    past: list[str]  # from before to behind


def from_input(network: Network) -> set[str]:
    """Return the tensors that depend on the network's input. The others need not pass: every piece makes them anew."""
    found = set(network.inputs)
    for node in network.nodes:
        if found & set(node.reads):
            found |= set(node.makes)
    return found - set(network.inputs)


def places(network: Network, shared: Collection[str]) -> list[int]:
    """Return where a network can be cut: numbers of first nodes of which `shared` has all tensors that later ones read.

    Both ends are among them.
    """
    last_read = {name: number for number, node in enumerate(network.nodes) for name in node.reads}
    last_read |= dict.fromkeys(network.outputs, len(network.nodes))
    pass_on, usable = from_input(network), network.made_once() & set(shared)
    passing, found = set[str](), [0]
    for number, node in enumerate(network.nodes[:-1]):
        passing |= pass_on & set(node.makes)
        passing = {name for name in passing if last_read.get(name, -1) > number}
        if passing and passing <= usable:
            found.append(number + 1)
    return [*found, len(network.nodes)]


def split(network: Network, chosen: Collection[int]) -> Split:
    """Return what passes where the nodes `chosen` run apart from the others: first what they do not touch, then they,
    then what depends on them. No path leads from them through other nodes back to them.
    """
    pass_on = from_input(network)
    nodes = [(number in chosen, node) for number, node in enumerate(network.nodes)]
    inside = {name for within, node in nodes if within for name in node.makes}
    behind, reads = set(inside), set[str]()  # made by the nodes chosen or behind them; what those behind read
    into = {name for within, node in nodes if within for name in node.reads} - inside
    for within, node in nodes:
        if not within and behind & set(node.reads):
            behind |= set(node.makes)
            reads |= set(node.reads)
    reads |= set(network.outputs)
    return Split(*(sorted(names & pass_on) for names in (into, inside & reads, reads - behind)))


def chain(network: Network, tensor: str) -> list[str]:
    """Return the tensors that are made of `tensor` one behind another, as long as each has one reader."""
    found: list[str] = []
    while True:
        readers = [node for node in network.nodes if tensor in node.reads]
        tensor = result(network, readers[0]) if len(readers) == 1 else ""
        if not tensor or tensor in found:
            return found
        found.append(tensor)


def result(network: Network, node: Node) -> str:
    """Return the tensor that a node makes for others. Some of Paddle's operators make more, which nobody reads."""
    read_later = {name for one in network.nodes for name in one.reads} | set(network.outputs)
    return next((name for name in node.makes if name in read_later), node.makes[0])


def common(network: Network, other: Network) -> dict[str, str]:
    """Return the tensors of a network that another form of it has too, with their names there.

    A name alone does not tell: paddle2onnx takes a bias into a convolution, whose output keeps the name that it had
    without. So a tensor has to depend on the same stored ones.
    """
    stored = {name for node in network.nodes for name in node.stored} & {
        name for node in other.nodes for name in node.stored
    }
    own, theirs = _roots(network, stored), _roots(other, stored)
    once = network.made_once()
    names = {name: name for name in once & other.made_once() if own[name] == theirs[name]}
    taken = set(names.values())
    readers: dict[tuple[str, tuple[str, ...]], list[Node]] = {}
    for node in other.nodes:
        readers.setdefault((node.kind, tuple(sorted(node.reads))), []).append(node)
    for node in network.nodes:
        made = [name for name in node.makes if name in once]
        if node.kind not in RENAMED or len(made) != 1 or made[0] in names:
            continue
        reads = tuple(sorted(names.get(name, name) for name in node.reads))
        same = [one.makes[0] for one in readers.get((RENAMED[node.kind], reads), ())] if len(reads) > 1 else []
        same += [name for name in node.reads if name not in names and theirs.get(name) == own[made[0]]]  # with its bias
        if len(same) == 1 and same[0] not in taken:
            names[made[0]] = same[0]
            taken.add(same[0])
    return names


def _roots(network: Network, stored: set[str]) -> dict[str, frozenset[str]]:
    """Return which of the tensors in `stored` each tensor depends on."""
    found: dict[str, frozenset[str]] = {}
    for node in network.nodes:
        here = frozenset(stored & set(node.stored)).union(*(found.get(name, frozenset()) for name in node.reads))
        for name in node.makes:
            found[name] = here
    return found


def read(network: Path) -> Network:
    """Return what a network is made of. Raises Unsupported for a form that has no reader here."""
    return _of_form(READERS, network)(network)


def cut(network: Path, start: Collection[str], end: Sequence[str], folder: Path) -> Path:
    """Write the nodes that make the tensors `end` from the tensors `start` and the network's own inputs, as a network
    of the same form and file name in `folder`. Its outputs are in the order of `end`; no end: the network's outputs.
    """
    folder.mkdir(parents=True, exist_ok=True)
    piece = folder / network.name
    _of_form(CUTTERS, network)(network, set(start), list(end), piece)
    return piece


def _of_form(table: dict[str, Any], network: Path) -> Any:
    if network.suffix not in table:
        raise Unsupported(f"{network.name}: networks of this form ({network.suffix}) are not cut into pieces")
    return table[network.suffix]


def _needed(nodes: Sequence[Node], start: Collection[str], end: Iterable[str]) -> set[int]:
    """Return the numbers of the nodes that make `end` from `start`."""
    wanted, found = set(end) - set(start), set[int]()
    for number in reversed(range(len(nodes))):
        if wanted & set(nodes[number].makes):
            found.add(number)
            wanted |= set(nodes[number].reads) - set(start)
    return found


# ONNX


def _read_onnx(path: Path) -> Network:
    import onnx

    return _onnx_network(onnx.load(str(path), load_external_data=False).graph)


def _onnx_network(graph: Any) -> Network:
    stored = {tensor.name for tensor in graph.initializer}
    inputs = tuple(value.name for value in graph.input if value.name not in stored)
    nodes = [
        Node(
            node.op_type,
            node.name or node.output[0],
            tuple(name for name in node.input if name and name not in stored),
            tuple(filter(None, node.output)),
            tuple(name for name in node.input if name in stored),
        )
        for node in graph.node
    ]
    return Network(nodes, inputs, tuple(value.name for value in graph.output))


def _cut_onnx(path: Path, start: set[str], end: list[str], out: Path) -> None:
    import onnx

    model = onnx.load(str(path))
    graph = model.graph
    known = infer(model)
    values = {value.name: value for value in (*known.value_info, *known.input, *known.output)}
    network = _onnx_network(graph)
    made = {name for node in network.nodes for name in node.makes}
    end = [f"{name}{DEQUANTISED}" if f"{name}{DEQUANTISED}" in made else name for name in end]
    end = end or list(network.outputs)
    needed = _needed(network.nodes, start, end)
    nodes = [node for number, node in enumerate(graph.node) if number in needed]
    read = {name for number in needed for name in network.nodes[number].reads}
    inputs = [name for name in (*network.inputs, *sorted(start)) if name in read]
    del graph.node[:], graph.input[:], graph.output[:]
    graph.node.extend(nodes)
    graph.input.extend(values[name] for name in inputs)
    graph.output.extend(values[name] for name in end)
    drop_unused(model)
    onnx.save(model, str(out))


# Paddle


def _read_pdmodel(path: Path) -> Network:
    program = read_program(path.read_bytes())
    block = program.block(0)
    operators = [block.op(number) for number in range(block.op_size())]
    return Network(
        [_paddle_node(block, one) for one in operators if one.type() not in OUTSIDE],
        tuple(one.output("Out")[0] for one in operators if one.type() == "feed"),
        tuple(one.input("X")[0] for one in operators if one.type() == "fetch"),
    )


def _paddle_node(block: Any, operator: Any) -> Node:
    def split(names: Iterable[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return the tensors that pass, and those that are stored."""
        variables = {name: block.find_var(name.encode()) for name in names}
        known = {name: variable for name, variable in variables.items() if variable is not None}
        stored = tuple(name for name, variable in known.items() if variable.persistable())
        return tuple(name for name in known if name not in stored), stored

    reads, stored = split(operator.input_arg_names())
    return Node(operator.type(), "", reads, split(operator.output_arg_names())[0], stored)


def _cut_pdmodel(path: Path, start: set[str], end: list[str], out: Path) -> None:
    """The parameters are those of the whole network, by a symbolic link."""
    whole = _read_pdmodel(path)
    end = end or list(whole.outputs)
    needed = _needed(whole.nodes, start, end)
    read = {name for number in needed for name in whole.nodes[number].reads}
    inputs = [name for name in (*whole.inputs, *sorted(start)) if name in read]
    program = read_program(path.read_bytes())
    block = program.block(0)
    number = len(whole.nodes)
    for place in reversed(range(block.op_size())):
        inside = block.op(place).type() not in OUTSIDE
        number -= inside
        if not inside or number not in needed:
            block._remove_op(place, place + 1)
    for column, name in enumerate(inputs):
        feed = block._insert_op(column)
        feed.set_type("feed")
        feed.set_input("X", ["feed"])
        feed.set_output("Out", [name])
        feed._set_attr("col", column)
    for column, name in enumerate(end):
        fetch = block.append_op()
        fetch.set_type("fetch")
        fetch.set_input("X", [name])
        fetch.set_output("Out", ["fetch"])
        fetch._set_attr("col", column)
    out.write_bytes(program.serialize_to_string())
    out.with_suffix(".pdiparams").symlink_to(path.with_suffix(".pdiparams").absolute())


# OpenVINO's intermediate representation


def _read_ir(path: Path) -> Network:
    import openvino

    model = openvino.Core().read_model(str(path))
    nodes = [
        Node(
            node.get_type_name(),
            node.get_friendly_name(),
            tuple(_names(port)[0] for port in node.input_values() if not _is_constant(port)),
            tuple(name for port in node.outputs() for name in _names(port)),
            tuple(port.get_node().get_friendly_name() for port in node.input_values() if _is_constant(port)),
        )
        for node in model.get_ordered_ops()
        if node.get_type_name() not in STORED
    ]
    inputs, outputs = (tuple(_names(port)[0] for port in ports) for ports in (model.inputs, model.outputs))
    return Network(nodes, inputs, outputs)


def _names(port: Any) -> list[str]:
    """Return the names of a node's output; one is made where it has none."""
    return sorted(port.get_names()) or [f"{port.get_node().get_friendly_name()}:{port.get_index()}"]


def _is_constant(port: Any) -> bool:
    return bool(port.get_node().get_type_name() == "Constant")


def _cut_ir(path: Path, start: set[str], end: list[str], out: Path) -> None:
    import openvino
    from openvino import opset8

    model = openvino.Core().read_model(str(path))
    ports = {name: port for node in model.get_ordered_ops() for port in node.outputs() for name in port.get_names()}
    results = [_behind_quantiser(ports[name]) for name in end] or [one.input_value(0) for one in model.get_results()]
    for name in sorted(start):
        port, readers = ports[name], list(ports[name].get_target_inputs())
        parameter = opset8.parameter(list(port.get_shape()), port.get_element_type(), name)
        parameter.output(0).set_names({name})
        for reader in readers:
            reader.replace_source_output(parameter.output(0))
    used, todo = dict[str, Any](), [port.get_node() for port in results]
    while todo:
        node = todo.pop()
        if node.get_friendly_name() not in used:
            used[node.get_friendly_name()] = node
            todo += [port.get_node() for port in node.input_values()]
    parameters = [node for node in used.values() if node.get_type_name() == "Parameter"]
    openvino.save_model(openvino.Model(results, parameters), str(out), compress_to_fp16=False)


def _behind_quantiser(port: Any) -> Any:
    """Return the tensor behind the quantiser that is the only reader of `port`, where there is one."""
    readers = [reader.get_node() for reader in port.get_target_inputs()]
    only = readers[0] if len(readers) == 1 else None
    return only.output(0) if only is not None and only.get_type_name() == "FakeQuantize" else port


READERS: dict[str, Callable[[Path], Network]] = {".onnx": _read_onnx, ".pdmodel": _read_pdmodel, ".xml": _read_ir}
CUTTERS: dict[str, Callable[[Path, set[str], list[str], Path], None]] = {
    ".onnx": _cut_onnx,
    ".pdmodel": _cut_pdmodel,
    ".xml": _cut_ir,
}
