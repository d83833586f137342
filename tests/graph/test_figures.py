"""What layers hold and compute with, for files without layers."""

from builders import build_graph

from graphprune.graph.figures import LayerFigures, describe_figures


def test_weights_and_constants_of_layers_are_described_without_neutral_numbers():
    graph = build_graph(
        "in > fc[4,6] > bn:BatchNormalization(epsilon=0.01)[6] > one:Rescaling(scale=1, offset=0)"
        " > two:Rescaling(scale=2, offset=-0.5)"
    )
    assert describe_figures(graph, {}) == {
        "fc": LayerFigures(("4x6", "6")),
        "bn": LayerFigures(("6",) * 4, (0.01,)),
        "two": LayerFigures((), (2.0, -0.5)),
    }
