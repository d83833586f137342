from dataclasses import replace

from builders import build_graph
from lenet import lenet, lenet_zeros, rules

from graphprune.graph import Tensor
from graphprune.plan import make_plan, wrap_graph
from graphprune.report import layers_to_config, render_layers_text


def all_zeros(graph, **zeros):
    return {
        (layer.address, tensor.name): zeros.get(layer.address, 0) if tensor.prunable else 0
        for layer in graph.layers.values()
        for tensor in layer.tensors
    }


def test_the_table_of_a_wrapped_model():
    graph = wrap_graph(lenet(), make_plan(lenet(), rules()))
    assert (
        render_layers_text(graph, all_zeros(graph, fc1=211_680)) == "model  lenet   Functional\n\n"
        "layer        type        output  weights                                    params  "
        "prunable  sparsity  wrapped by\n"
        "in           InputLayer  ?×4\n"
        "flatten      Flatten     ?×4\n"
        "fc1          Dense       ?×300   kernel [in 784, out 300], bias [out 300]  235,500   "
        "235,200     90.0%  dense-90: 90.0%, ramp 0 epochs..4 epochs\n"
        "fc2          Dense       ?×100   kernel [in 300, out 100], bias [out 100]   30,100    "
        "30,000      0.0%  dense-90: 90.0%, ramp 0 epochs..4 epochs\n"
        "predictions  Dense       ?×10    kernel [in 100, out 10], bias [out 10]      1,010     "
        "1,000      0.0%\n\n"
        "5 layers, 266,610 parameters, 266,200 prunable, 211,680 zeros (79.4%), 1.1 MB of"
        " weights.\n"
    )


def test_columns_without_content_are_left_out():
    assert render_layers_text(build_graph("in > relu", name="m")).splitlines() == [
        "model  m   Functional",
        "",
        "layer  type        output",
        "in     InputLayer  ?×4",
        "relu   ReLU        ?×4",
        "",
        "2 layers, 0 parameters, 0 prunable, zeros unknown, 0 B of weights.",
    ]


def test_nested_models_are_indented():
    lines = render_layers_text(
        build_graph("in > inner > fc", models={"inner": "in > fc_a > deep", "deep": "in > fc_b"})
    ).splitlines()
    assert [
        (
            line.split("  ")[0]
            if not line.startswith(" ")
            else line[: len(line) - len(line.lstrip())] + line.split()[0]
        )
        for line in lines[3:8]
    ] == ["in", "inner", "  in", "  fc_a", "  deep"]


def test_a_narrow_terminal_shortens_the_weights_first():
    lines = render_layers_text(lenet(), width=90).splitlines()
    assert max(map(len, lines[2:8])) == 90
    assert (
        lines[5]
        == "fc1          Dense       ?×300   kernel [in 784, out 300], bias [out 3…  235,500   "
        "235,200"
    )


def test_a_narrower_one_leaves_weights_out_and_shortens_names_in_their_middle():
    graph = build_graph(
        "in > expanded_conv_depthwise_with_a_long_name_BN:BatchNormalization[4] >"
        " expanded_conv_project:Dense[4,3]"
    )
    assert render_layers_text(graph, width=60).splitlines()[2:] == [
        "layer                   type                params  prunable",
        "in                      InputLayer",
        "expanded_c…ong_name_BN  BatchNormalization      16",
        "expanded_conv_project   Dense                   15        12",
        "",
        "The terminal is too narrow for: output, weights.",
        "3 layers, 31 parameters, 12 prunable, zeros unknown, 124 B of weights.",
    ]


def test_nothing_is_shortened_without_a_width():
    name = "a" * 300
    assert name in render_layers_text(build_graph(f"in > fc_{name}[4,4]"))


def test_shared_and_frozen_layers_have_notes():
    graph = build_graph(
        "in > fc_1(trainable=False)[4,4] > fc_1; in > inner; fc_1 > inner",
        models={"inner": "in > fc_2[4,4]"},
    )
    notes = {
        line.split()[0]: line.rpartition("  ")[2]
        for line in render_layers_text(graph).splitlines()[3:-3]
    }
    assert {name: note for name, note in notes.items() if "call" in note or note == "frozen"} == {
        "fc_1": "2 calls, frozen",
        "inner": "2 calls",
        "fc_2": "2 calls",
    }
    assert "(2 layers, 20 parameters)" in render_layers_text(graph)


