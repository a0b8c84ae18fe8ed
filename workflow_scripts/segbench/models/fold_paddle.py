"""Compute what does not depend on the image once, at export: sizes, grids and masks, and the branches that they choose.

At a fixed input size the sizes of all tensors are known, but an exported graph computes them, and from them grids,
masks and conditions, at each run. paddle2onnx and OpenVINO have no form for several of these operators, and a graph
without them is smaller on every engine.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from segbench.models.paddle_files import stored_variables

# What the names of stored results begin with: of those that come from trained values, and of others.
TRAINED, CONSTANT = "segbench/trained/", "segbench/constant/"
SEED = 0
MAX_SIZE = 1 << 24  # elements of a stored result; a larger one stays computed
MAX_ROUNDS = 50  # each makes more shapes known, and a block inside another takes one more
SOURCES = ("fill_constant", "assign_value", "assign")  # cheap as they are: only what is computed from them is stored
RANDOM = ("uniform_random", "gaussian_random", "truncated_gaussian_random", "randint", "randperm")
NEVER = (
    "feed",
    "fetch",
    "while",
    "conditional_block",
    "select_input",
    "print",
    "assert",
    "py_func",
    "dropout",
    "increment",
)
INTERPOLATIONS = ("bilinear_interp_v2", "nearest_interp_v2", "bicubic_interp_v2")
AXES = {"AxesTensor": "axes", "AxesTensorList": "axes"}
SLICE = {
    "StartsTensor": "starts",
    "StartsTensorList": "starts",
    "EndsTensor": "ends",
    "EndsTensorList": "ends",
}
# Inputs that stand for an attribute, by operator.
ATTRIBUTES: dict[str, dict[str, str]] = {
    "reshape2": {"Shape": "shape", "ShapeTensor": "shape"},
    "expand_v2": {"Shape": "shape", "expand_shapes_tensor": "shape"},
    "tile": {"RepeatTimes": "repeat_times", "repeat_times_tensor": "repeat_times"},
    "slice": SLICE,
    "strided_slice": {**SLICE, "StridesTensor": "strides", "StridesTensorList": "strides"},
    "set_value": {"StartsTensorList": "starts", "EndsTensorList": "ends", "StepsTensorList": "steps"},
    "pad3d": {"Paddings": "paddings"},
    "unsqueeze2": AXES,
    "squeeze2": AXES,
    "split": {"SectionsTensorList": "sections"},
    **{kind: {"OutSize": "out_h, out_w", "SizeTensor": "out_h, out_w"} for kind in INTERPOLATIONS},
}


def fold(program: Any, executor: Any, scope: Any, infer_shapes: Callable[[Any], None]) -> tuple[Any, list[str]]:
    """Return `program` folded, and notes. `scope` holds its stored variables, and gets those that are added.

    `infer_shapes` makes the shapes of all variables of a program those that follow from the input's.
    """
    import paddle

    paddle.seed(SEED)
    drawn: list[str] = []
    for number in range(MAX_ROUNDS):
        step = _Round(program, executor, scope, number)
        drawn += step.fold()
        if not step.changed:
            break
        # Paddle's view of the operators cannot follow those that were put in between.
        program = paddle.static.Program.parse_from_string(program.desc.serialize_to_string())
        infer_shapes(program)
    names = ", ".join(dict.fromkeys(drawn))
    return program, [f"its graph draws random numbers ({names}), of which one draw is fixed"] if drawn else []


def count_constants(pdmodel: bytes) -> int:
    """Stored values of a folded program that do not come from trained ones."""
    return sum(math.prod(shape) for name, shape in stored_variables(pdmodel).items() if name.startswith(CONSTANT))


class _Round:
    """One pass over the operators, in order."""

    def __init__(self, program: Any, executor: Any, scope: Any, number: int) -> None:
        self.program, self.executor, self.scope, self.number = program, executor, scope, number
        self.block = program.global_block()
        written = {name for operator in self.block.ops for name in operator.output_arg_names}
        variables = self.block.vars.items()
        self.stored = {name for name, one in variables if one.persistable and name not in written} - {"feed", "fetch"}
        self.known: dict[str, str] = {}  # name in the program: name of its latest constant value
        self.constants: list[tuple[Any, dict[str, str], dict[str, str]]] = []  # operator, new names of what it has
        self.values: dict[str, Any] = {}
        self.sources: set[str] = set()  # values that SOURCES make
        self.changed = False

    def fold(self) -> list[str]:
        """Fold what can be known now. Returns the random operators whose results were stored."""
        readers: list[tuple[int, Any, dict[str, str]]] = []  # place, operator, names of the values that it reads
        for place, operator in enumerate(self.block.ops):
            if self._is_constant(operator):
                self._keep(operator, place)
                continue
            readers.append((place, operator, {n: self.known[n] for n in operator.input_arg_names if n in self.known}))
            for name in operator.output_arg_names:
                self.known.pop(name, None)
        wanted: set[str] = set()
        for _, operator, keys in readers:
            special = {name for slot in self._special(operator) for name in operator.input(slot)}
            wanted |= {key for name, key in keys.items() if name in special or self._is_worth_storing(operator, key)}
        drawn = self._compute(wanted)
        for place, operator, keys in reversed(readers):  # from the end, since branches change the places behind them
            self._settle(operator, keys, place)
        return drawn

    def _special(self, operator: Any) -> dict[str, str]:
        """Inputs that are settled in another way than by a stored variable."""
        slots = {"conditional_block": {"Cond": ""}, "select_input": {"Mask": ""}}.get(operator.type)
        slots = slots or ATTRIBUTES.get(operator.type, {})
        return {slot: attribute for slot, attribute in slots.items() if slot in operator.input_names}

    def _is_worth_storing(self, operator: Any, key: str) -> bool:
        """Whether a reader of the value gets a stored variable. What runs a block would read it inside, too."""
        return key not in self.sources and not operator.has_attr("sub_block")

    def _is_constant(self, operator: Any) -> bool:
        if operator.type in NEVER or "quantize" in operator.type or operator.has_attr("sub_block"):
            return False  # weights of 8 bits would be stored as floats
        if operator.type == "shape":
            return all(size > 0 for size in self._shape(operator.input("Input")[0]) or [0])
        if not all(name in self.known or name in self.stored for name in operator.input_arg_names):
            return False
        sizes = [self._shape(name) for name in operator.output_arg_names]
        return all(size is None or np.prod(np.abs(size), dtype=np.int64) <= MAX_SIZE for size in sizes)

    def _shape(self, name: str) -> list[int] | None:
        try:
            return list(self.block._var_recursive(name).shape)
        except Exception:  # a variable that is no tensor
            return None

    def _keep(self, operator: Any, place: int) -> None:
        """Note a constant operator, its outputs under names of their own: a name may be written several times."""
        inputs = {name: self.known.get(name, name) for name in operator.input_arg_names}
        from_trained = any(name in self.stored or name.startswith(TRAINED) for name in inputs.values())
        kind = TRAINED if from_trained and operator.type != "shape" else CONSTANT
        outputs = {name: f"{kind}{self.number}.{place}/{name}" for name in operator.output_arg_names}
        if operator.type == "shape":
            (output,) = outputs.values()
            self.values[output] = np.array(self._shape(operator.input("Input")[0]), np.int32)
        else:
            self.constants.append((operator, inputs, outputs))
        if operator.type in SOURCES and all(name in self.stored for name in inputs):
            self.sources.update(outputs.values())
        self.known.update(outputs)

    def _compute(self, wanted: set[str]) -> list[str]:
        """Compute the `wanted` values. Returns the random operators among what they come from."""
        import paddle

        fetched = sorted(wanted - self.values.keys())
        todo, chosen = set(fetched), []
        for operator, inputs, outputs in reversed(self.constants):
            if todo & set(outputs.values()):
                chosen.append((operator, inputs, outputs))
                todo |= set(inputs.values())
        if not chosen:
            return []
        program = paddle.static.Program()
        block = program.global_block()
        for operator, inputs, outputs in reversed(chosen):
            for name, new in (*inputs.items(), *outputs.items()):
                self._declare(block, name, new)
            copy = block.desc.append_op()
            copy.copy_from(operator.desc)
            for name, new in inputs.items():
                copy._rename_input(name, new)
            for name, new in outputs.items():
                copy._rename_output(name, new)
        program._sync_with_cpp()
        feed = {name: value for name, value in self.values.items() if block.has_var(name)}
        results = self.executor.run(program, feed=feed, fetch_list=fetched, scope=self.scope)
        self.values.update(zip(fetched, results, strict=True))
        return sorted({operator.type for operator, *_ in chosen if operator.type in RANDOM})

    def _declare(self, block: Any, name: str, new: str) -> None:
        if block.has_var(new):
            return
        old, shape = self.block._var_recursive(name), self._shape(name)
        known = {} if shape is None else {"shape": shape, "dtype": old.dtype}
        block.create_var(name=new, type=old.type, persistable=name == new and name in self.stored, **known)

    def _settle(self, operator: Any, keys: dict[str, str], place: int) -> None:
        """Let an operator have what is known now: a branch, attributes, stored variables."""
        special = self._special(operator)
        if operator.type == "conditional_block":
            (condition,) = self._known(operator, "Cond", keys) or (None,)
            if condition is not None:
                self._inline(operator, bool(np.all(condition)), place)
            return
        for slot, attribute in special.items():
            if (values := self._known(operator, slot, keys)) is None:
                continue
            numbers = [int(number) for value in values for number in np.ravel(value)]
            if operator.type == "select_input":
                operator.desc.set_type("assign")
                operator.desc.set_input("X", [operator.input("X")[numbers[0]]])
                operator.desc.remove_input(slot)
            else:
                self._set(operator, attribute, numbers)
                operator.desc.set_input(slot, [])
            self.changed = True
        for name, key in keys.items():
            if name in operator.desc.input_arg_names() and key in self.values and self._is_worth_storing(operator, key):
                self._store(operator, name, key, place)

    def _known(self, operator: Any, slot: str, keys: dict[str, str]) -> list[Any] | None:
        """Return the values of an input; None where it has none, or not all are known."""
        found = []
        for name in operator.input(slot):
            if name in keys:
                found.append(self.values.get(keys[name]))
            elif name in self.stored:
                found.append(np.array(self.scope.find_var(name).get_tensor()))
            else:
                return None
        return found if found and all(value is not None for value in found) else None

    def _store(self, operator: Any, name: str, key: str, place: int) -> None:
        """Let the operator at `place` read a value from a stored variable."""
        import paddle

        array = np.ascontiguousarray(self.values[key]).reshape(np.shape(self.values[key]))
        if not self.block.has_var(key):
            facts = {"shape": list(array.shape), "dtype": str(array.dtype), "persistable": True}
            self.block.create_var(name=key, stop_gradient=True, **facts)
            self.scope.var(key).get_tensor().set(array, paddle.CPUPlace())
        operator.desc._rename_input(name, self._behind_assign(key, place) if operator.type == "concat" else key)
        self.changed = True

    def _behind_assign(self, key: str, place: int) -> str:
        """Copy a stored variable by an operator at `place`: Paddle's seqpool_cvm_concat_fuse_pass asks each input of a
        concat for the operator that made it, and crashes where there is none (2.6.2)."""
        copied = f"{key}/{place}"
        stored = self.block.var(key)
        self.block.create_var(name=copied, shape=stored.shape, dtype=stored.dtype)
        assign = self.block.desc._insert_op(place)
        assign.set_type("assign")
        assign.set_input("X", [key])
        assign.set_output("Out", [copied])
        return copied

    @staticmethod
    def _set(operator: Any, attribute: str, numbers: list[int]) -> None:
        if ", " in attribute:
            for one, number in zip(attribute.split(", "), numbers, strict=True):
                operator._set_attr(one, number)
            return
        operator._set_attr(attribute, numbers)
        if operator.has_attr("infer_flags"):
            operator._set_attr("infer_flags", [1] * len(numbers))

    def _inline(self, operator: Any, runs: bool, place: int) -> None:
        """Put the operators of a conditional block in its place, or nothing where its condition is false."""
        inner = self.program.block(operator._block_attr_id("sub_block"))
        self.block.desc._remove_op(place, place + 1)
        self.changed = True
        if not runs:
            return
        for name, variable in inner.vars.items():
            if not self.block.has_var(name):
                self.block._clone_variable(variable, force_persistable=False)
        for number, one in enumerate(inner.ops):
            self.block.desc._insert_op(place + number).copy_from(one.desc)
