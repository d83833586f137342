import io
import sys
import zipfile
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from graphprune.errors import DataError
from graphprune.runs import npz
from graphprune.tf.training import data as data_module
from graphprune.tf.training.data import read_data

pytestmark = pytest.mark.tf


@pytest.fixture
def digits(tmp_path):
    """Write ten samples, whose labels are their numbers, and return the path."""
    path = tmp_path / "digits.npz"
    x = np.arange(10, dtype="float32")
    np.savez(
        path,
        x_train=np.stack([x, x * 10], axis=1),
        y_train=np.arange(10),
        x_test=np.ones((3, 2), "float32"),
        y_test=np.arange(3),
    )
    return str(path)


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Return a function that writes my_data.py in the working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path not in ("", str(tmp_path))])

    def write(text: str) -> None:
        sys.modules.pop("my_data", None)
        (tmp_path / "my_data.py").write_text(
            "import tensorflow as tf\nD = tf.data.Dataset\n" + text
        )

    yield write
    sys.modules.pop("my_data", None)


def labels(data, step=0, count=9):
    return [y.numpy().tolist() for _, y in islice(data.batches(step), count)]


def test_arrays_come_in_batches_with_the_rest_of_an_epoch_last(digits):
    data = read_data(digits, batch_size=4)
    assert data.steps_per_epoch == 3
    assert [len(batch) for batch in labels(data, count=7)] == [4, 4, 2, 4, 4, 2, 4]
    x, y = next(iter(data.batches()))
    assert (x.numpy()[:, 1] == 10 * y.numpy()).all()
    assert data.test is not None
    assert [y.numpy().tolist() for _, y in data.test] == [[0, 1, 2]]


def test_each_epoch_has_all_samples_in_an_order_of_its_own(digits):
    batches = labels(read_data(digits, batch_size=4))
    epochs = [
        [label for batch in batches[start : start + 3] for label in batch] for start in (0, 3, 6)
    ]
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 3


def test_the_order_depends_on_the_seed_alone(digits):
    first, again, other = (labels(read_data(digits, batch_size=4, seed=seed)) for seed in (1, 1, 2))
    assert first == again
    assert first != other


@pytest.mark.parametrize("step", [1, 3, 5, 6])
def test_batches_from_a_step_on_are_those_of_a_run_that_came_there(digits, step):
    data = read_data(digits, batch_size=4)
    assert labels(data, step, 3) == labels(data, 0, step + 3)[step:]


@pytest.fixture
def unheld(monkeypatch):
    """Let arrays of any size be mapped, as large ones are."""
    monkeypatch.setattr(npz, "MAPPED_FROM", 0)
    monkeypatch.setattr(data_module, "HELD_BELOW", 0)


KINDS = {
    "floats": np.arange(20, dtype="float32").reshape(10, 2),
    "bytes": np.arange(10, dtype="uint8"),
    "other-order-of-bytes": np.arange(20).reshape(10, 2).astype(">f4"),
    "fortran": np.asfortranarray(np.arange(20.0).reshape(10, 2)),
    "truth": np.arange(10) > 4,
    "text": np.array([f"ä{number}" for number in range(10)]),
    "bytes-text": np.array([f"{number}".encode() for number in range(10)]),
}


def elements(dataset, count=99):
    return [
        tuple((tensor.dtype, tensor.numpy().tolist()) for tensor in pair)
        for pair in islice(dataset, count)
    ]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_large_arrays_give_the_same_batches_without_a_copy_in_tensorflow(
    tmp_path, request, monkeypatch, kind, save
):
    save(
        tmp_path / "a.npz",
        x_train=KINDS[kind],
        y_train=np.arange(10),
        x_test=KINDS[kind],
        y_test=np.arange(10),
    )
    held = read_data(str(tmp_path / "a.npz"), batch_size=4, seed=3)
    wanted = (elements(held.batches(1), 7), elements(held.test))
    monkeypatch.setattr(npz, "MAPPED_FROM", 0)
    # mapped, and held by TensorFlow while it is used
    between = read_data(str(tmp_path / "a.npz"), batch_size=4, seed=3)
    assert (elements(between.batches(1), 7), elements(between.test)) == wanted
    request.getfixturevalue("unheld")
    data = read_data(str(tmp_path / "a.npz"), batch_size=4, seed=3)
    assert isinstance(data.train.x.base, np.memmap) == (save is np.savez)
    assert (elements(data.batches(1), 7), elements(data.test)) == wanted
    assert [spec.shape for spec in data.batches().element_spec] == [
        spec.shape for spec in held.batches().element_spec
    ]
    assert data.batches().element_spec == data.element_spec
    assert data.test.cardinality() == held.test.cardinality() == 3