def test_names_cannot_move_the_cursor():
    graph = build_graph("in > fc")
    hostile = replace(graph, name="a\x1b[2J\n")
    assert render_layers_text(hostile).splitlines()[0] == "model  a\\x1b[2J\\n   Functional"


def test_the_table_as_json():
    graph = wrap_graph(lenet(), make_plan(lenet(), rules()))
    config = layers_to_config(graph, lenet_zeros(fc1=211_680), path="lenet.keras")
    wrap = graph.layers["fc1"].wrap
    assert wrap is not None
    assert wrap.pruning is not None
    assert config["kind"] == "graphprune.layers"
    assert config["model"]["path"] == "lenet.keras"
    assert config["layers"][2] == {
        "address": "fc1",
        "type": "Dense",
        "kind": "layer",
        "calls": 1,
        "trainable": True,
        "produces_output": False,
        "output_shape": [None, 300],
        "tensors": [
            {
                "name": "kernel",
                "axes": {"in": 784, "out": 300},
                "shape": [784, 300],
                "dtype": "float32",
                "size": 235200,
                "prunable": True,
                "zeros": 211680,
                "sparsity": 0.9,
            },
            {
                "name": "bias",
                "axes": {"out": 300},
                "shape": [300],
                "dtype": "float32",
                "size": 300,
                "prunable": False,
                "zeros": None,
                "sparsity": None,
            },
        ],
        "wrapped_by": {"rule": "dense-90", "pruning": wrap.pruning.to_config()},
        "out_of_reach": None,
    }
    assert config["summary"] == {
        "layers": 5,
        "parameters": 266610,
        "prunable_weights": 266200,
        "zeros": 211680,
        "sparsity": 0.793969,
        "bytes": 1066440,
    }


def test_a_filtered_table_has_whole_addresses_and_its_own_totals():
    graph = build_graph("in > inner > fc", models={"inner": "in > fc_a"})
    assert (
        render_layers_text(graph, matched={"inner::fc_a", "fc"}) == "model  net   Functional\n"
        "\n"
        "layer        type   output  weights                             params  prunable\n"
        "inner::fc_a  Dense  ?×4     kernel [in 4, out 4], bias [out 4]      20        16\n"
        "fc           Dense  ?×4     kernel [in 4, out 4], bias [out 4]      20        16\n"
        "\n"
        "2 of 5 layers, 40 parameters, 32 prunable, zeros unknown, 160 B of weights.\n"
    )
    config = layers_to_config(graph, matched={"fc"})
    assert (
        [layer["address"] for layer in config["layers"]],
        config["summary"]["parameters"],
        config["model"]["layers"],
    ) == (["fc"], 20, 5)


def test_a_filter_that_nothing_passes_says_so():
    assert (
        render_layers_text(lenet(), matched=set()) == "model  lenet   Functional\n\n"
        "no layer matches\n\n"
        "0 of 5 layers, 0 parameters, 0 prunable, zeros unknown, 0 B of weights.\n"
    )


def test_the_layers_inside_a_wrapper_layer_have_lines_of_their_own():
    lstm = {
        "class_name": "LSTM",
        "module": "keras.layers",
        "registered_name": None,
        "config": {"units": 3, "use_bias": False},
    }
    graph = build_graph("in > both:Bidirectional(merge_mode='concat')")
    layer = graph.layers["both"]
    tensors = tuple(
        Tensor(f"{side}_layer.{name}", (3, 12))
        for side in ("forward", "backward")
        for name in ("kernel", "recurrent_kernel")
    )
    both = replace(
        layer, entry={**layer.entry, "config": {**layer.config, "layer": lstm}}, tensors=tensors
    )
    assert render_layers_text(graph.replace({"both": both})).splitlines()[3:7] == [
        "in                 InputLayer     ?×4",
        (
            "both               "
            "Bidirectional                                                       144"
        ),
        "  .forward_layer   LSTM                   kernel [3, 12], recurrent_kernel [3, 12]",
        "  .backward_layer  LSTM                   kernel [3, 12], recurrent_kernel [3, 12]",
    ]


def test_a_table_with_nested_models_says_what_rules_call_the_layers_in_them():
    graph = build_graph("in > inner > fc", models={"inner": "in > fc_a"})
    note = (
        "Rules name a layer inside a model by its address: inner::fc_a. --match and --format json"
        " show addresses."
    )
    assert note in render_layers_text(graph).splitlines()
    assert note not in render_layers_text(graph, matched={"inner::fc_a"})
    assert "address" not in render_layers_text(lenet())
