"""Conversion of exported SavedModels to ONNX, and what all conversions share.

The folder is one that `model.export` of Keras 3 or tf_keras wrote, with the signature
`serving_default`. TensorFlow and the ONNX packages are imported when they are needed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from graphprune.errors import OutputError
from graphprune.quiet import quiet_output
from graphprune.replaced import replaced

SIGNATURE = "serving_default"
_ONNX_PACKAGES = ("tf2onnx", "onnxruntime", "onnx")


def check_onnx(packages: Sequence[str] | None = None) -> None:
    """Raise unless the packages that write and run ONNX files are installed.

    Args:
        packages: Their names; None for those that functions of TensorFlow need.

    Raises:
        OutputError: one is missing.
    """
    missing = [name for name in packages or _ONNX_PACKAGES if find_spec(name) is None]
    if missing:
        raise OutputError(
            f"an .onnx file needs the package {missing[0]}, which is not installed; pip install"
            " 'graphprune[onnx]'"
        )


@contextmanager
def variables_stored_once() -> Iterator[None]:
    """Let an export of Keras 3 store each variable once.

    Its archive names the variables of Keras and those of TensorFlow inside them, and TensorFlow
    stores both (keras/src/export/saved_model.py).
    """
    import tensorflow as tf
    from tensorflow.python.saved_model import save as saving

    theirs = saving.save_and_return_nodes

    def save(archive: Any, *args: Any, **options: Any) -> Any:
        for name in ("variables", "trainable_variables", "non_trainable_variables"):
            held = getattr(archive, name, None) or []
            if any(not isinstance(variable, tf.Variable) for variable in held):
                inside = [each if isinstance(each, tf.Variable) else each.value for each in held]
                setattr(archive, name, inside)
        return theirs(archive, *args, **options)

    with replaced((saving, "save_and_return_nodes", save)):
        yield


def saved_model_to_onnx(folder: Path, name: str) -> bytes:
    """Return an exported model as the bytes of an ONNX file; see `function_to_onnx`."""
    import tensorflow as tf

    with quiet_output():
        loaded = tf.saved_model.load(str(folder))  # signatures do not keep its variables alive
    served = loaded.signatures[SIGNATURE]
    specs = served.structured_input_signature[1]
    return function_to_onnx(lambda **inputs: served(**inputs), specs, name)


def function_to_onnx(call: Callable[..., Any], specs: Mapping[str, Any], name: str) -> bytes:
    """Return a function of TensorFlow as the bytes of an ONNX file.

    Args:
        call: Takes its inputs by keyword.
        specs: The `tf.TensorSpec` of each input; the file names its inputs by these keys.
        name: The model's name, for errors.

    Raises:
        OutputError: a package is missing, or ONNX has no operation for a layer.
    """
    check_onnx()
    import tensorflow as tf
    import tf2onnx

    signature = [tf.TensorSpec(spec.shape, spec.dtype, key) for key, spec in specs.items()]
    try:
        with quiet_output():
            traced = tf.function(lambda *tensors: call(**dict(zip(specs, tensors, strict=True))))
            model, _ = tf2onnx.convert.from_function(
                tf.function(_frozen(traced.get_concrete_function(*signature))),
                input_signature=signature,
                custom_op_handlers={"Erfc": (_convert_erfc, [])},
            )
            _check_operations(model)
            return bytes(model.SerializeToString())
    except Exception as fault:  # tf2onnx raises plain errors of all kinds
        raise OutputError(
            f"{name}: cannot be written as ONNX: {first_line(fault)}; save it as .keras or as a"
            " SavedModel folder"
        ) from fault


def _convert_erfc(graph: Any, node: Any, name: str, _: Any) -> None:
    """Compute erfc(x), which exact gelu has, as 1 - erf(x): tf2onnx leaves it as it is."""
    (given,), made = node.input, list(node.output)
    dtype, shape = graph.get_dtype(made[0]), graph.get_shape(made[0])
    graph.remove_node(node.name)
    one = graph.make_const(f"{name}/one", np.ones((), np.float32)).output[0]
    erf = graph.make_node("Erf", [given], name=f"{name}/erf").output[0]
    graph.set_dtype(erf, dtype)
    like = graph.make_node("CastLike", [one, given], name=f"{name}/like").output[0]
    graph.make_node("Sub", [like, erf], outputs=made, name=name, dtypes=[dtype], shapes=[shape])


def _check_operations(model: Any) -> None:
    """Raise if tf2onnx left an operation of TensorFlow in a model, which no runtime knows."""
    import onnx

    kinds = {node.op_type for node in model.graph.node if node.domain in ("", "ai.onnx")}
    unknown = sorted(kind for kind in kinds if not onnx.defs.has(kind))
    if unknown:
        raise ValueError(f"ONNX has no operation for {', '.join(unknown)}")


_TABLES = ("HashTable", "LookupTable", "MutableHashTable", "MutableDenseHashTable")
"""How operations on tables, such as vocabularies, are called; tf2onnx cannot trace them."""


def _frozen(concrete: Any) -> Callable[..., Any]:
    """Return a traced function with its variables and constants as numbers.

    tf2onnx would take a constant that the function has from outside for an input.
    """
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    frozen = convert_variables_to_constants_v2(
        concrete, lower_control_flow=False, aggressive_inlining=True
    )
    kinds = {operation.type for operation in frozen.graph.get_operations()}
    tables = sorted(kind for kind in kinds if kind.startswith(_TABLES))
    if tables:
        raise ValueError(f"ONNX has no operation for {', '.join(tables)}")

    def call(*tensors: Any) -> Any:
        return tf.nest.pack_sequence_as(concrete.structured_outputs, frozen(*tensors))

    return call


_ERROR = "error: "
"""The text that MLIR, which has no error codes, writes between source place and message."""
_PLACE = re.compile(r"loc\(.*\): ")
_COLOUR = re.compile(r"\x1b\[\d+m")
_WRAPPED = "Exception encountered when calling "
"""How Keras 3 begins the text of an error in a layer; the error itself stands below."""
_TRACED = "in user code:"
"""How TensorFlow begins the text of an error in a function that it traces, with its traceback."""
_RAISED = re.compile(r"\w*(?:Error|Exception): ")
_JOINED = re.compile(r"(?<=\S)\.?([NFf])(?=ode number \d|ailed to (?:apply|delegate) )")
"""Where LiteRT writes a second message behind a first one, without a space."""


def first_line(fault: Exception) -> str:
    r"""Return the line of an error of TensorFlow, MLIR or LiteRT that says what is wrong.

    Example:
        >>> first_line(ValueError("no tensor 3 in node #8Node number 13 (CONV_2D) failed."))
        'no tensor 3 in node #8; node number 13 (CONV_2D) failed'
        >>> first_line(ValueError("Exception encountered when calling GRU.call().\n\nToo long"))
        'Too long'
        >>> first_line(ValueError('in user code:\n\n    File "a.py", line 1\n\n    OSError: No'))
        'No'
        >>> first_line(ValueError("failed to delegate node #3failed to delegate node #8"))
        'failed to delegate node #3; failed to delegate node #8'
    """
    text = _COLOUR.sub("", str(fault))
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        return type(fault).__name__
    if lines[0].startswith(_WRAPPED) and len(lines) > 1:
        lines = lines[1:]
    if lines[0] == _TRACED:
        raised = (line for line in lines if _RAISED.match(line))
        lines = [_RAISED.sub("", next(raised, lines[-1]), count=1)]
    told = next((line for line in lines if _ERROR.rstrip() in line), lines[0])
    told = _PLACE.sub("", told.partition(_ERROR)[2] or told)
    return _JOINED.sub(lambda found: f"; {found[1].lower()}", told).removesuffix(".")