def test_a_file_that_is_written_to_while_it_is_used_ends_training(digits, unheld):
    data = read_data(digits, batch_size=4)
    batches = iter(data.batches())
    next(batches)
    with open(digits, "ab") as file:
        file.write(b"more")
    with pytest.raises(tf.errors.OpError, match="was modified while in use"):
        [next(batches) for _ in range(3)]


def test_a_function_gives_its_batches_as_they_come(module):
    module("def load():\n    return D.range(5).map(lambda n: (n, n)).batch(2), None\n")
    data = read_data("my_data:load")
    assert (data.steps_per_epoch, data.test) == (3, None)
    assert labels(data, 0, 4) == [[0, 1], [2, 3], [4], [0, 1]]
    assert labels(data, 2, 2) == [[4], [0, 1]]


def test_a_batch_size_for_a_function_is_refused(module):
    module("def load():\n    return tf.data.Dataset.range(4).map(lambda n: (n, n)).batch(2), None")
    with pytest.raises(DataError) as caught:
        read_data("my_data:load", batch_size=4)
    assert (
        str(caught.value)
        == "my_data:load: the datasets of a function have batches of their own; leave the batch"
        " size out, or set it in the function"
    )


def test_a_dataset_that_shuffles_anew_in_each_pass_is_replayed(module):
    module("def load():\n    return D.range(20).map(lambda n: (n, n)).shuffle(20).batch(5), None\n")
    whole = labels(read_data("my_data:load", seed=3), 0, 12)
    assert whole[:4] != whole[4:8]
    assert labels(read_data("my_data:load", seed=3), 6, 6) == whole[6:]


def test_a_dataset_of_unknown_length_is_counted(module):
    module(
        "def load():\n"
        "    return D.range(9).filter(lambda n: n % 2 == 0).map(lambda n: (n, n)).batch(2), None\n"
    )
    assert read_data("my_data:load").steps_per_epoch == 3


def test_an_endless_dataset_needs_the_length_of_an_epoch(module):
    module("def load():\n    return D.range(5).repeat().map(lambda n: (n, n)).batch(2), None\n")
    with pytest.raises(DataError) as caught:
        read_data("my_data:load")
    assert (
        str(caught.value)
        == "my_data:load: the training dataset never ends; say how long an epoch is with"
        " --steps-per-epoch (steps_per_epoch in Python)"
    )
    assert read_data("my_data:load", steps_per_epoch=7).steps_per_epoch == 7


X, Y = np.zeros((4, 2)), np.zeros(4)
NEEDED = "x_train and y_train are required, x_test and y_test are optional"
WRONG_ARRAYS = {
    f"has no x_train, it holds images, labels; {NEEDED}": {"images": X, "labels": Y},
    f"has no y_train, it holds x_train; {NEEDED}": {"x_train": X},
    "x_train has 4 samples and y_train has 3; each sample needs one label": {
        "x_train": X,
        "y_train": Y[:3],
    },
    "x_test has 4 samples and y_test has 2; each sample needs one label": {
        "x_train": X,
        "y_train": Y,
        "x_test": X,
        "y_test": Y[:2],
    },
    "has x_test but no y_test; give both or neither": {"x_train": X, "y_train": Y, "x_test": X},
    "x_train has no samples; training needs at least one": {"x_train": X[:0], "y_train": Y[:0]},
    "y_train is a single value; it needs one row per sample": {
        "x_train": X,
        "y_train": np.float32(3),
    },
    "x_train holds nan at (1, 0); training needs finite numbers, clean the data first": {
        "x_train": np.where(np.arange(8).reshape(4, 2) == 2, np.nan, X),
        "y_train": Y,
    },
    "y_test holds -inf at (3,); training needs finite numbers, clean the data first": {
        "x_train": X,
        "y_train": Y,
        "x_test": X,
        "y_test": np.array([1, 2, 3, -np.inf], "float32"),
    },
    "x_train holds Python objects, which are never unpickled; store it as an array of numbers": {
        "x_train": np.array([{}, {}]),
        "y_train": Y[:2],
    },
}


