import pytest
from builders import build_graph
from memory_weights import MemoryWeights, make_weights

from graphprune.diff.graph_diff import diff_graphs
from graphprune.diff.pairing import pair_layers


def pairs_of(left, right, **weights):
    return {(pair.left, pair.right): pair.paired_by for pair in pair_layers(left, right, **weights)}


def test_the_same_address_and_type_are_one_layer_whatever_the_settings():
    left, right = build_graph("in > fc1[4,8] > fc2[8,4]"), build_graph("in > fc1[4,9] > fc2[9,4]")
    assert pairs_of(left, right) == {
        ("in", "in"): "address",
        ("fc1", "fc1"): "address",
        ("fc2", "fc2"): "address",
    }


def test_the_same_address_with_another_type_is_another_layer():
    assert pairs_of(build_graph("in > mid:ReLU > fc"), build_graph("in > mid:Dropout > fc")) == {
        ("in", "in"): "address",
        ("fc", "fc"): "address",
    }


def test_equal_weights_show_a_rename():
    left, right = (
        build_graph("in > fc_a > fc_b > out"),
        build_graph("in > fc_x > fc_y > fc_z > out"),
    )
    left_weights, right_weights = make_weights(left), make_weights(right, seed=5)
    for name in ("kernel", "bias"):
        right_weights.tensors["fc_z", name] = left_weights.tensors["fc_a", name]
    pairs = pairs_of(left, right, left_weights=left_weights, right_weights=right_weights)
    assert pairs["fc_a", "fc_z"] == "weights"


def test_weights_that_several_layers_share_show_nothing():
    left, right = build_graph("in > bn_1 > bn_2 > out"), build_graph("in > bn_3 > bn_4 > out")

    def alike(graph):
        return MemoryWeights(
            {key: values * 0 for key, values in make_weights(graph).tensors.items()}
        )

    pairs = pairs_of(left, right, left_weights=alike(left), right_weights=alike(right))
    assert pairs["bn_1", "bn_3"] == pairs["bn_2", "bn_4"] == "structure"


def test_weights_of_layers_with_the_same_address_are_not_read():
    graph = build_graph("in > fc1 > fc2")
    weights = make_weights(graph)
    pair_layers(
        graph, build_graph("in > fc1 > fc2 > fc3"), left_weights=weights, right_weights=weights
    )
    assert weights.reads == []


def test_two_builds_with_default_names_are_renames():
    left = build_graph("in_1 > dense_1 > relu_1 > dense_2; dense_2 + in_1 > add_1 > dense_3")
    right = build_graph("in_2 > dense_7 > relu_4 > dense_8; dense_8 + in_2 > add_5 > dense_9")
    pairs = pairs_of(left, right)
    assert list(pairs) == [
        ("in_1", "in_2"),
        ("dense_1", "dense_7"),
        ("relu_1", "relu_4"),
        ("dense_2", "dense_8"),
        ("add_1", "add_5"),
        ("dense_3", "dense_9"),
    ]
    assert set(pairs.values()) == {"structure"}


@pytest.mark.parametrize("length", [5, 40])
def test_two_builds_whose_default_names_overlap_are_renames_too(length):
    left = build_graph(" > ".join(["in", *(f"dense_{index}" for index in range(length))]))
    right = build_graph(" > ".join(["in", *(f"dense_{index + 2}" for index in range(length))]))
    expected = {(f"dense_{index}", f"dense_{index + 2}"): "structure" for index in range(length)}
    assert pairs_of(left, right) == {("in", "in"): "address"} | expected


def test_default_names_of_layers_inside_settings_do_not_count():
    def build(name, inner):
        return build_graph(
            f"in > {name}:TimeDistributed(layer={{'class_name': 'Dense', 'config': {{'name':"
            f" '{inner}', 'units': 3}}}})"
        )

    assert (
        pairs_of(build("td_1", "dense_1"), build("td_2", "dense_7"))["td_1", "td_2"] == "structure"
    )


