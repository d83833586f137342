"""The Keras that builds a converted model: tf_keras for 2, keras for 3.

Only the requested one is imported.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from graphprune.engine.saved_pruning import SavedPruning
from graphprune.errors import GraphError

MODULES = {2: "tf_keras", 3: "keras"}
OLDEST = (3, 3)
"""The oldest version of Keras 3 that is tested (`tests/keras3/versions.py`)."""
_BACKENDS = ("tensorflow", "jax", "torch")


def import_keras(version: int) -> Any:
    """Return the module of a Keras by its major version: 2 for tf_keras, or 3.

    Raises:
        GraphError: this Keras, or its backend, is not installed, or it is too old.
    """
    name = MODULES[version]
    try:
        found = importlib.import_module(name)
    except (ImportError, ValueError) as err:  # a ValueError names a backend that Keras lacks
        raise GraphError(_explain_import(name, err)) from err
    if version == 3:
        check_version(found.__version__)
    return found


def check_version(version: str) -> None:
    """Raise unless this version of Keras 3 is supported.

    Raises:
        GraphError: it is too old.
    """
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdecimal())
    if numbers < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        raise GraphError(
            f"Keras {version} is installed, and graphprune needs Keras {oldest} or newer;"
            " update it with: pip install -U keras"
        )


def _explain_import(name: str, err: Exception) -> str:
    backend = (getattr(err, "name", None) or "").partition(".")[0]
    if name == "keras" and backend in _BACKENDS:
        return (
            f"Keras 3 cannot be imported, because its backend {backend!r} is not installed; install"
            f" it with: pip install {backend}, or choose another with KERAS_BACKEND"
        )
    if isinstance(err, ValueError) or (name == "keras" and backend not in ("", name)):
        return (
            f"Keras 3 cannot be imported ({str(err).strip()}); KERAS_BACKEND must be one of"
            f" {', '.join(_BACKENDS)}"
        )
    package = name.replace("_", "-")
    return f"{name} cannot be imported ({err}); install it with: pip install {package}"


class Library:
    """One Keras.

    Attributes:
        version: Its major version.
    """

    def __init__(self, version: int) -> None:
        self.version = version
        self._name = MODULES[version]

    @cached_property
    def keras(self) -> Any:
        """The module.

        Raises:
            GraphError: it cannot be imported.
        """
        return import_keras(self.version)

    def parameters(self, module: str, name: str) -> frozenset[str] | None:
        """Return the arguments that a class takes, or None if the module has no such class.

        Arguments of base classes are included.

        Args:
            module: A module below `keras.`, such as `layers` or `optimizers.schedules`.
            name: The class.
        """
        holder = self.keras
        for part in module.split("."):
            holder = getattr(holder, part)
        found = getattr(holder, name, None)
        if not isinstance(found, type):
            return None
        return _arguments(found) - {"self"}

    def build(self, config: Mapping[str, Any], place: str) -> Any:
        """Return a new model.

        Raises:
            GraphError: this Keras cannot build it; the text includes its reason.
        """
        serialization = importlib.import_module(f"{self._name}.src.saving.serialization_lib")
        with ExitStack() as stack:
            stack.enter_context(self._format())
            stack.enter_context(serialization.ObjectSharingScope())
            try:
                if "module" in config:
                    model = serialization.deserialize_keras_object(dict(config), safe_mode=True)
                else:
                    model = _build_as_in_hdf5(config)
            except Exception as err:  # a layer's constructor may raise anything
                reason = _reason(err)
                raise GraphError(
                    f"{self._name} {self.keras.__version__} cannot build the converted"
                    f" model ({reason}); the model uses a layer or a call that it does not"
                    " support",
                    "convert/refused",
                    place=place,
                ) from err
        if not model.built:
            raise GraphError(
                "the shape of the model's input is unknown, so it has no weights;"
                " give it an Input, or call it once, and save it again",
                "convert/refused",
                place=place,
            )
        return model

    def compile(self, model: Any, settings: Mapping[str, Any]) -> None:
        """Compile a model; errors of the optimizer, losses and metrics are passed on."""
        with self._format():
            model.compile_from_config(dict(settings))

    def prune(self, model: Any, saved: Mapping[str, SavedPruning]) -> Any:
        """Return a clone of a model that is pruned as a file says, by address."""
        surgery = {2: "tf.pruning.surgery", 3: "keras3.surgery"}[self.version]
        return importlib.import_module(f"graphprune.{surgery}").prune_as_saved(model, saved)

    def save(self, model: Any, path: Path) -> None:
        """Write a model, with its masks, to a `.keras` or `.h5` file."""
        saving = {2: "tf.models.saving", 3: "keras3.saving"}[self.version]
        importlib.import_module(f"graphprune.{saving}").save_model(model, path)

    def load(self, path: Path) -> Any:
        """Return the model in a file that this Keras wrote, of built-in layers only."""
        with self._format():
            return self.keras.saving.load_model(str(path), safe_mode=True)

    @contextmanager
    def _format(self) -> Iterator[None]:
        """Read configs as those of `.keras` files.

        tf_keras itself neither finds SpectralNormalization by its name, nor builds it where
        `tf.keras` is Keras 3.
        """
        with ExitStack() as stack:
            if self.version == 2:
                from graphprune.tf.layers.building import spectral_layers_buildable
                from graphprune.tf.models.keras_file import keras_format
                from graphprune.tf.pruning.keras_api import prune_scope

                for scope in (keras_format, prune_scope, spectral_layers_buildable):
                    stack.enter_context(scope())
            yield


def _build_as_in_hdf5(config: Mapping[str, Any]) -> Any:
    """Return a new model of tf_keras from the config of an `.h5` file or a SavedModel."""
    from graphprune.tf.models.building import build_empty

    return build_empty(config)


def _arguments(found: type) -> frozenset[str]:
    """Return the named arguments of a constructor and of the base constructors it forwards to."""
    names: frozenset[str] = frozenset()
    for each in found.__mro__:
        if "__init__" not in vars(each) or each is object:
            continue
        parameters = inspect.signature(vars(each)["__init__"]).parameters.values()
        names |= {
            parameter.name
            for parameter in parameters
            if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
        }
        if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
            break
    return names


def _reason(err: Exception) -> str:
    """Return in one line why a model cannot be built.

    Keras puts the configs of enclosing layers before the cause and the arguments of the call after
    it.
    """
    text = str(err).rpartition("Exception encountered: ")[2].strip()
    lines = [line for line in text.splitlines() if line]
    if lines and lines[0].startswith("Exception encountered when calling") and len(lines) > 1:
        return lines[1][:300]
    return (lines or [type(err).__name__])[0][:300]
