"""Differences between the backends of Keras 3: where training state is held, and randomness.

JAX trains on copies of the variables and writes them back on request (`jax_state_sync`); PyTorch
draws unseeded dropout from its global generator. The backend's package is reached through Keras,
so nothing is imported that Keras has not imported.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import MutableMapping
from contextlib import AbstractContextManager, nullcontext
from importlib import import_module
from typing import Any

import keras
import numpy as np
from keras.src.backend import Variable  # Keras before 3.7 has another as keras.Variable
from keras.src.backend.common.stateless_scope import get_stateless_scope
from keras.src.utils.jax_utils import is_in_jax_tracing_scope
from keras.src.utils.module_utils import tensorflow
from numpy.typing import NDArray

from graphprune.sparsity.mask_kernels import apply_mask


def start_backend() -> None:
    """Do what the backend does at its first use, which prints notes: JAX looks for devices."""
    keras.ops.zeros(())
    _ = tensorflow.available  # imports TensorFlow where it is installed, as Keras does later


def sync(model: Any) -> None:
    """Write training state that is held elsewhere (JAX) back into the variables of `model`."""
    if keras.config.backend() == "jax" and hasattr(model, "jax_state_sync"):
        model.jax_state_sync()


def read_count(model: Any, optimizer: Any, count: Any) -> int:
    """Return a whole number that `optimizer` counts, without writing back all training state."""
    state = getattr(model, "_jax_state", None)
    if state and not model._jax_state_synced and model.optimizer is optimizer:
        place = next(
            index for index, variable in enumerate(optimizer.variables) if variable is count
        )
        return int(state["optimizer_variables"][place])
    return int(read_in_place(count))


def read(variable: Any) -> NDArray[Any]:
    """Return the value of a variable, of its first copy if it has one on each device."""
    value = keras.ops.convert_to_numpy(keras.ops.convert_to_tensor(variable))
    return np.asarray(value)


def read_in_place(variable: Any) -> NDArray[Any]:
    """Return what `read` does, to be used at once: it may be the memory of the variable itself."""
    if keras.config.backend() == "torch":
        return read_or_memory(variable)
    value = keras.ops.convert_to_tensor(variable)
    # NumPy would copy a variable of Keras or TensorFlow, and not a tensor
    value = value.value if isinstance(value, Variable) else value
    return np.asarray(value.value() if hasattr(value, "read_value") else value)


def read_or_memory(variable: Any) -> NDArray[Any]:
    """Return a copy of the value, or the memory of a variable of PyTorch, which may be written."""
    memory = _memory_of(variable)
    return read(variable) if memory is None else memory


def write(variable: Any, values: NDArray[Any]) -> None:
    """Assign values to a variable.

    NumPy fills the tensors of PyTorch on the processor. PyTorch's own copy wakes its threads for
    each tensor: beside other processes it took 16 ms for a million weights, and NumPy's 0.2 ms.
    """
    memory = _memory_of(variable)
    if memory is None or (memory.dtype, memory.shape) != (values.dtype, values.shape):
        variable.assign(values)
    else:
        np.copyto(memory, values)
        # PyTorch counts its own changes only
        sys.modules["torch"].autograd.graph.increment_version(variable._value)


def _memory_of(variable: Any) -> NDArray[Any] | None:
    """Return the memory of a variable of PyTorch on the processor; None for all other variables."""
    held = getattr(variable, "_value", None)
    if keras.config.backend() != "torch" or held is None or get_stateless_scope() is not None:
        return None
    torch = sys.modules["torch"]
    if held.device.type != "cpu" or held.dtype == torch.bfloat16 or torch.compiler.is_compiling():
        return None
    memory: NDArray[Any] = held.detach().numpy()
    return memory


def masked(value: Any, mask: Any) -> Any:
    """Return a tensor with zeros where `mask` is False, whatever the values are there."""
    if keras.config.backend() == "tensorflow" and keras.backend.is_float_dtype(value.dtype):
        # zero times infinity is zero; half the time of tf.where
        kept = keras.ops.cast(mask, value.dtype)
        return sys.modules["tensorflow"].math.multiply_no_nan(value, kept)
    return keras.ops.where(mask, value, keras.ops.cast(0, value.dtype))


def masked_in_place(variable: Any, mask: Any) -> Any:
    """Return the value of a variable with zeros where `mask` is False, to be assigned to it.

    The variable of PyTorch is changed at once, by its bits as whole numbers, and assigning the
    result to it costs nothing: selecting by a boolean is not vectorized there and takes ten times
    as long.
    """
    value = keras.ops.convert_to_tensor(variable)
    if not _is_storage(value, variable):
        return masked(value, mask)
    torch = sys.modules["torch"]
    signed = {2: torch.int16, 4: torch.int32, 8: torch.int64}[value.element_size()]
    bits, kept = value.data.view(signed), torch.as_tensor(mask, device=value.device)
    if value.device.type == "cpu":
        _keep_on_processor(bits, kept)
    else:
        bits.mul_(kept.to(signed))
    return value


def _keep_on_processor(bits: Any, mask: Any) -> None:
    """Zero the whole numbers where a mask of PyTorch is False.

    From the second use of a mask on, all bits to keep are held, 4 bytes for a weight of 4 bytes,
    until it changes: they take half of NumPy's time, and PyTorch's threads find the weights in
    their caches, where they have just updated them.
    """
    held = _kept_bits()
    version, kept = held.get(mask, (None, None))
    if version != mask._version:
        apply_mask(bits.numpy(), mask.numpy(), in_place=True)
        held[mask] = (mask._version, None)
        return
    if kept is None or kept.dtype != bits.dtype:
        kept = mask.view(sys.modules["torch"].int8).neg().to(bits.dtype)
        held[mask] = (mask._version, kept)
    bits.bitwise_and_(kept)


@functools.cache
def _kept_bits() -> MutableMapping[Any, tuple[int, Any]]:
    """Return the version at which each mask of PyTorch was last used, and the bits that it keeps.

    They are not attributes of the mask, which would be pickled with it and outlive its version.
    """
    weak = import_module("torch.utils.weak")  # torch need not be installed
    bits: MutableMapping[Any, tuple[int, Any]] = weak.WeakTensorKeyDictionary()
    return bits


def _is_storage(value: Any, variable: Any) -> bool:
    """Return whether `value` is the tensor of PyTorch that the variable holds, to be written."""
    is_held = bool(value is getattr(variable, "_value", None))
    if keras.config.backend() != "torch" or not is_held:
        return False
    is_real = bool(value.device.type != "meta" and value.is_floating_point())
    return is_real and not sys.modules["torch"].compiler.is_compiling()


def scope_of(model: Any) -> AbstractContextManager[Any]:
    """Return the scope of `tf.distribute` in which the variables of `model` were created."""
    strategy = getattr(model, "_distribute_strategy", None)
    scope: AbstractContextManager[Any] = nullcontext() if strategy is None else strategy.scope()
    return scope


def is_in_step() -> bool:
    """Return whether a training step is being traced, or runs without state (`StatelessScope`)."""
    if get_stateless_scope() is not None:
        return True
    backend = keras.config.backend()
    if backend == "tensorflow":
        return bool(sys.modules["tensorflow"].inside_function())
    return backend == "jax" and _is_traced_by_jax()


def _is_traced_by_jax() -> bool:
    """Return whether JAX traces a function, without the array that Keras makes to find out."""
    is_clean = getattr(sys.modules["jax"]._src.core, "trace_state_clean", None)
    return bool(is_in_jax_tracing_scope()) if is_clean is None else not is_clean()


def is_constant(variable: Any) -> bool:
    """Return whether a stateless step would see the variable's current value as a constant."""
    scope = get_stateless_scope()
    return scope is not None and scope.get_current_value(variable) is None


