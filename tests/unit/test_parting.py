"""The node where a class map parts from the reference's is found by bisection, and the nodes that it takes."""

from __future__ import annotations

import pytest
from segbench.models.parting import Place, fewest, find, turn
from segbench.models.pieces import Network, Node, Split, common, places, result, split
from segbench.models.pieces import chain as chain_of


def chain(count: int) -> Network:
    """A network of nodes one behind another: t0 (its input) → t1 → …"""
    nodes = [Node(f"kind{at}", f"n{at}", (f"t{at}",), (f"t{at + 1}",)) for at in range(count)]
    return Network(nodes, ("t0",), (f"t{count}",))


@pytest.mark.parametrize("first", range(1, 20))
def test_bisection_finds_the_turn(first):
    asked = []

    def says(place):
        asked.append(place)
        return place >= first

    assert turn(range(20), says) == (first - 1, first)
    assert len(asked) <= 5


def test_bisection_passes_over_places_where_it_cannot_say():
    assert turn(range(20), lambda place: None if place % 2 else place >= 7) == (6, 8)
    assert turn(range(20), lambda place: None) == (0, 19)


@pytest.mark.parametrize(("start", "last"), [(0, 0), (0, 3), (4, 4), (4, 6), (9, 9), (7, 9)])
def test_fewest_nodes_that_have_to_run_together_are_found(start, last):
    """As a fusion does: it is there where all of its nodes are on the engine."""
    found = find(range(11), lambda first, behind: first <= start and behind > last)
    assert found == Place(before=last, behind=last + 1, start=start)


def test_of_two_faults_the_first_is_found():
    found = find(range(11), lambda first, behind: first <= 3 < behind or first <= 8 < behind)
    assert (found.before, found.behind) == (3, 4)


BRANCHES = Network(
    [
        Node("a", "", ("image",), ("a",)),
        Node("b", "", ("a",), ("b",)),
        Node("other", "", ("a",), ("other",)),
        Node("more", "", ("other",), ("more",)),
        Node("c", "", ("b", "more"), ("c",)),
        Node("add", "", ("c", "a"), ("sum",)),
    ],
    ("image",),
    ("sum",),
)


def test_branch_that_a_fault_does_without_is_left_out():
    asked = []

    def parts(chosen):
        asked.append(chosen)
        return {1, 4} <= set(chosen)

    assert fewest(BRANCHES, Place(before=4, behind=5, start=1), parts) == [1, 4]
    assert asked == [[1, 4]]  # the whole other branch at once
    assert fewest(BRANCHES, Place(before=4, behind=5, start=1), lambda chosen: len(chosen) == 4) == [1, 2, 3, 4]


def test_chain_ends_where_a_tensor_has_more_readers_or_none():
    assert chain_of(BRANCHES, "other") == ["more", "c", "sum"]
    assert chain_of(BRANCHES, "a") == chain_of(BRANCHES, "sum") == []
    norm = Node("batch_norm", "", ("x",), ("mean", "y"))
    network = Network([Node("conv2d", "", ("image",), ("x",)), norm], ("image",), ("y",))
    assert (chain_of(network, "x"), result(network, norm)) == (["y"], "y")


def test_tensors_go_into_nodes_out_of_them_and_past_them():
    assert split(BRANCHES, {1, 4}) == Split(into=["a", "more"], out=["c"], past=["a"])
    assert split(BRANCHES, {0, 1, 2}) == Split(into=[], out=["a", "b", "other"], past=[])
    assert split(BRANCHES, set(range(6))) == Split(into=[], out=["sum"], past=[])


def test_network_is_cut_where_both_forms_have_all_tensors():
    assert places(chain(5), {"t1", "t3", "t5"}) == [0, 1, 3, 5]
    assert places(BRANCHES, {"a", "b", "other", "c"}) == [0, 1, 2, 3, 5, 6]


def test_place_that_is_written_twice_is_no_cut():
    nodes = [Node("a", "", ("image",), ("x",)), Node("b", "", ("x",), ("x",)), Node("c", "", ("x",), ("y",)),
             Node("d", "", ("y",), ("z",))]  # fmt: skip
    assert places(Network(nodes, ("image",), ("z",)), {"x", "y", "z"}) == [0, 3, 4]


def test_what_does_not_depend_on_the_image_does_not_pass():
    nodes = [
        Node("constant", "", (), ("size",)),
        Node("a", "", ("image",), ("x",)),
        Node("b", "", ("x", "size"), ("y",)),
    ]
    network = Network(nodes, ("image",), ("y",))
    assert places(network, {"x"}) == [0, 2, 3]
    assert split(network, {0, 1}).out == ["x"]


def test_names_mean_the_same_where_the_same_weights_are_behind_them():
    """As paddle2onnx does it: a bias goes into the convolution, whose output keeps its name, and sums get new names."""
    program = [
        Node("conv2d", "", ("image",), ("conv",), ("w",)),
        Node("reshape2", "", (), ("shaped",), ("b",)),
        Node("elementwise_add", "", ("conv", "shaped"), ("biased",)),
        Node("relu", "", ("biased",), ("relu",)),
        Node("elementwise_add", "", ("relu", "biased"), ("sum",)),
        Node("scale", "", ("sum",), ("scaled",)),
    ]
    twin = [
        Node("Conv", "", ("image",), ("conv",), ("w", "b")),
        Node("Relu", "", ("conv",), ("relu",)),
        Node("Add", "", ("conv", "relu"), ("Add.0",)),
        Node("Mul", "", ("Add.0",), ("Mul.1",)),
    ]
    found = common(Network(program, ("image",), ("scaled",)), Network(twin, ("image",), ("Mul.1",)))
    assert found == {"biased": "conv", "relu": "relu", "sum": "Add.0"}
