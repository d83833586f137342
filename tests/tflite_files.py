"""TensorFlow Lite files, made of NumPy arrays with the schema alone."""

from dataclasses import dataclass, field

import flatbuffers
import numpy as np

from graphprune.archive.tflite.schema import load_schema


@dataclass
class Part:
    """A tensor: without values it is computed."""

    name: str
    shape: tuple[int, ...] = ()
    values: np.ndarray | None = None
    type: str = ""
    scales: list[float] = field(default_factory=list)
    zero_points: list[int] = field(default_factory=list)
    axis: int = 0
    sparsity: object = None


def options(name, **values):
    """The settings of an operator: `options("Conv2DOptions", strideW=1)`."""
    made = getattr(load_schema(), f"{name}T")()
    for key, value in values.items():
        setattr(made, key, value)
    return made


RELU = {"fusedActivationFunction": 1}
"""A setting of operators that have an activation inside."""


def level(size=0, segments=None, indices=None):
    """The metadata of one axis of a sparse tensor."""
    schema = load_schema()
    made = schema.DimensionMetadataT()
    made.denseSize = size
    if segments is not None:
        made.format = schema.DimensionType.SPARSE_CSR
        made.arraySegmentsType, made.arraySegments = _vector(segments)
        made.arrayIndicesType, made.arrayIndices = _vector(indices)
    return made


def _vector(values):
    schema = load_schema()
    kind = "Uint8Vector" if max(values) < 256 else "Uint16Vector"
    made = getattr(schema, f"{kind}T")()
    made.values = values
    return getattr(schema.SparseIndexVector, kind), made


def sparsity(order, blocked, levels):
    """How the values of a sparse tensor are stored."""
    made = load_schema().SparsityParametersT()
    made.traversalOrder, made.blockMap, made.dimMetadata = order, blocked, levels
    return made


def sparse_matrix(values, block=1):
    """A matrix as the converter encodes it, in blocks of `block` along its last axis."""
    rows, columns = values.shape
    blocks = values.reshape(rows, columns // block, block)
    alive = blocks.any(axis=2)
    segments = np.concatenate([[0], np.cumsum(alive.sum(axis=1))]).tolist()
    indices = np.nonzero(alive)[1].tolist()
    if block == 1:
        found = sparsity([0, 1], [], [level(rows), level(0, segments, indices)])
    else:
        found = sparsity([0, 1, 2], [1], [level(rows), level(0, segments, indices), level(block)])
    return blocks[alive].reshape(-1), found


def tflite_bytes(parts, operators=(), named=None):
    """Return a file with these tensors and operators: (kind, inputs, outputs) by tensor name, and
    perhaps a settings object of the schema. What no operator makes and has no values is an input;
    what none takes is an output. `named` has the tensors of a signature by name.
    """
    schema = load_schema()
    model, graph = schema.ModelT(), schema.SubGraphT()
    places = {part.name: index for index, part in enumerate(parts)}
    graph.tensors = [_tensor(part, index) for index, part in enumerate(parts)]
    kinds = list(dict.fromkeys(kind for kind, *_ in operators))
    made_by = {name for _, _, outputs, *_ in operators for name in outputs}
    taken = {name for _, inputs, *_ in operators for name in inputs}
    graph.inputs = [
        places[part.name] for part in parts if part.values is None and part.name in taken - made_by
    ]
    graph.outputs = [places[part.name] for part in parts if part.name in made_by - taken]
    graph.operators = []
    for kind, inputs, outputs, *given in operators:
        made = schema.OperatorT()
        if given:
            made.builtinOptionsType = getattr(
                schema.BuiltinOptions, type(given[0]).__name__.removesuffix("T")
            )
            made.builtinOptions = given[0]
        made.opcodeIndex = kinds.index(kind)
        made.inputs = [places[name] for name in inputs]
        made.outputs = [places[name] for name in outputs]
        graph.operators.append(made)
    model.version, model.subgraphs, model.operatorCodes = 3, [graph], []
    for kind in kinds:
        code = schema.OperatorCodeT()
        code.builtinCode = getattr(schema.BuiltinOperator, kind)
        code.deprecatedBuiltinCode = min(code.builtinCode, 127)
        model.operatorCodes.append(code)
    if named is not None:
        model.signatureDefs = [schema.SignatureDefT()]
        model.signatureDefs[0].outputs = [
            _end(name, places[tensor]) for name, tensor in named.items()
        ]
    model.buffers = [_buffer(b"")]
    model.buffers += [
        _buffer(b"" if part.values is None else part.values.tobytes()) for part in parts
    ]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _buffer(data):
    made = load_schema().BufferT()
    made.data = np.frombuffer(data, np.uint8) if data else None
    return made


def _tensor(part, index):
    schema = load_schema()
    made = schema.TensorT()
    made.name, made.buffer = part.name, index + 1
    shape = part.shape or (() if part.values is None else part.values.shape)
    made.shape = list(shape)
    kind = part.type or ("FLOAT32" if part.values is None else part.values.dtype.name.upper())
    made.type = getattr(schema.TensorType, kind)
    made.sparsity = part.sparsity
    if part.scales:
        made.quantization = schema.QuantizationParametersT()
        made.quantization.scale = part.scales
        made.quantization.zeroPoint = part.zero_points
        made.quantization.quantizedDimension = part.axis
    return made


def _end(name, index):
    made = load_schema().TensorMapT()
    made.name, made.tensorIndex = name, index
    return made
