"""Small CSV, image and TFRecord files: images of 8 by 8 in three classes."""

import csv
import json

import numpy as np
from commands import run_command

PARSE = """
import tensorflow as tf
IMAGE, DIGIT = tf.io.FixedLenFeature([64], tf.float32), tf.io.FixedLenFeature([], tf.int64)
KINDS = {"image": IMAGE, "digit": DIGIT}
def parse(record):
    found = tf.io.parse_single_example(record, KINDS)
    return tf.reshape(found["image"], (8, 8, 1)), found["digit"]
"""


def write_table(path, count):
    """Write `count` samples of 64 columns and a column of labels."""
    random = np.random.default_rng(count)
    with path.open("w", newline="") as stream:
        rows = csv.writer(stream)
        rows.writerow([*(f"p{number}" for number in range(64)), "digit"])
        for number in range(count):
            rows.writerow([*random.normal(size=64).round(3), ("one", "three", "two")[number % 3]])


def write_images(folder):
    """Write 22 images for training and 9 for validation, of another size than the model's."""
    import tensorflow as tf

    random = np.random.default_rng(1)
    for part, count in (("train", 22), ("val", 9)):
        for number in range(count):
            place = folder / part / f"class{number % 3}" / f"{number:02}.png"
            place.parent.mkdir(parents=True, exist_ok=True)
            image = random.integers(0, 256, (10, 12, 3), dtype=np.uint8)
            place.write_bytes(tf.io.encode_png(image).numpy())


def write_records(folder):
    """Write 22 records in two files, 9 in one for validation, and the module that parses them."""
    import tensorflow as tf

    random = np.random.default_rng(1)
    (folder / "record_data.py").write_text(PARSE)
    for name, count in (("part-1", 12), ("part-2", 10), ("valid", 9)):
        with tf.io.TFRecordWriter(str(folder / f"{name}.tfrecord")) as writer:
            for number in range(count):
                image = tf.train.FloatList(value=random.normal(size=64))
                digit = tf.train.Int64List(value=[number % 3])
                features = {
                    "image": tf.train.Feature(float_list=image),
                    "digit": tf.train.Feature(int64_list=digit),
                }
                example = tf.train.Example(features=tf.train.Features(feature=features))
                writer.write(example.SerializeToString())


def check_strip_measures(run, place, *data):
    """Strip a run, and hold the accuracy in the table against that of the run's last epoch."""
    made = place / "stripped.keras"
    done = run_command(
        *("strip", run.run_dir, "-o", made, "--force", "--format", "json", "--data", *data)
    )
    assert done.code == 0, done.err
    before, after = json.loads(done.out)
    assert abs(after["accuracy"] - run.metrics["val_accuracy"]) < 1e-6
    assert abs(before["accuracy"] - run.original_metrics["accuracy"]) < 1e-6