def read_generator() -> NDArray[np.uint8] | None:
    """Return the state of the backend's global random generator; None if it has none.

    PyTorch has one for the processor and one for a GPU: the state of the second follows the first.
    """
    if keras.config.backend() != "torch":
        return None
    torch = sys.modules["torch"]
    states = [torch.get_rng_state()]
    if _is_on_gpu():
        states.append(torch.cuda.get_rng_state())
    state: NDArray[np.uint8] = torch.cat(states).numpy()
    return state


def write_generator(state: NDArray[np.uint8]) -> None:
    """Set the state of the backend's global random generator."""
    torch = sys.modules.get("torch")
    if torch is None or keras.config.backend() != "torch":
        return
    values = torch.from_numpy(np.array(state, dtype=np.uint8))
    length = len(torch.get_rng_state())
    torch.set_rng_state(values[:length])
    if len(values) > length and _is_on_gpu():
        torch.cuda.set_rng_state(values[length:])


def _is_on_gpu() -> bool:
    """Return whether Keras puts the tensors of PyTorch on a GPU."""
    from keras.src.backend.torch.core import get_device

    return str(get_device()).startswith("cuda")


def seed_generator(seed: int) -> None:
    """Seed the backend's global random generator, where dropout draws from it."""
    if keras.config.backend() == "torch":
        sys.modules["torch"].manual_seed(seed)
