"""The JSON of a model's architecture, in plans."""

from __future__ import annotations

from typing import NotRequired

from typing_extensions import TypedDict

from graphprune.documents import Count, Items, Real, Table, Text, Unexpected
from graphprune.graph.architecture import Architecture, LayerFacts
from graphprune.graph.computation import INPUT, UNKNOWN, Computation, Step
from graphprune.graph.figures import LayerFigures


class StepJson(TypedDict):
    """One thing that the model computes."""

    layer: Text
    """The address of its layer."""
    computes: Text
    """What it is: `convolution 3x3x8x16, strides 2x2, dilation 1x1, same`; `unknown` and the class
    for a layer that is not compared.
    """
    inputs: Items[Count]
    """The positions of the steps that it takes the results of."""


class ComputationJson(TypedDict):
    """What the model computes, for `verify` of files without layers."""

    steps: Items[StepJson]
    """The steps in order, without those that only move or rename values."""
    outputs: Items[Count]
    """The positions of the steps whose results leave the model."""


class FiguresJson(TypedDict):
    """What a layer holds and computes with."""

    weights: NotRequired[Items[Text]]
    """The shapes of its weights that are real numbers: `3x3x8x16`."""
    numbers: NotRequired[Items[Real]]
    """The constants that its operations take, such as an epsilon."""


class ArchitectureJson(TypedDict):
    """What the model is apart from how it is pruned; `verify` compares it."""

    model: Text
    """A digest of the classes, settings and ends of the model and of those inside it."""
    layers: Table[Text]
    """Of each layer, a digest of its class and settings, and of the tensors that it takes, with a
    space between. The key is its address; inputs and operations without a name of their own have a
    digest of what they do, and their address follows the digests.
    """
    computation: NotRequired[ComputationJson | None]
    """What it computes; absent where the config does not tell, and in plans of earlier versions."""
    figures: NotRequired[Table[FiguresJson]]
    """What its layers hold and compute with, by address; absent in plans of earlier versions."""


def architecture_to_document(found: Architecture) -> ArchitectureJson:
    """Return an architecture as JSON data."""
    document: ArchitectureJson = {
        "model": found.model,
        "layers": {
            name: f"{facts.settings} {facts.inputs}"
            + ("" if name == facts.address else f" {facts.address}")
            for name, facts in found.layers.items()
        },
    }
    if found.computation is not None:
        document["computation"] = {
            "steps": [
                {"layer": step.layer, "computes": step.computes, "inputs": list(step.inputs)}
                for step in found.computation.steps
            ],
            "outputs": list(found.computation.outputs),
        }
    document["figures"] = {
        address: _figures_to_document(figures) for address, figures in found.figures.items()
    }
    return document


def _figures_to_document(found: LayerFigures) -> FiguresJson:
    document: FiguresJson = {}
    if found.weights:
        document["weights"] = list(found.weights)
    if found.numbers:
        document["numbers"] = list(found.numbers)
    return document


def architecture_from_document(document: ArchitectureJson | None) -> Architecture | None:
    """Return what `architecture_to_document` wrote.

    Raises:
        Unexpected: it contradicts itself.
    """
    if document is None:
        return None
    layers = {}
    for name, text in document["layers"].items():
        settings, _, rest = text.partition(" ")
        inputs, _, address = rest.partition(" ")
        if not inputs:
            raise Unexpected(("architecture", "layers", name), "two digests", text)
        layers[name] = LayerFacts(address or name, settings, inputs)
    figures = {
        address: LayerFigures(tuple(one.get("weights", ())), tuple(one.get("numbers", ())))
        for address, one in document.get("figures", {}).items()
    }
    computation = _computation(document.get("computation"))
    return Architecture(document["model"], layers, computation, figures)


def _computation(document: ComputationJson | None) -> Computation | None:
    if document is None:
        return None
    place, steps = ("architecture", "computation"), []
    for index, step in enumerate(document["steps"]):
        if any(taken >= index for taken in step["inputs"]):
            raise Unexpected((*place, "steps", index, "inputs"), "steps before it", step["inputs"])
        if not step["inputs"] and not step["computes"].startswith((INPUT, UNKNOWN)):
            raise Unexpected((*place, "steps", index, "inputs"), "at least one step", [])
        steps.append(Step(step["layer"], step["computes"], tuple(step["inputs"])))
    outputs = tuple(document["outputs"])
    if any(output >= len(steps) for output in outputs):
        raise Unexpected((*place, "outputs"), f"numbers below {len(steps)}", list(outputs))
    return Computation(tuple(steps), outputs)
