"""The settings of a training run: one table of the flags of `train` and the keys of the run file.

The options of the command, the shape of the run file with its JSON Schema, and the run file that a
run writes are made from it. A new setting is a row; see CONTRIBUTING.md.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import PlainValidator, WithJsonSchema

from graphprune.graph.precision import POLICIES
from graphprune.rules.text.numbers import PositiveCount
from graphprune.rules.text.shape import Fault
from graphprune.rules.text.words import Text, TextOrList, Truth, choice
from graphprune.runs.cluster import Workers
from graphprune.runs.input_settings import INPUT_SETTINGS
from graphprune.runs.setting import Setting
from graphprune.runs.setting_values import JitCompile
from graphprune.runs.train_settings import TRAIN_SETTINGS

TENSORBOARD = "tensorboard"
"""The default folder of events, in the run's folder."""


def _keras(value: Any) -> int:
    if isinstance(value, bool) or value not in (2, 3):
        raise Fault("value/range", "must be 2 (tf_keras) or 3")
    return int(value)


Keras = Annotated[int, PlainValidator(_keras), WithJsonSchema({"enum": [2, 3]})]


_OTHERS: tuple[Setting, ...] = (
    Setting(
        "checkpoints.keep",
        "--keep",
        PositiveCount,
        "Checkpoints to keep: the newest ones, and the best one if --keep-best is given.",
        "3",
        form="whole",
        argument="keep",
        least=1,
        shown="3",
    ),
    Setting(
        "train.keep_best",
        "--keep-best",
        Text,
        (
            "Keep the checkpoint of the best epoch by this metric, such as val_accuracy, and write"
            " best.keras; METRIC:min or METRIC:max if the name does not say what is better."
        ),
        "val_accuracy",
        argument="keep_best",
        metavar="METRIC",
    ),
    Setting(
        "tensorboard",
        "--tensorboard",
        Text,
        (
            "Write TensorBoard events (loss, metrics, sparsity of each tensor) into DIR [default:"
            " tensorboard in the run's folder]."
        ),
        "tensorboard",
        argument="tensorboard",
        metavar="[DIR]",
        is_path=True,
    ),
    Setting(
        "on.strategy",
        "--strategy",
        Text,
        (
            "'mirrored' trains on all GPUs, 'mirrored:N' on N of them (without a GPU, on N virtual"
            " CPU devices), 'multiworker' on several machines; each batch is divided among them."
        ),
        "mirrored",
        argument="strategy",
        metavar="NAME",
        shown="none",
    ),
    Setting(
        "on.workers",
        "--workers",
        Workers,
        (
            "The addresses of all workers of --strategy multiworker, in the order of their ranks;"
            " the first one writes DIR. Without it, TF_CONFIG names them."
        ),
        "[node-a:2222, node-b:2222]",
        argument="workers",
        metavar="HOST:PORT,...",
    ),
    Setting(
        "on.wait",
        "--wait",
        PositiveCount,
        "Seconds to wait for the other workers.",
        "600",
        form="whole",
        argument="wait",
        metavar="SECONDS",
        least=1,
        shown="600",
    ),
    Setting(
        "on.precision",
        "--mixed-precision",
        Annotated[str, *choice(POLICIES, {}, "a policy of mixed precision")],
        (
            "Compute in 16 bits with float32 weights: mixed_float16 (GPUs) or mixed_bfloat16 (TPUs,"
            " newer GPUs and CPUs). strip takes it back."
        ),
        "mixed_float16",
        argument="mixed_precision",
        metavar="POLICY",
    ),
    Setting(
        "on.jit_compile",
        "--jit-compile",
        JitCompile,
        "Compile training steps with XLA, or do not; the key may also be auto: as Keras decides.",
        "false",
        form="on-off",
        argument="jit_compile",
    ),
    Setting(
        "on.steps_per_execution",
        "--steps-per-execution",
        PositiveCount,
        (
            "Steps in one call of the compiled function. Masks change, and checkpoints are written,"
            " between two calls."
        ),
        "10",
        form="whole",
        argument="steps_per_execution",
        metavar="N",
        least=1,
    ),
    Setting(
        "on.keras",
        "--keras",
        Keras,
        "Convert the model to this Keras, 2 (tf_keras) or 3.",
        "3",
        form="whole",
        is_recorded=False,
    ),
    Setting(
        "load.custom_objects",
        "--custom-objects",
        TextOrList,
        "Import custom layers, losses and metrics, as [OTHER=]MODULE[:NAME].",
        "[my_layers]",
        form="list",
    ),
    Setting(
        "load.unsafe_lambda",
        "--unsafe-lambda",
        Truth,
        "Load Lambda layers with Python bytecode: only for files that you trust.",
        "true",
        form="switch",
    ),
    Setting(
        "load.unsafe_ops",
        "--unsafe-ops",
        Truth,
        "Load layers that run any TensorFlow operation: only for files that you trust.",
        "true",
        form="switch",
    ),
    Setting(
        "show.quiet",
        "--quiet",
        Truth,
        "Print only warnings and errors.",
        "true",
        form="switch",
        is_recorded=False,
    ),
    Setting(
        "show.brief",
        "--brief",
        Truth,
        "Print one line for all tensors that met their targets.",
        "true",
        form="switch",
        is_recorded=False,
    ),
    Setting(
        "show.format",
        "--format",
        Annotated[str, *choice(("text", "json"), {}, "the format of the output")],
        "text, or json: one object a line, as it happens.",
        "json",
        is_recorded=False,
    ),
    Setting(
        "dry_run",
        "--dry-run",
        Truth,
        "Check everything, train on one batch, and write nothing.",
        "true",
        form="switch",
        argument="dry_run",
        is_recorded=False,
    ),
    Setting(
        "evaluate",
        "--evaluate",
        Truth,
        "Only measure the model on the test set, and write nothing.",
        "true",
        form="switch",
        argument="evaluate",
        is_recorded=False,
    ),
    Setting(
        "force",
        "--force",
        Truth,
        "Replace an earlier run in the folder.",
        "true",
        form="switch",
        argument="force",
        is_recorded=False,
    ),
)
SETTINGS = (*INPUT_SETTINGS, *TRAIN_SETTINGS, *_OTHERS)
"""The settings in the order of the run file and of help."""

BY_KEY = {setting.key: setting for setting in SETTINGS}
