"""The graphs that the rule tests of the shipped files run on; `python tests/shipped_graphs.py`
writes them to rules/tests/graphs.
"""

from __future__ import annotations

import json
from pathlib import Path

from builders import build_graph

from graphprune.graph import graph_to_config

FOLDER = Path(__file__).parent.parent / "rules" / "tests" / "graphs"
STRIDES = "strides=[2,2],padding='valid'"
POINTWISE = "kernel_size=[1,1],strides=[1,1],padding='same',dilation_rate=[1,1],groups=1"
RELU = "relu_2(max_value=None,negative_slope=0.0,threshold=0.0)"
DEPTHWISE = "kernel_size=[3,3],strides=[1,1],padding='same',dilation_rate=[1,1],depth_multiplier=1"
BODY = (
    f"depthwise_1({DEPTHWISE})[3,3,8,1] > conv_a({POINTWISE})[1,1,8,8] >"
    f" conv_b({POINTWISE})[1,1,8,16] > {RELU} > depthwise_2({DEPTHWISE})[3,3,16,1] >"
    f" conv_c({POINTWISE})[1,1,16,8] ; conv_a + conv_c > add > gap(keepdims=True) > flatten >"
    " fc[8,4]"
)
CNN = (
    "in > conv_1[3,3,3,16] > depthwise[3,3,16,1] > conv_2[1,1,16,32] > conv_3[3,3,32,30] > gap >"
    " fc_1[30,64] > fc_2[64,48] > fc_3[48,10]"
)
ENCODER = (
    "in > embed[1000,16] > attention:MultiHeadAttention(num_heads=2,key_dim=8)[16,2,8] ; "
    "attention + embed > add > ln[16] > fc_up[16,64] > fc_down[64,16] > gap > pred[16,2]"
)
SEQUENCE = "in > embed[1000,16] > lstm[16,64] > gru[16,48] > fc[16,8] > pred[8,2]"
RESIDUAL = (
    "in(batch_input_shape=[None,8,8,3]) > conv_stem(padding='same')[3,3,3,8] > bn_stem[8] > relu_1"
    " > conv_expand[1,1,8,16] > bn_expand[16] > relu_2 >"
    f" depthwise({DEPTHWISE})[3,3,16,1] > bn_depthwise[16] > conv_project[1,1,16,8] >"
    " bn_project[8] ; relu_1 + bn_project > add > gap > fc[8,4]"
)
GRAPHS = {
    "residual": RESIDUAL,
    "cnn": CNN,
    "encoder": ENCODER,
    "sequence": SEQUENCE,
    "padded-mobile": (
        f"in > pad(padding=[[1,1],[1,1]]) > conv_stem(kernel_size=[3,3],{STRIDES})[3,3,3,8] >"
        f" {BODY}"
    ),
    "mobile": f"in > conv_stem(kernel_size=[3,3],strides=[2,2],padding='same')[3,3,3,8] > {BODY}",
}


def graph_text(name: str) -> str:
    """Return the JSON document of a graph, as its file holds it."""
    return (
        json.dumps(
            graph_to_config(build_graph(GRAPHS[name], name=name.replace("-", "_"))), indent=1
        )
        + "\n"
    )


if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in GRAPHS:
        (FOLDER / f"{name}.json").write_text(graph_text(name), encoding="utf-8")