@pytest.mark.parametrize("message", WRONG_ARRAYS)
def test_arrays_that_cannot_be_trained_on_are_refused(tmp_path, message):
    path = tmp_path / "data.npz"
    np.savez(path, **WRONG_ARRAYS[message])
    with pytest.raises(DataError) as caught:
        read_data(str(path))
    assert str(caught.value) == f"{path}: {message}"


def test_a_missing_file_is_refused():
    with pytest.raises(DataError) as caught:
        read_data("nowhere.npz")
    assert (
        str(caught.value)
        == "nowhere.npz: no such file; data is an .npz, .csv or TFRecord file, a folder of images,"
        " or package.module:function"
    )


@pytest.mark.parametrize("content", [b"", b"x_train,y_train\n1,2\n", b"\x93NUMPY\x01\x00"])
def test_a_file_that_is_no_npz_is_refused(tmp_path, content):
    path = tmp_path / "data.npz"
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        read_data(str(path))
    assert (
        str(caught.value)
        == f"{path}: not an .npz file; write one with numpy.savez(path, x_train=..., y_train=...)"
    )


def test_a_folder_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"not an \.npz file"):
        read_data(str(tmp_path))


def test_a_damaged_npz_is_refused(tmp_path):
    packed = io.BytesIO()
    np.savez(packed, x_train=np.arange(1000.0), y_train=np.arange(1000))
    path = tmp_path / "data.npz"
    path.write_bytes(packed.getvalue().replace(np.arange(500.0, 510.0).tobytes(), bytes(80)))
    with pytest.raises(DataError) as caught:
        read_data(str(path))
    assert (
        str(caught.value)
        == f"{path}: damaged, Bad CRC-32 for file 'x_train.npy'; write the file again"
    )


def test_a_zip_with_something_else_inside_is_refused(tmp_path):
    path = tmp_path / "data.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x_train", b"not an array")
        archive.writestr("y_train", b"not an array")
    with pytest.raises(DataError) as caught:
        read_data(str(path))
    assert str(caught.value) == f"{path}: x_train is not an array; write the file with numpy.savez"


