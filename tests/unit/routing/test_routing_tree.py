"""Next hops in random trees lead to the target, without loops, over links of the tree."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.routing.domain import Tree


@st.composite
def trees(draw: st.DrawFn) -> dict[str, str]:
    """Each node's parent was made before it; the first is the root."""
    count = draw(st.integers(1, 40))
    parents = {"N0": ""}
    for number in range(1, count):
        parents[f"N{number}"] = f"N{draw(st.integers(0, number - 1))}"
    return parents


@given(trees(), st.data())
def test_following_next_hops_reaches_the_target(parents: dict[str, str], data: st.DataObject) -> None:
    tree = Tree(parents)
    nodes = st.sampled_from(sorted(parents))
    here, target = data.draw(nodes), data.draw(nodes)
    path = [here]
    while path[-1] != target:
        hop = tree.next_hop(path[-1], target)
        assert hop is not None
        assert tree.are_neighbours(path[-1], hop)
        assert hop not in path, "no node twice"
        path.append(hop)
    assert tree.path(path[0], target) == tuple(path)
    assert tree.next_hop(target, target) == target


@given(trees(), st.data())
def test_the_way_back_is_the_same(parents: dict[str, str], data: st.DataObject) -> None:
    tree = Tree(parents)
    nodes = st.sampled_from(sorted(parents))
    start, target = data.draw(nodes), data.draw(nodes)
    assert tree.path(start, target) == tree.path(target, start)[::-1]


@given(trees(), st.data())
def test_the_unknown_goes_up_and_ends_at_the_root(parents: dict[str, str], data: st.DataObject) -> None:
    tree = Tree(parents)
    own = data.draw(st.sampled_from(sorted(parents)))
    assert tree.next_hop(own, "ELSEWHERE") == (parents[own] or None)


@given(trees(), st.data())
def test_neighbours_are_parent_and_child_both_ways(parents: dict[str, str], data: st.DataObject) -> None:
    tree = Tree(parents)
    nodes = st.sampled_from(sorted(parents))
    one, other = data.draw(nodes), data.draw(nodes)
    linked = parents[one] == other or parents[other] == one
    assert tree.are_neighbours(one, other) is tree.are_neighbours(other, one) is linked


def test_broken_data_never_loops_for_ever() -> None:
    tree = Tree({"A": "B", "B": "A", "C": "C"})
    assert tree.next_hop("X", "A") is None
    assert tree.next_hop("A", "C") == "B"


def test_a_node_that_the_tree_does_not_know_has_no_way() -> None:
    assert Tree({}).next_hop("A", "B") is None
