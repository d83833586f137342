import pytest
from builders import build_graph

from graphprune.report.drawing.layer_marks import COLOURS, category_of


@pytest.mark.parametrize(
    ("kind", "category"),
    [
        ("Conv2DTranspose", "convolution"),
        ("ConvLSTM2D", "sequence"),
        ("MultiHeadAttention", "sequence"),
        ("GlobalAveragePooling2D", "pooling"),
        ("Average", "merge"),
        ("EinsumDense", "dense"),
        ("SpatialDropout1D", "regularization"),
        ("Pkg>Dense", "custom"),
        ("TFOpLambda", "operation"),
    ],
)
def test_a_class_has_its_category(kind, category):
    assert category_of(build_graph(f"in > x:{kind}").layers["x"]) == category


@pytest.mark.parametrize("colour", COLOURS.values())
def test_white_text_can_be_read_on_each_colour(colour):
    parts = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    assert 1.05 / (0.2126 * red + 0.7152 * green + 0.0722 * blue + 0.05) >= 4.5