RETURNED = (
    "must return (train, validation) as batched tf.data.Dataset of (x, y), or as"
    " keras.utils.Sequence or PyDataset; validation may be None"
)
UNCOUNTED = "the training dataset failed while its batches were counted"
WRONG_FUNCTIONS = {
    "no module 'my_dat'; closest: 'my_data'; run from the folder that holds it": (
        "my_dat:load",
        "",
    ),
    "module my_data has no function 'lode'; closest: 'load'": ("my_data:lode", "def load(): ...\n"),
    f"load is not a function, got int; it {RETURNED}": ("my_data:load", "load = 3\n"),
    "failed at my_data.py:4 with ZeroDivisionError: division by zero": (
        "my_data:load",
        "def load():\n    return 1 / 0\n",
    ),
    "failed at my_data.py:5 with ValueError: cannot reshape array of size 6 into shape (4,)": (
        "my_data:load",
        "import numpy\ndef load():\n    return numpy.zeros((2, 3)).reshape(4)\n",
    ),
    "failed at my_data.py:4 with SystemExit: 3": (
        "my_data:load",
        "def load():\n    raise SystemExit(3)\n",
    ),
    "failed at my_data.py:5 with GeneratorExit": (
        "my_data:load",
        "def load():\n    if True:\n        raise GeneratorExit\n",
    ),
    "failed at my_data.py:4 with StopIteration": (
        "my_data:load",
        "def load():\n    return next(iter([]))\n",
    ),
    "failed with TypeError: load() missing 1 required positional argument: 'folder'": (
        "my_data:load",
        "def load(folder):\n    ...\n",
    ),
    f"returned generator; it {RETURNED}": ("my_data:load", "def load():\n    yield 1\n"),
    "importing my_data failed at my_data.py:3 with ModuleNotFoundError: No module named"
    " 'not_installed'": ("my_data:load", "import not_installed\n"),
    "importing my_data failed at my_data.py:3 with SystemExit: 1": (
        "my_data:load",
        "raise SystemExit(1)\n",
    ),
    "importing my_data failed at my_data.py:4 with SyntaxError: '(' was never closed (my_data.py,"
    " line 4)": ("my_data:load", "\nload = (\n"),
    f"{UNCOUNTED}: ZeroDivisionError: division by zero (my_data.py:5)": (
        "my_data:load",
        "def numbers():\n"
        "    yield 1, 1\n"
        "    1 / 0\n"
        "S = tf.TensorSpec((), tf.int32)\n"
        "def load():\n"
        "    return D.from_generator(numbers, output_signature=(S, S)).batch(1), None\n",
    ),
    f"{UNCOUNTED}: SystemExit: 4 (my_data.py:5)": (
        "my_data:load",
        "def numbers():\n"
        "    yield 1, 1\n"
        "    raise SystemExit(4)\n"
        "S = tf.TensorSpec((), tf.int32)\n"
        "def load():\n"
        "    return D.from_generator(numbers, output_signature=(S, S)).batch(1), None\n",
    ),
    f"returned NoneType; it {RETURNED}": ("my_data:load", "def load(): ...\n"),
    f"train is list; the function {RETURNED}": (
        "my_data:load",
        "def load():\n    return [1], None\n",
    ),
    f"train has elements that are not (x, y); the function {RETURNED}": (
        "my_data:load",
        "def load():\n    return D.range(3), None\n",
    ),
    "the training dataset has no batches; training needs at least one": (
        "my_data:load",
        "def load():\n    return D.range(0).map(lambda n: (n, n)), None\n",
    ),
    "the validation dataset never ends; cut it with .take(n)": (
        "my_data:load",
        "def load():\n    d = D.range(3).map(lambda n: (n, n))\n    return d, d.repeat()\n",
    ),
}


@pytest.mark.parametrize("message", WRONG_FUNCTIONS)
def test_functions_that_give_no_data_are_refused(module, message):
    spec, text = WRONG_FUNCTIONS[message]
    module(text)
    with pytest.raises(DataError) as caught:
        read_data(spec)
    assert str(caught.value) == f"{spec}: {message}"


def test_ctrl_c_in_a_function_stops_the_run(module):
    module("def load():\n    raise KeyboardInterrupt\n")
    with pytest.raises(KeyboardInterrupt):
        read_data("my_data:load")


def test_a_function_may_print_and_change_the_working_directory(module, tmp_path, capsys):
    module(
        "import os\n"
        "os.chdir('/')\n"
        "def load():\n"
        "    os.chdir('/')\n"
        "    print('read')\n"
        "    return D.range(3).map(lambda n: (n, n)), None\n"
    )
    assert read_data("my_data:load").steps_per_epoch == 3
    assert (Path.cwd(), capsys.readouterr().out) == (tmp_path, "read\n")


def test_the_search_path_is_left_as_it_was(module):
    module("def load():\n    return D.range(3).map(lambda n: (n, n)), None\n")
    before = list(sys.path)
    read_data("my_data:load")
    assert sys.path == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "the batch size must be at least 1, got 0"),
        ({"steps_per_epoch": 0}, "the number of steps in an epoch must be at least 1, got 0"),
        (
            {"batch_size": 4, "steps_per_epoch": 9},
            (
                "an epoch of this data has 3 steps of 4 samples, got 9 steps; change the batch size"
                " instead"
            ),
        ),
    ],
)
def test_lengths_that_make_no_sense_are_refused(digits, options, message):
    with pytest.raises(DataError) as caught:
        read_data(digits, **options)
    assert str(caught.value) == f"{digits}: {message}"


def test_samples_are_one_batch_of_the_training_data(digits):
    data = read_data(digits, batch_size=4)
    assert [y.numpy().tolist() for _, y in data.sample()] == [[0, 1, 2, 3]]
    assert data.element_spec[0] == tf.TensorSpec([None, 2], tf.float32)
