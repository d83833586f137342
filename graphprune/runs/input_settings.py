"""The settings of what a run works on and writes: model, rules, data, folder."""

from __future__ import annotations

from graphprune.rules.text.words import Text, TextOrList, Variable
from graphprune.runs.setting import Setting

INPUT_SETTINGS: tuple[Setting, ...] = (
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
)
