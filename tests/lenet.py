"""LeNet-300-100: 784-300-100-10, one rule for Dense at 90%, one that keeps the classifier."""

from builders import build_graph

from graphprune.graph import LayerGraph
from graphprune.rules import parse_rules

RULES = """\
version: 1
schedules:
  ramp: {curve: polynomial, power: 3, from: 0, begin: 0 epochs, end: 4 epochs, every: 100 steps}
vars: {final: 0.9}
rules:
  - id: dense-90
    match: {type: Dense}
    prune: {sparsity: "${final}", schedule: ramp}
  - id: keep-classifier
    match: {last: {type: Dense}}
    keep: true
"""
ADDRESSES = ("in", "flatten", "fc1", "fc2", "predictions")


def lenet() -> LayerGraph:
    return build_graph(
        "in > flatten > fc1[784,300] > fc2[300,100] > predictions[100,10]", name="lenet"
    )


def lenet_zeros(**zeros: int) -> dict[tuple[str, str], int]:
    return {(address, "kernel"): zeros.get(address, 0) for address in ("fc1", "fc2", "predictions")}


def rules(text: str = RULES, file: str = "prune.yaml"):
    return parse_rules(text, file)
