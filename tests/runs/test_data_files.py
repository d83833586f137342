"""CSV, image and TFRecord files, as far as no TensorFlow is needed."""

import gzip
import struct
import zlib

import numpy as np
import pytest
from full_disk import small_disk

from graphprune.engine.file_data import file_data
from graphprune.errors import DataError
from graphprune.runs.data_files import DataFiles, find_kind, image_size, list_images
from graphprune.runs.record_files import check_records, index_records
from graphprune.runs.tables import read_tables

RANDOM = np.random.default_rng(7)
TABLE = "a,b,species\n1,2,setosa\n3,4.5,virginica\n5,6,setosa\n"


def write(path, text):
    path.write_text(text)
    return str(path)


def record(content):
    return struct.pack("<Q", len(content)) + b"crc!" + content + b"crc!"


def refusal(call, *arguments):
    with pytest.raises(DataError) as caught:
        call(*arguments)
    return str(caught.value)


def test_a_table_has_features_in_their_order_and_words_as_class_numbers(tmp_path):
    path = write(tmp_path / "t.csv", TABLE)
    other = write(tmp_path / "v.csv", "a,b,species\n7,8,virginica\n")
    samples = read_tables(path, DataFiles(("species",), None, other, {"in": (2,)}))
    x, y = samples.train.take(np.array([2, 1]))
    assert (x.tolist(), y.tolist()) == ([[5, 6], [3, 4.5]], [0, 1])
    assert samples.test.take(slice(None))[1].tolist() == [1]
    assert samples.sha256 != read_tables(path, DataFiles(("species",))).sha256


def test_columns_go_to_the_inputs_of_their_names_and_into_their_shapes(tmp_path):
    path = write(tmp_path / "t.csv", "size,p.0,p.1,p.2,p.3,heads,box\n1,2,3,4,5,0,0.5\n")
    files = DataFiles(("heads", "box"), None, None, {"p": (2, 2), "size": (1,)})
    x, y = read_tables(path, files).train.take(slice(None))
    assert {name: array.tolist() for name, array in x.items()} == {
        "p": [[[2, 3], [4, 5]]],
        "size": [[1]],
    }
    assert {name: (array.dtype.kind, array.tolist()) for name, array in y.items()} == {
        "heads": ("i", [0]),
        "box": ("f", [0.5]),
    }


WRONG_TABLES = {
    "name the column of the labels with --label; the columns are a, b, species": (TABLE, {}),
    "has no column 'specie'; closest: 'species'": (TABLE, {"label": ("specie",)}),
    "has 1 columns for the model's input in, which takes 2 ((2,)); the columns are a": (
        "a,species\n1,x\n",
        {},
    ),
    "line 3: column 'b' holds 'x', which is no finite number": ("a,b,species\n1,2,s\n3,x,s\n", {}),
    "line 2: column 'b' holds '', which is no finite number": ("a,b,species\n1,,s\n", {}),
    "line 2 has 2 values, and there are 3 columns": ("a,b,species\n1,2\n", {}),
    "its first line must name each column once, with a name for each": ("a,a,species\n1,2,3\n", {}),
    "has no samples; training needs at least one": ("a,b,species\n", {}),
    "has no column for the model's input q; the columns are a, b": (
        TABLE,
        {"inputs": {"a": (1,), "q": (1,)}},
    ),
    "the column 'c' is of no input of the model (a, b); remove it": (
        "a,b,c,species\n1,2,3,s\n",
        {"inputs": {"a": (1,), "b": (1,)}},
    ),
}


@pytest.mark.parametrize("message", WRONG_TABLES)
def test_a_table_that_cannot_be_trained_on_is_refused(tmp_path, message):
    text, settings = WRONG_TABLES[message]
    label = () if message.startswith("name the column") else ("species",)
    files = DataFiles(**{"label": label, "inputs": {"in": (2,)}, **settings})
    path = write(tmp_path / "t.csv", text)
    assert refusal(read_tables, path, files) == f"{path}: {message}"


def test_a_class_that_only_validation_has_is_refused(tmp_path):
    path, other = write(tmp_path / "t.csv", TABLE), tmp_path / "v.csv"
    write(other, "a,b,species\n7,8,other\n")
    assert refusal(read_tables, path, DataFiles(("species",), None, str(other))) == (
        f"{other}: line 2: column 'species' holds 'other', which is no class of the training data;"
        " known are setosa, virginica"
    )


def test_images_are_listed_class_by_class_with_their_validation(tmp_path):
    for place in (
        "train/b/2.png",
        "train/a/1.JPG",
        "train/a/note.txt",
        "val/a/1.png",
        "val/b/1.gif",
    ):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).write_bytes(b"image")
    train, test, digest = list_images(str(tmp_path), None)
    assert (train.classes, train.labels.tolist(), len(test.paths)) == (("a", "b"), [0, 1], 2)
    (tmp_path / "train/b/2.png").write_bytes(b"another")
    assert list_images(str(tmp_path), None)[2] != digest
    alone, none, _ = list_images(str(tmp_path / "train"), None)
    assert (alone.paths, none) == (train.paths, None)
    (tmp_path / "val" / "c").mkdir()
    assert "has the classes a, b, c, and" in refusal(list_images, str(tmp_path), None)
    assert "has no images; put them in one folder a class" in refusal(
        list_images, str(tmp_path / "train" / "a"), None
    )


