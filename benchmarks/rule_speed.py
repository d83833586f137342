"""Print the processor time of a file of 200 rules on 1,000, 10,000 and 100,000 layers.

    python benchmarks/rule_speed.py [LAYERS ...]

The models are convolutions in blocks with a shortcut around each; the rules use every kind of
matcher: names, types, configs, weights, neighbours, ancestors with `hops` and `until`, regions, and
selectors that use one another. `read` is what `graphprune lint` does without a model; `resolve`
evaluates all matchers and finds what every layer is claimed by; `plan` is the whole of `make_plan`,
from a graph in memory.

On two cores that other work kept busy, the least of three runs. Ten times the layers take 10 times
as long to lint and plan together (the aim is 12), the plan alone 13 times: building the call graph
and hashing the graph grow faster than the graph, as it no longer fits the processor's caches.

       layers    read  resolve    plan
       10,001    0.17     0.39    0.49
      100,001    0.16     4.54    6.46
"""

from __future__ import annotations

import sys
import time
from typing import Any

from graphprune.graph import LayerGraph, read_graph
from graphprune.plan import make_plan
from graphprune.rules import parse_rules, resolve_rules

SIZES = (1_000, 10_000, 100_000)
RULES = 200
BLOCK = 5
"""Layers of one block: convolution, normalization, activation, pointwise convolution, addition."""

MATCHES = (
    "{{name: {{regex: 'block_[0-9]*{0}_conv'}}, type: Conv2D}}",
    "{{name: {{glob: 'block_*{0}_point'}}, params: {{gte: 16}}}}",
    "{{use: pointwise, config: {{filters: {0}}}}}",
    "{{isa: Conv2D, weight: {{in: {{multiple_of: 4}}, kernel: [3, 3]}}, calls: {0}}}",
    "{{fed_by: {{type: [Add, InputLayer], only: true}}, params: {0}}}",
    "{{feeds: {{use: norm, every: true}}, params: {0}}}",
    "{{after: {{name: block_{0}_add, until: {{name: block_{0}_point}}}}}}",
    "{{before: {{name: block_{0}_conv, hops: {0}}}, params: {0}}}",
    (
        "{{between: {{after: {{name: block_{0}_conv}}, before: {{last: {{type: Add}}}}}}, params:"
        " {0}}}"
    ),
    (
        "{{first: {{use: pointwise, config: {{filters: {{not: {0}}}}}}}, not: {{use: body}},"
        " params: {0}}}"
    ),
)
HEAD = """\
version: 1
selectors:
  pointwise: {isa: Conv2D, config: {kernel_size: [1, 1]}}
  norm: {isa: BatchNormalization}
  body: {between: {after: {first: {use: pointwise}}, before: {last: {use: pointwise}}}}
require:
- {id: bounded, covers: {from: inputs, by: {any: [{use: pointwise}, {type: Add}]}}}
- {id: normal, every: {use: norm}, satisfies: {fed_by: {type: Conv2D, only: true}}}
rules:
"""


def main() -> None:
    """Time models of each size."""
    sizes = [int(size) for size in sys.argv[1:]] or SIZES
    text = HEAD + "".join(
        f"- {{id: r{index}, match: {MATCHES[index % 10].format(index)}, keep: true, expect: {{gte:"
        " 0}}\n"
        for index in range(RULES)
    )
    print(f"{'layers':>9}    read  resolve    plan")
    for size in sizes:
        graph = blocks(size)
        marks = [time.process_time()]
        rules = parse_rules(text, "speed.yaml")
        marks.append(time.process_time())
        resolve_rules(graph, rules)
        marks.append(time.process_time())
        make_plan(graph, rules)
        marks.append(time.process_time())
        print(
            f"{len(graph.layers):>9,}  {marks[1] - marks[0]:6.2f}  {marks[2] - marks[1]:7.2f}  "
            f"{marks[3] - marks[2]:6.2f}",
            flush=True,
        )


def blocks(size: int) -> LayerGraph:
    """Return the graph of a model of about `size` layers."""
    layers = [_entry("InputLayer", "in", {"batch_input_shape": [None, 8, 8, 4]}, [])]
    tensors: dict[str, Any] = {}
    before = "in"
    for number in range(size // BLOCK):
        conv, norm, relu, point, add = (
            f"block_{number}_{part}" for part in ("conv", "norm", "relu", "point", "add")
        )
        layers += [
            _entry(
                "Conv2D", conv, {"filters": 4, "kernel_size": [3, 3], "padding": "same"}, [before]
            ),
            _entry("BatchNormalization", norm, {"axis": [3]}, [conv]),
            _entry("ReLU", relu, {}, [norm]),
            _entry(
                "Conv2D", point, {"filters": 4, "kernel_size": [1, 1], "padding": "same"}, [relu]
            ),
            _entry("Add", add, {}, [point, before]),
        ]
        tensors |= {
            conv: [("kernel", (3, 3, 4, 4), "float32")],
            point: [("kernel", (1, 1, 4, 4), "float32")],
        }
        before = add
    config = {
        "name": "blocks",
        "trainable": True,
        "layers": layers,
        "input_layers": [["in", 0, 0]],
        "output_layers": [[before, 0, 0]],
    }
    return read_graph(
        {"module": "keras", "class_name": "Functional", "config": config, "registered_name": None},
        tensors=tensors,
    )


def _entry(kind: str, name: str, config: dict[str, Any], sources: list[str]) -> dict[str, Any]:
    nodes = [[[source, 0, 0, {}] for source in sources]] if sources else []
    own = {
        "module": "keras.layers",
        "class_name": kind,
        "config": {"name": name, "trainable": True, "dtype": "float32", **config},
        "registered_name": None,
    }
    return {**own, "name": name, "inbound_nodes": nodes}


if __name__ == "__main__":
    main()