def test_connections_of_layers_inside_settings_do_not_count():
    def build(name, inner):
        model = {
            "layers": [
                {
                    "class_name": "Dense",
                    "config": {"name": inner},
                    "name": inner,
                    "inbound_nodes": [],
                }
            ],
            "output_layers": [[inner, 0, 0]],
        }
        return build_graph(
            f"in > {name}:TimeDistributed(layer={{'class_name': 'Functional', 'config': {model}}})"
        )

    assert (
        pairs_of(build("td_1", "dense_1"), build("td_2", "dense_7"))["td_1", "td_2"] == "structure"
    )


def test_a_layer_more_among_renamed_ones_is_the_only_one_without_a_counterpart():
    left = build_graph(
        "in > dense_a1 > dense_a2 > dense_a3 > dense_a4 > dense_a5 > dense_a6 > dense_a7 > dense_a8"
        " > out"
    )
    right = build_graph(
        "in > dense_b1 > dense_b2 > dense_b3 > dense_b4 > relu > dense_b5 > dense_b6 > dense_b7 >"
        " dense_b8 > out"
    )
    pairs = pairs_of(left, right)
    assert {right for _, right in pairs} == set(right.layers) - {"relu"}
    assert all(a[-1] == b[-1] for a, b in pairs)


def test_one_more_of_the_same_kind_leaves_exactly_one_over():
    left = build_graph("in > " + " > ".join(f"dense_a{index}" for index in range(20)) + " > out")
    right = build_graph("in > " + " > ".join(f"dense_b{index}" for index in range(21)) + " > out")
    assert len(pairs_of(left, right)) == len(left.layers)


def test_branches_that_differ_are_told_apart_by_their_neighbours():
    left = build_graph("in > dense_1 > relu_1; in > dense_2 > drop_1; relu_1 + drop_1 > add_1")
    right = build_graph("in > dense_9 > drop_2; in > dense_8 > relu_2; drop_2 + relu_2 > add_2")
    pairs = pairs_of(left, right)
    assert {("dense_1", "dense_8"), ("dense_2", "dense_9")} <= set(pairs)


def test_layers_of_nested_models_follow_their_model():
    left = build_graph(
        "in > block_1 > block_2",
        models={"block_1": "in > dense_1[4,4]", "block_2": "in > dense_2[4,4] > relu"},
    )
    right = build_graph(
        "in > part_1 > part_2",
        models={"part_1": "in > dense_8[4,4]", "part_2": "in > dense_9[4,4] > relu"},
    )
    pairs = pairs_of(left, right)
    assert {
        ("block_1", "part_1"),
        ("block_2", "part_2"),
        ("block_1::dense_1", "part_1::dense_8"),
        ("block_2::relu", "part_2::relu"),
    } <= set(pairs)


def test_a_shared_layer_is_one_layer():
    left = build_graph("in > shared:Dense > relu_1 > shared > relu_2")
    right = build_graph("in > twin:Dense > relu_8 > twin > relu_9")
    assert pairs_of(left, right)["shared", "twin"] == "structure"


def test_swapping_the_models_gives_the_same_pairs():
    """In these two, which layers are paired depends on the side that one begins with."""
    left = build_graph("in > fc_a0; in > relu_a1; fc_a0 > relu_a2; fc_a0 > relu_a3; in > relu_a4")
    right = build_graph(
        "in > fc_b0; in > fc_b1; in + fc_b1 > add_b2; in + fc_b1 > add_b3; fc_b0 > relu_b4; fc_b1 >"
        " relu_b5"
    )
    assert set(pairs_of(left, right)) == {(b, a) for a, b in pairs_of(right, left)}


def test_five_thousand_renamed_layers_among_two_more_are_paired():
    def build(prefix, count):
        return build_graph(
            "in > "
            + " > ".join(f"dense_{prefix}{index} > relu_{prefix}{index}" for index in range(count))
            + " > out"
        )

    left, right = build("a", 2500), build("b", 2501)
    assert len(pair_layers(left, right)) == len(left.layers)