def test_images_take_their_size_from_the_only_input():
    assert image_size("d", {"in": (8, 9, 3)}) == (8, 9, 3)
    for inputs in ({"in": (None, 9, 3)}, {"in": (8, 9)}, {"a": (8, 9, 3), "b": (1,)}, {}):
        assert "needs a model with one input of shape" in refusal(image_size, "d", inputs)


def test_records_are_found_in_all_files_and_read_by_number(tmp_path):
    (tmp_path / "b.tfrecord").write_bytes(record(b"third"))
    (tmp_path / "a.tfrecord").write_bytes(record(b"one") + record(b""))
    files = index_records(str(tmp_path / "*.tfrecord"))
    assert (len(files), files.read([2, 0, 1])) == (3, [b"third", b"one", b""])
    (tmp_path / "b.tfrecord").write_bytes(record(b""))
    assert index_records(str(tmp_path / "*.tfrecord")).sha256 != files.sha256
    assert "was truncated while in use" in refusal(files.read, [2])


@pytest.mark.parametrize("pack", [gzip.compress, zlib.compress, lambda one: in_parts(one)])
def test_compressed_records_are_those_of_the_plain_file(tmp_path, pack):
    contents = [RANDOM.bytes(count) for count in (7, 0, 3_000_000, 12)]
    whole = b"".join(map(record, contents))
    (tmp_path / "a.tfrecord").write_bytes(whole)
    plain = index_records(str(tmp_path / "a.tfrecord"))
    (tmp_path / "a.tfrecord").write_bytes(pack(whole))
    packed = index_records(str(tmp_path / "a.tfrecord"))
    assert packed.read([2, 0, 3, 1]) == [contents[place] for place in (2, 0, 3, 1)]
    assert packed.sha256 == plain.sha256
    assert find_kind("a.tfrecord.gz") == "records"
    check_records(str(tmp_path / "a.tfrecord"))


def in_parts(content):
    return gzip.compress(content[:50]) + gzip.compress(content[50:])


@pytest.mark.parametrize("length", [0x8B1F, 0x088B1F, 0x9C78, 0x0178])
def test_a_plain_file_may_begin_with_the_bytes_of_a_compressed_one(tmp_path, length):
    content = bytes(length)
    (tmp_path / "a.tfrecord").write_bytes(record(content))
    assert index_records(str(tmp_path / "a.tfrecord")).read([0]) == [content]


def test_a_disk_without_room_for_what_is_unpacked_is_told(tmp_path, monkeypatch):
    path = tmp_path / "a.tfrecord"
    path.write_bytes(gzip.compress(record(RANDOM.bytes(100_000))))
    with small_disk(tmp_path / "small", "16k") as disk:
        monkeypatch.setattr("tempfile.tempdir", str(disk))
        assert refusal(index_records, str(path)) == (
            f"{path}: is compressed, and {disk} has no room for its content; set TMPDIR to a folder"
            " with more room, or write it without compression"
        )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "has no records; training needs at least one"),
        (b"\x1f\x8b123", "damaged, not a TFRecord file at byte 0; write the file again"),
        (gzip.compress(b""), "has no records; training needs at least one"),
        (gzip.compress(b"x" * 99), "damaged, not a TFRecord file at byte 0; write the file again"),
        (
            gzip.compress(record(RANDOM.bytes(999)))[:-20],
            "damaged, cannot be unpacked (it ends too early); write the file again",
        ),
        (record(b"abc")[:-1], "damaged, not a TFRecord file at byte 0; write the file again"),
        (record(b"a") + b"x", "damaged, not a TFRecord file at byte 17; write the file again"),
    ],
)
def test_files_without_records_are_refused(tmp_path, content, message):
    path = tmp_path / "a.tfrecord"
    path.write_bytes(content)
    assert refusal(index_records, str(path)).startswith(f"{path}: {message}")


def test_each_kind_takes_its_own_arguments(tmp_path):
    assert find_kind(str(tmp_path)) == "images"
    assert find_kind("shards-*", "m:parse") == "records"
    assert file_data("a.npz", None, None, None) is None
    assert file_data("a.csv", "y", None, None).files.label == ("y",)
    for spec, arguments in (("a.npz", ("y", None, None)), ("m:load", (None, None, "v.csv"))):
        assert "does not apply to this data" in refusal(file_data, spec, *arguments)
    assert "parse must be MODULE:FUNCTION" in refusal(file_data, "a", None, "parse", None)
    with pytest.raises(TypeError, match="label must be the name of a column"):
        file_data("a.csv", [1], None, None)
