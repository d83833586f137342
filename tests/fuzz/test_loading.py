"""Mutated models through `load_model`, in a process that watches them: loaded or refused by our own
errors, and nothing outside the file is touched.
"""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

import pytest
from audit import faults, load_audited
from config_words import WORDS, entries
from fuzz.harness import cases_of
from fuzz.mutations import mutate_value
from fuzz.test_model_files import TREE, put_somewhere
from hostile_configs import model
from hostile_files import IN, layer, write_h5, write_keras
from saved_model_files import write_saved_model

pytestmark = pytest.mark.tf
COUNT, BATCH = 150, 300
COMPILED = {"optimizer": "adam", "loss": "mse", "metrics": ["mae"]}
POLICY = {
    "module": "keras.mixed_precision",
    "class_name": "Policy",
    "config": {"name": "mixed_float16"},
    "registered_name": None,
}
GLOROT = {
    "module": "keras.initializers",
    "class_name": "GlorotUniform",
    "config": {"seed": None},
    "registered_name": None,
}


def inner(kind: str, **config: Any) -> dict[str, Any]:
    return {"module": "keras.layers", "class_name": kind, "config": config, "registered_name": None}


FC = layer(
    "Dense",
    "fc",
    ("in",),
    units=4,
    use_bias=True,
    activation="relu",
    kernel_initializer=GLOROT,
    dtype=POLICY,
)
TIMES = layer("InputLayer", "in", batch_input_shape=[None, 3, 4])
TEXT = layer("InputLayer", "in", batch_input_shape=[None, 1], dtype="string")
LAMBDA = layer(
    "Lambda",
    "fc",
    ("in",),
    function="relu",
    function_type="function",
    output_shape=None,
    output_shape_type="raw",
    module="os",
    arguments={},
)
OPERATION = layer("TFOpLambda", "add", function="math.add") | {
    "inbound_nodes": [["in", 0, 0, {"y": 1.0, "name": None}]]
}
CONFIGS = [
    model(IN, FC),
    model(IN, FC) | {"compile_config": COMPILED},
    model(TIMES, layer("TimeDistributed", "fc", ("in",), layer=inner("Dense", name="d", units=4))),
    model(
        TIMES,
        layer(
            "Bidirectional",
            "fc",
            ("in",),
            layer=inner("LSTM", name="l", units=4, return_sequences=False),
            merge_mode="concat",
        ),
    ),
    model(
        TIMES,
        layer(
            "RNN", "fc", ("in",), cell=inner("StackedRNNCells", cells=[inner("GRUCell", units=4)])
        ),
    ),
    model(
        TIMES,
        layer("MultiHeadAttention", "fc", ("in",), num_heads=2, key_dim=2)
        | {"inbound_nodes": [[["in", 0, 0, {"value": ["in", 0, 0]}]]]},
    ),
    model(
        TEXT,
        layer(
            "StringLookup",
            "fc",
            ("in",),
            vocabulary=["a", "b"],
            num_oov_indices=1,
            output_mode="int",
        ),
    ),
    model(
        TEXT,
        layer(
            "TextVectorization",
            "fc",
            ("in",),
            vocabulary=["a"],
            standardize="lower",
            split="whitespace",
            ngrams=2,
            output_mode="int",
        ),
    ),
    model(IN, layer("Normalization", "fc", ("in",), axis=-1, mean=[0.0] * 4, variance=[1.0] * 4)),
    model(IN, LAMBDA),
    model(IN, OPERATION, layer("Activation", "fc", ("add",), activation="tanh")),
    model(IN, model(IN, FC) | {"name": "fc", "inbound_nodes": [[["in", 0, 0, {}]]]}, call=1),
]
SETTINGS = {
    "loss": "mse",
    "metrics": ["mae"],
    "optimizer_config": {"class_name": "Adam", "config": {"learning_rate": 0.01}},
}


def write_case(random: Random, folder: Path, secret: Path) -> Path:
    """Write a model file with a mutated config, in which hostile objects and the name of a file may
    stand.
    """
    words = (*WORDS, str(secret), "vocabulary", "activation", "relu")
    config = random.choice(CONFIGS)
    if random.random() < 0.8:
        config = mutate_value(random, config, words)
    if random.random() < 0.6:
        config = put_somewhere(random, json.loads(json.dumps(config)), [*entries(), str(secret)])
    match random.randrange(5):
        case 0 | 1:
            return write_keras(folder / "m.keras", config)
        case 2 | 3:
            settings = mutate_value(random, SETTINGS, words) if random.random() < 0.5 else None
            return write_h5(folder / "m.h5", config, settings=settings)
        case _:
            entry = (
                config
                if isinstance(config, dict) and {"class_name", "config"} <= set(config)
                else CONFIGS[0]
            )
            return write_saved_model(folder / "m", entry, TREE)


def test_a_mutated_model_is_loaded_or_refused(request, tmp_path):
    seconds, only = (
        request.config.getoption("--fuzz-seconds"),
        request.config.getoption("--fuzz-case"),
    )
    cases = cases_of(seconds=seconds, count=COUNT, only=only)
    watched = tmp_path / "watched"
    watched.mkdir()
    (watched / "secret.txt").write_text("a\nb\n")
    ran = 0
    while batch := list(islice(cases, BATCH)):
        paths = []
        for case in batch:
            folder = tmp_path / f"case-{case}"  # what is replayed with --fuzz-case
            folder.mkdir()
            paths.append(write_case(Random(case), folder, watched / "secret.txt"))
        found = load_audited(paths, watched=watched, memory=4 * 2**30)
        assert not faults(found)
        ran += len(found)
    assert ran >= (COUNT if seconds is None and only is None else 1)