def chain(length, inserted=None, kind="dense"):
    """A chain with default names, perhaps with one more layer that shifts the numbers behind it."""
    names = [f"{kind}_{index}" for index in range(1, length + (inserted is not None))]
    return build_graph(" > ".join(["in", kind, *names]), name="chain")


@pytest.mark.parametrize("at", [0, 1, 50, 99, 100])
def test_a_layer_more_in_a_chain_with_default_names_is_the_only_one_without_a_counterpart(at):
    left, right = chain(100), chain(100, at)
    left_weights = make_weights(left)
    names = [name for name in left.layers if name != "in"]
    right_weights = make_weights(right, seed=9)
    new_names = [name for name in right.layers if name != "in"]
    kept = [*new_names[:at], *new_names[at + 1 :]]
    for old, new in zip(names, kept, strict=True):
        for tensor in ("kernel", "bias"):
            right_weights.tensors[new, tensor] = left_weights.tensors[old, tensor]
    pairs = pairs_of(left, right, left_weights=left_weights, right_weights=right_weights)
    assert set(pairs) == {("in", "in"), *zip(names, kept, strict=True)}
    found = diff_graphs(left, right, left_weights=left_weights, right_weights=right_weights)
    statuses = found.count_statuses()
    assert (statuses["added"], statuses["removed"], len(found.rewired)) == (1, 0, 1)
    assert all(
        layer.status == ("added",)
        or not layer.tensors
        or all(tensor.values == "same" for tensor in layer.tensors)
        for layer in found.layers
    )


def test_another_width_in_a_chain_is_found_where_numbers_have_shifted():
    left = build_graph("in > dense[4,4] > dense_1[4,8] > dense_2[8,4] > dense_3[4,2]")
    right = build_graph(
        "in > dense[4,4] > dense_1[4,6] > dense_2[6,8] > dense_3[8,4] > dense_4[4,2]"
    )
    pairs = pairs_of(left, right)
    assert ("dense_2", "dense_3") in pairs
    assert ("dense_3", "dense_4") in pairs
    assert len(pairs) == 5


def test_a_removed_layer_shifts_the_names_behind_it():
    left = build_graph(
        "in > dense > relu:ReLU > dense_1[4,4] > dense_2[4,4] > dense_3[4,3]", name="n"
    )
    right = build_graph("in > dense > relu:ReLU > dense_1[4,4] > dense_2[4,3]", name="n")
    found = diff_graphs(left, right)
    statuses = found.count_statuses()
    assert (statuses["added"], statuses["removed"]) == (0, 1)
    assert ("dense_3", "dense_2") in pairs_of(left, right)


SWAPPED = ("in > {0}[4,4] > {1}[4,4] > {2}[4,4] > out", "in > {0}[4,4] > {2}[4,4] > {1}[4,4] > out")


def swapped(*names, is_equal=False):
    """A chain, and the same one with its last two layers swapped, whose weights go with them."""
    left, right = (build_graph(text.format(*names), name="chain") for text in SWAPPED)
    weights = make_weights(left)
    if is_equal:
        weights = MemoryWeights({key: values * 0 for key, values in weights.tensors.items()})
    return left, right, weights


def test_swapped_layers_of_one_kind_are_rewired_and_not_renamed():
    left, right, weights = swapped("fc_a", "fc_b", "fc_c")
    assert set(pairs_of(left, right).values()) == {"address"}
    found = diff_graphs(left, right, left_weights=weights, right_weights=weights)
    assert (found.count_statuses()["renamed"], len(found.rewired)) == (0, 3)
    assert all(tensor.values == "same" for layer in found.layers for tensor in layer.tensors)


@pytest.mark.parametrize(("is_equal", "moved"), [(False, "dense_1"), (True, "dense_2")])
def test_swapped_layers_with_default_names_are_told_by_weights_of_their_own(is_equal, moved):
    left, right, weights = swapped("dense", "dense_1", "dense_2", is_equal=is_equal)
    assert ("dense_1", "dense_2") in pairs_of(left, right)
    pairs = pairs_of(left, right, left_weights=weights, right_weights=weights)
    assert ("dense_1", moved) in pairs
