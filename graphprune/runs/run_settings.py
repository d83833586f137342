"""The settings of a training run: one table of the flags of `train` and the keys of the run file.

The options of the command, the shape of the run file with its JSON Schema, and the run file that a
run writes are made from it. A new setting is a row here; see CONTRIBUTING.md.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import PlainValidator, WithJsonSchema

from graphprune.rules.building.schedules import Place
from graphprune.rules.text.numbers import Count, PositiveCount
from graphprune.rules.text.shape import Fault
from graphprune.rules.text.words import Text, TextOrList, Truth, Variable, choice
from graphprune.runs import setting_values as values
from graphprune.runs.run_options import MAX_EPOCHS
from graphprune.runs.setting import Setting

TENSORBOARD = "tensorboard"
"""The default folder of events, in the run's folder."""


def _epochs(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MAX_EPOCHS:
        raise Fault("value/range", f"must be a whole number from 1 to {MAX_EPOCHS:,}")
    return value


def _keras(value: Any) -> int:
    if isinstance(value, bool) or value not in (2, 3):
        raise Fault("value/range", "must be 2 (tf_keras) or 3")
    return int(value)


Epochs = Annotated[
    int,
    PlainValidator(_epochs),
    WithJsonSchema({"type": "integer", "minimum": 1, "maximum": MAX_EPOCHS}),
]
Keras = Annotated[int, PlainValidator(_keras), WithJsonSchema({"enum": [2, 3]})]

SETTINGS: tuple[Setting, ...] = (
    Setting(
        "model", "", Text, "The saved model to train.", "model.keras", is_path=True, metavar="MODEL"
    ),
    Setting(
        "rules",
        "--rules",
        TextOrList,
        "Rule files, or builtin:NAME for one that ships.",
        "[prune.yaml]",
        form="list",
        is_path=True,
    ),
    Setting(
        "vars",
        "--var",
        dict[str, Variable],
        "Values for variables of the rule files.",
        "{final: 90%}",
        form="pairs",
    ),
    Setting(
        "only", "--only", TextOrList, "Use only these rules of the files.", "[wide]", form="list"
    ),
    Setting("off", "--off", TextOrList, "Leave these rules out.", "[wide]", form="list"),
    Setting(
        "set",
        "--set",
        dict[str, Variable],
        "Fields of actions, budgets, schedules or defaults, by path.",
        "{wide.prune.sparsity: 80%}",
        form="pairs",
    ),
    Setting(
        "plan",
        "--plan",
        Text,
        "A plan that graphprune plan wrote, instead of rules.",
        "plan.json",
        is_path=True,
    ),
    Setting(
        "data",
        "--data",
        Text,
        (
            "An .npz with x_train, y_train [x_val, y_val]; MODULE:FUNCTION that returns (train,"
            " validation) datasets; a .csv; a folder with a folder of images a class; or TFRecord"
            " files, such as 'records/*.tfrecord'."
        ),
        "digits.npz",
        argument="data",
        metavar="DATA",
        is_path=True,
    ),
    Setting(
        "label",
        "--label",
        TextOrList,
        "The column of a .csv that has the labels; one for each output.",
        "species",
        form="list",
        argument="label",
    ),
    Setting(
        "parse",
        "--parse",
        Text,
        "The function that makes (x, y) of one record of TFRecord files.",
        "my_data:parse",
        argument="parse",
        metavar="MODULE:FUNCTION",
    ),
    Setting(
        "validation_data",
        "--validation-data",
        Text,
        "Validation samples for a .csv, images or TFRecord files, of the same kind.",
        "valid.csv",
        argument="validation_data",
        metavar="DATA",
        is_path=True,
    ),
    Setting(
        "run",
        "--run",
        Text,
        "A new folder for checkpoints, metrics, the plan and the trained model.",
        "runs/a",
        metavar="DIR",
        is_path=True,
        is_recorded=False,
    ),
    Setting(
        "train.epochs",
        "--epochs",
        Epochs,
        "Passes over the data.",
        "30",
        form="whole",
        argument="epochs",
        least=1,
        most=MAX_EPOCHS,
    ),
    Setting(
        "train.batch_size",
        "--batch-size",
        PositiveCount,
        "Samples in a batch of an .npz [default: 32].",
        "64",
        form="whole",
        argument="batch_size",
        least=1,
    ),
    Setting(
        "train.steps_per_epoch",
        "--steps-per-epoch",
        PositiveCount,
        "Steps in an epoch, for infinite datasets.",
        "500",
        form="whole",
        argument="steps_per_epoch",
        least=1,
    ),
    Setting(
        "train.optimizer",
        "--optimizer",
        values.Optimizer,
        (
            "Optimizer in place of the saved one: adam, sgd, ..., or with settings, such as"
            " '{name: AdamW, weight_decay: 1e-4}'."
        ),
        "{name: AdamW, weight_decay: 1e-4}",
        form="yaml",
        argument="optimizer",
        metavar="NAME",
    ),
    Setting(
        "train.reset_optimizer",
        "--reset-optimizer",
        Truth,
        "Reset the optimizer state.",
        "true",
        form="switch",
        argument="reset_optimizer",
    ),
    Setting(
        "train.learning_rate",
        "--learning-rate",
        values.LearningRate,
        (
            "Learning rate in place of the saved one: a number, or a curve (constant, cosine,"
            " step), such as '{curve: cosine, from: 1e-3, to: 1e-5, warm_up: 5%}'."
        ),
        "{curve: cosine, from: 1e-3, to: 1e-5, warm_up: 5%}",
        form="real",
        argument="learning_rate",
        metavar="RATE",
    ),
    Setting(
        "train.loss",
        "--loss",
        values.Loss,
        (
            "Loss in place of the saved one: a name or MODULE:FUNCTION; for several outputs"
            " OUTPUT=LOSS."
        ),
        "sparse_categorical_crossentropy",
        form="by-output",
        argument="loss",
        metavar="[OUTPUT=]LOSS",
    ),
    Setting(
        "train.metrics",
        "--metrics",
        values.Metrics,
        "Metrics in place of the saved ones, written like the loss.",
        "[accuracy]",
        form="by-output",
        argument="metrics",
        metavar="[OUTPUT=]METRIC",
    ),
    Setting(
        "train.seed",
        "--seed",
        Count,
        "Seed for sample order and dropout.",
        "0",
        form="whole",
        argument="seed",
        least=0,
        shown="0",
    ),
    Setting(
        "train.allow_missed",
        "--allow-missed",
        Truth,
        "Only warn if the run is too short for a schedule to reach its target.",
        "true",
        form="switch",
        argument="allow_missed",
    ),
    Setting(
        "train.stop.after",
        "--stop-after",
        PositiveCount,
        "Stop after this step, as if the process had been killed; resume continues.",
        "500",
        form="whole",
        argument="stop_after_step",
        metavar="STEP",
        least=1,
        is_recorded=False,
    ),
    Setting(
        "checkpoints.every",
        "--checkpoint-every",
        Place,
        "Distance between checkpoints: '1 epoch', '500 steps', '10%'.",
        "1 epoch",
        argument="checkpoint_every",
        metavar="POSITION",
        shown="1 epoch",
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
            " CPU devices); each batch is divided among them."
        ),
        "mirrored",
        argument="strategy",
        metavar="NAME",
        shown="none",
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
"""The settings in the order of the run file and of help."""

BY_KEY = {setting.key: setting for setting in SETTINGS}
