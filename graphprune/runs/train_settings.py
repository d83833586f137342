"""The settings of how a run trains, the sections `train` and `checkpoints` of the run file."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import PlainValidator, WithJsonSchema

from graphprune.rules.building.schedules import Place
from graphprune.rules.text.numbers import Count, PositiveCount
from graphprune.rules.text.shape import Fault
from graphprune.rules.text.words import Truth
from graphprune.runs import setting_values as values
from graphprune.runs.run_options import MAX_EPOCHS
from graphprune.runs.setting import Setting


def _epochs(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MAX_EPOCHS:
        raise Fault("value/range", f"must be a whole number from 1 to {MAX_EPOCHS:,}")
    return value


Epochs = Annotated[
    int,
    PlainValidator(_epochs),
    WithJsonSchema({"type": "integer", "minimum": 1, "maximum": MAX_EPOCHS}),
]

TRAIN_SETTINGS: tuple[Setting, ...] = (
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
        "train.validation_split",
        "--validation-split",
        values.ShareOfSamples,
        "The share of the samples of an .npz, the last ones, to validate with: 0.2 or 20%.",
        "20%",
        form="yaml",
        argument="validation_split",
        metavar="SHARE",
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
        "train.class_weight",
        "--class-weight",
        values.ClassWeight,
        "The weight of a class in the loss: CLASS=WEIGHT.",
        "{0: 1.0, 1: 4.0}",
        form="pairs",
        argument="class_weight",
        metavar="CLASS=WEIGHT",
    ),
    Setting(
        "train.gradient_accumulation",
        "--gradient-accumulation",
        PositiveCount,
        "Batches whose gradients make one update.",
        "4",
        form="whole",
        argument="gradient_accumulation",
        metavar="N",
        least=1,
    ),
    Setting(
        "train.callbacks",
        "--callbacks",
        Annotated[tuple[str, ...], PlainValidator(values.parse_objects), values.OBJECTS],
        "Functions that return Keras callbacks, as MODULE:FUNCTION.",
        "[my_code:callbacks]",
        form="list",
        argument="callbacks",
        metavar="MODULE:FUNCTION",
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
        "train.stop.early",
        "--early-stopping",
        values.EarlyStopping,
        (
            "Stop when METRIC has not improved for PATIENCE epochs [default: 1], counted from the"
            " end of the schedules on, never before."
        ),
        "{metric: val_loss, patience: 5}",
        argument="early_stopping",
        metavar="METRIC[:PATIENCE]",
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
)
