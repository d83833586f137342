"""A Keras that cannot be imported: what is missing, and what to do."""

import importlib
from types import SimpleNamespace

import pytest

from graphprune.conversion.libraries import import_keras
from graphprune.errors import GraphError


@pytest.mark.parametrize(
    ("version", "fault", "said"),
    [
        (
            3,
            ModuleNotFoundError("No module named 'torch'", name="torch"),
            "Keras 3 cannot be imported, because its backend 'torch' is not installed; install it"
            " with: pip install torch, or choose another with KERAS_BACKEND",
        ),
        (
            3,
            ModuleNotFoundError("No module named 'torch.utils'", name="torch.utils"),
            "Keras 3 cannot be imported, because its backend 'torch' is not installed; install it"
            " with: pip install torch, or choose another with KERAS_BACKEND",
        ),
        (
            3,
            ModuleNotFoundError("No module named 'openvino'", name="openvino"),
            "Keras 3 cannot be imported (No module named 'openvino'); KERAS_BACKEND must be one of"
            " tensorflow, jax, torch",
        ),
        (
            3,
            ModuleNotFoundError("No module named 'keras'", name="keras"),
            "keras cannot be imported (No module named 'keras'); install it with: pip install"
            " keras",
        ),
        (
            3,
            ValueError("Unable to import backend : mxnet"),
            "Keras 3 cannot be imported (Unable to import backend : mxnet); KERAS_BACKEND must be"
            " one of tensorflow, jax, torch",
        ),
        (
            2,
            ModuleNotFoundError("No module named 'tf_keras'", name="tf_keras"),
            "tf_keras cannot be imported (No module named 'tf_keras'); install it with: pip install"
            " tf-keras",
        ),
    ],
)
def test_what_is_missing_is_named(monkeypatch, version, fault, said):
    def fail(name):
        raise fault

    monkeypatch.setattr(importlib, "import_module", fail)
    with pytest.raises(GraphError) as caught:
        import_keras(version)
    assert str(caught.value) == said


@pytest.mark.parametrize("version", ["2.15.0", "3.2.1", "3.0"])
def test_an_old_keras_is_refused(monkeypatch, version):
    monkeypatch.setattr(
        importlib, "import_module", lambda name: SimpleNamespace(__version__=version)
    )
    with pytest.raises(GraphError, match=rf"^Keras {version} is installed, and graphprune needs"):
        import_keras(3)


def test_an_old_keras_of_a_live_model_is_refused(monkeypatch):
    import keras

    import graphprune.keras3

    monkeypatch.setattr(keras, "__version__", "3.2.1")
    with pytest.raises(GraphError) as caught:
        importlib.reload(graphprune.keras3)
    assert str(caught.value) == (
        "Keras 3.2.1 is installed, and graphprune needs Keras 3.3 or newer; update it with: pip"
        " install -U keras"
    )


@pytest.mark.parametrize("version", ["3.3.0", "3.15.1", "4.0.0.dev1"])
def test_a_newer_keras_is_taken(monkeypatch, version):
    found = SimpleNamespace(__version__=version)
    monkeypatch.setattr(importlib, "import_module", lambda name: found)
    assert import_keras(3) is found
