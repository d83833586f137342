"""The commands that need no TensorFlow are proven to run where it cannot be imported."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from commands import Done, run_command

from graphprune.engine.early_checks import check_name

ROOT = Path(__file__).parents[1]
MODEL = "fixtures/digits-cnn.keras"
RULES = "rules/conv-80-dense-90.yaml"
WITHOUT_TENSORFLOW = """
import json, sys
for name in ("tensorflow", "tf_keras", "keras"):
    sys.modules[name] = None
sys.path.insert(0, "tests")
from commands import run_command
for arguments in json.loads(sys.argv[1]):
    try:
        done = run_command(*arguments)
    except ModuleNotFoundError as fault:
        print(json.dumps([1, "", repr(fault)]))
    else:
        print(json.dumps([done.code, done.out, done.err]))
"""
COLLECT = """
import sys, pytest
options = ["-q", "-p", "no:cacheprovider", "--assert=plain"]
pytest.main(["--collect-only", *options, "-m", "not tf"])
print("imported:", *sorted({"tensorflow", "tf_keras", "keras"} & sys.modules.keys()))
"""
COMMANDS = [
    "layers",
    "graph",
    "lint",
    "explain",
    "test",
    "plan",
    "apply",
    "prune",
    "train",
    "resume",
    "runs",
    "strip",
    "shrink",
    "convert",
    "diff",
    "verify",
    "bench",
    "targets",
    "schema",
    "rules",
    "demo",
]


LIGHT = [
    ("--help",),
    ("--version",),
    ("layers", MODEL),
    *(("graph", MODEL, "--format", kind) for kind in ("json", "dot", "svg", "html")),
    ("lint", RULES),
    ("lint", RULES, "--model", MODEL),
    ("plan", MODEL, "-r", RULES),
    ("explain", MODEL, "-r", RULES, "--rule", "dense-90"),
    ("diff", MODEL, MODEL),
    ("schema",),
    ("lint", "--explain", "list"),
    ("lint", "--explain", "rule/conflict"),
    ("schema", "test"),
    ("schema", "plan"),
    ("rules",),
    ("targets",),
    ("targets", "gzip"),
    ("rules", "dense-90"),
    *((command, "--help") for command in COMMANDS),
]
HEAVIER = [("strip", MODEL, "-o", "/nowhere/out.keras")]


def run_without_tensorflow(commands):
    """Return how command lines end, by each, in a process that cannot import TensorFlow."""
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TENSORFLOW, json.dumps(commands)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=True,
    )
    answers = (Done(*json.loads(line)) for line in done.stdout.splitlines())
    return dict(zip(commands, answers, strict=True))


@pytest.fixture(scope="module")
def without_tensorflow():
    """How every light command line ends, and one that needs TensorFlow."""
    return run_without_tensorflow([*LIGHT, *HEAVIER])


@pytest.mark.parametrize("arguments", LIGHT, ids=" ".join)
def test_a_light_command_runs_where_tensorflow_cannot_be_imported(arguments, without_tensorflow):
    done = without_tensorflow[arguments]
    assert (done.code, done.err) == (0, "")
    assert done.out


RANDOM = np.random.default_rng(0)
DIGITS = {"x_train": RANDOM.random((8, 8, 8, 1)), "y_train": np.arange(8)}
TAKES = "labels for sparse_categorical_crossentropy are integers from 0 to 9"
FINITE = "training needs finite numbers, clean the data first"
HELD_OUT = {**DIGITS, "x_val": DIGITS["x_train"], "y_val": DIGITS["y_train"]}
SPLIT = ("--validation-split", "25%")


def with_value(array, index, value):
    changed = array.copy()
    changed[index] = value
    return changed


MISTAKES = {
    "d.npz: x_train has 8 samples and y_train has 3; each sample needs one label": (
        {**DIGITS, "y_train": np.zeros(3)},
        (),
    ),
    "d.npz: x has shape (4, 8, 1), the model's input image takes (8, 8, 1); reshape the data to"
    " fit": ({**DIGITS, "x_train": np.zeros((8, 4, 8, 1))}, ()),
    f"d.npz: y_train holds 10 at (7,), but output 'digits' has 10 classes; {TAKES}": (
        {**DIGITS, "y_train": np.arange(3, 11)},
        (),
    ),
    f"d.npz: y_val holds -1 at (0,), but output 'digits' has 10 classes; {TAKES}": (
        {**DIGITS, "x_val": DIGITS["x_train"], "y_val": np.arange(8) - 1},
        (),
    ),
    "d.npz: y_train is one-hot, but sparse_categorical_crossentropy takes class numbers; use the"
    " loss categorical_crossentropy, or labels.argmax(axis=-1)": (
        {**DIGITS, "y_train": np.eye(10)[:8]},
        (),
    ),
    "d.npz: y_train holds class numbers, but categorical_crossentropy takes one-hot labels of 10"
    " classes; use the loss sparse_categorical_crossentropy, or one-hot labels"
    " (keras.utils.to_categorical)": (DIGITS, ("--loss", "categorical_crossentropy")),
    "d.npz: x has 'img', the model has no such input; closest: 'image'": (
        {"x_train.img": DIGITS["x_train"], "y_train": np.arange(8)},
        (),
    ),
    "d.npz: y has 'number', the model has no such output; the model's outputs are digits": (
        {"x_train": DIGITS["x_train"], "y_train.number": np.arange(8)},
        (),
    ),
    "no optimizer is called 'adamm'; closest: 'adam', 'nadam', 'adamw'": (
        DIGITS,
        ("--optimizer", "adamm"),
    ),
    "no loss is called 'sparse_crossentropy'; closest: 'binary_crossentropy',"
    " 'sparse_categorical_crossentropy', 'categorical_crossentropy'": (
        DIGITS,
        ("--loss", "sparse_crossentropy"),
    ),
    "loss: the model has no output 'digit'; closest: 'digits'": (DIGITS, ("--loss", "digit=mse")),
    "no metric is called 'acuracy'; closest: 'accuracy', 'binary_accuracy', 'auc'": (
        DIGITS,
        ("--metrics", "acuracy"),
    ),
    "no_such_module:load: no module 'no_such_module'; run from the folder that holds it": (
        None,
        ("--data", "no_such_module:load"),
    ),
    "d.npz: label does not apply to this data: label is for a .csv, parse for TFRecord files,"
    " validation_data for both and for a folder of images": (DIGITS, ("--label", "y")),
    "table.csv: has 1 columns for the model's input image, which takes 64 ((8, 8, 1)); the columns"
    " are a": (None, ("--label", "b")),
    "images: has no images; put them in one folder a class, as .bmp, .gif, .jpeg, .jpg, .png": (
        None,
        (),
    ),
    "r.tfrecord: TFRecord files need a function for one record: --parse MODULE:FUNCTION (parse in"
    " Python)": (None, ()),
    "run: already holds a run; resume it with graphprune resume run, or pass --force to start"
    " over": (DIGITS, ()),
    "plain.keras: no layer is pruned; give rules with -r RULES (rules in Python), or wrap the model"
    " first with graphprune apply": (DIGITS, ()),
    "plain.keras: class weight: got class 11, but output 'digits' has 10 classes; classes are"
    " numbers from 0 to 9": (DIGITS, ("--class-weight", "3=2", "--class-weight", "11=2")),
    "d.npz: samples and classes both have weights; leave out --class-weight (class_weight in"
    " Python), or the weights of the samples": (
        {**DIGITS, "w_train": np.ones(8)},
        ("--class-weight", "3=2"),
    ),
    "nowhere:mine: no module 'nowhere'; run from the folder that holds it": (
        DIGITS,
        ("--callbacks", "nowhere:mine"),
    ),
    "nobody.losses:mine: no module 'nobody'; run from the folder that holds it": (
        DIGITS,
        ("--loss", "digits=nobody.losses:mine"),
    ),
    "no loss is called 'mse1'; closest: 'mse', 'msle'": (DIGITS, ("--loss", "mse1")),
    "keep best: got 'val_acuracy', which is no metric of this run; closest: 'val_accuracy';"
    " available: loss, accuracy, val_loss, val_accuracy": (
        HELD_OUT,
        ("--keep-best", "val_acuracy:max"),
    ),
    "early stopping: there is no metric 'val_loss'; closest: 'loss'; available: loss, accuracy;"
    " there is no test set": (DIGITS, ("--early-stopping", "val_loss:3")),
    "early stopping: there is no metric 'val_mea'; closest: 'val_mae'; available: loss, mae,"
    " val_loss, val_mae": (DIGITS, (*SPLIT, *("--early-stopping", "val_mea", "--metrics", "mae"))),
    f"d.npz: x_train holds nan at (3, 2, 1, 0); {FINITE}": (
        {
            **DIGITS,
            "x_train": np.asfortranarray(with_value(DIGITS["x_train"], (3, 2, 1, 0), np.nan)),
        },
        (),
    ),
    f"d.npz: y_val holds inf at (7,); {FINITE}": (
        {**HELD_OUT, "y_val": with_value(np.arange(8.0), (7,), np.inf)},
        (),
    ),
    f"d.npz: w_train holds nan at (2,); {FINITE}": (
        {**DIGITS, "w_train": with_value(np.ones(8, np.float32), (2,), np.nan)},
        (),
    ),
    "uncompiled.keras: has no compile settings; compile the model before it is saved, or say how"
    " to train it with --loss and --optimizer (loss and optimizer in Python)": (DIGITS, ()),
}


@pytest.fixture(scope="module")
def mistakes(tmp_path_factory):
    """How each mistake ends, by its message, in a process that cannot import a Keras."""
    folder, commands = tmp_path_factory.mktemp("mistakes"), {}
    with zipfile.ZipFile(MODEL) as whole, zipfile.ZipFile(folder / "un.keras", "w") as other:
        for name in whole.namelist():
            content = whole.read(name)
            if name == "config.json":
                content = json.dumps({**json.loads(content), "compile_config": None}).encode()
            other.writestr(name, content)
    (folder / "table.csv").write_text("a,b\n1,2\n")
    (folder / "images").mkdir()
    (folder / "r.tfrecord").write_bytes(b"")
    (folder / "old").mkdir()
    (folder / "old" / "run.json").write_text("{}")
    for number, (message, (arrays, options)) in enumerate(MISTAKES.items()):
        name = message.partition(":")[0]
        data = folder / (name if (folder / name).exists() else f"{number}.npz")
        if arrays is not None:
            np.savez(data, **arrays)
        model = folder / "un.keras" if message.startswith("uncompiled") else MODEL
        run = folder / ("old" if message.startswith("run:") else "run")
        rules = () if "no layer is pruned" in message else ("-r", RULES)
        commands[message] = (
            *("train", str(model), *rules, "--data", str(data)),
            *("--epochs", "1", "--run", str(run), *options),
        )
    ended = run_without_tensorflow(list(commands.values()))
    short = {str(folder / "un.keras"): "uncompiled.keras", str(folder / "old"): "run"}
    short |= {str(MODEL): "plain.keras"}
    short |= {str(folder / name): name for name in ("table.csv", "images", "r.tfrecord")}
    found = {}
    for number, (message, command) in enumerate(commands.items()):
        text = ended[command].err
        for path, name in {**short, str(folder / f"{number}.npz"): "d.npz"}.items():
            text = text.replace(path, name)
        found[message] = (ended[command].code, text)
    return found


@pytest.mark.parametrize("message", MISTAKES)
def test_a_mistake_of_a_new_user_is_told_before_a_keras_is_imported(message, mistakes):
    assert mistakes[message] == (1, f"graphprune: {message}\n")


@pytest.mark.parametrize("keras", [2, 3])
def test_names_that_keras_knows_pass_the_early_check(keras):
    for kind, names in {
        "optimizer": ("adam", "AdamW", "sgd", "RMSprop", "lion"),
        "loss": ("mse", "MSE", "huber", "kl_divergence", "SparseCategoricalCrossentropy"),
        "metric": ("accuracy", "acc", "AUC", "mae", "SparseTopKCategoricalAccuracy"),
    }.items():
        for name in names:
            check_name(kind, name, keras)


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_every_command_has_an_example(command):
    assert f"\n      graphprune {command}" in run_command(command, "--help").out


HEAVY = ("h5py", "jinja2", "networkx", "numpy", "pydantic", "rich", "ruamel")
IMPORTED = f"""
import sys
sys.argv = ["graphprune", *sys.argv[1:]]
from graphprune.cli.main import run
run(sys.argv[1:])
print(*(name for name in {HEAVY} if name in sys.modules), file=sys.stderr)
"""


@pytest.mark.parametrize(
    ("arguments", "allowed"),
    [
        (("--help",), set()),
        (("rules",), set()),
        (("rules", "dense-90"), set()),
        (("layers", MODEL), {"h5py", "networkx", "numpy"}),
        (("diff", MODEL, MODEL), {"h5py", "networkx", "numpy"}),
        (("graph", MODEL, "--format", "dot"), {"h5py", "networkx", "numpy"}),
        (("schema",), {"h5py", "networkx", "numpy", "pydantic", "ruamel"}),
        (("lint", "--explain", "list"), {"h5py", "networkx", "numpy", "pydantic", "ruamel"}),
        (("plan", MODEL, "-r", RULES), {"h5py", "networkx", "numpy", "pydantic", "ruamel"}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_command_imports_only_what_it_needs(arguments, allowed):
    done = subprocess.run(
        [sys.executable, "-c", IMPORTED, *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=True,
    )
    assert set(done.stderr.split()) <= allowed


def test_the_proof_can_fail(without_tensorflow):
    done = without_tensorflow[HEAVIER[0]]
    assert (done.code, "tf_keras cannot be imported" in done.err) == (1, True), done


def test_collecting_the_light_tests_imports_no_tensorflow():
    done = subprocess.run(
        [sys.executable, "-c", COLLECT], capture_output=True, text=True, cwd=ROOT, check=True
    )
    *_, collected, imported = done.stdout.splitlines()
    assert "tests collected" in collected
    assert "error" not in collected
    assert imported == "imported:"
