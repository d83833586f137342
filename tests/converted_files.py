"""`.tflite` files of the real converter, and the plans of the models that they are made of."""

import tensorflow as tf
from lenet import rules

import graphprune
from graphprune.archive.saved_model.exported import find_exported
from graphprune.archive.saved_model.operations import read_operations
from graphprune.archive.saved_model.operator_file import ExportedFile
from graphprune.archive.tflite.file import TfliteFile
from graphprune.plan import make_plan
from graphprune.plan.exported import verify_exported
from graphprune.plan.operator_architecture import check_operator_architecture

RULES = rules(
    "version: 1\nrules: [{id: all, match: '*', prune: {sparsity: 50%, schedule: {curve: step}}}]"
)


def convert(model, folder):
    """Return the file of a model, which is exported to a folder first."""
    model.export(str(folder))
    return TfliteFile(tf.lite.TFLiteConverter.from_saved_model(str(folder)).convert())


def convert_in_batches_of_one(keras, model, folder, form="float32"):
    """Keras 3 needs a batch size for loops that TensorFlow Lite has."""
    specs = [
        tf.TensorSpec((1, *given.shape[1:]), given.dtype, name=given.name.split(":")[0])
        for given in model.inputs
    ]
    call = model if len(specs) == 1 else lambda *given: model(list(given))
    archive = keras.export.ExportArchive()
    archive.track(model)
    archive.add_endpoint("serving_default", call, input_signature=specs)
    archive.write_out(str(folder))
    converter = tf.lite.TFLiteConverter.from_saved_model(str(folder))
    if form != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if form == "float16":
        converter.target_spec.supported_types = [tf.float16]
    return TfliteFile(converter.convert())


def plan_of(model, path):
    model.save(path)
    return make_plan(graphprune.read_graph(path), RULES)


def check_folder(plan, folder):
    """Return what differs between the operations of a SavedModel and a plan.

    Those that Keras saves have its config as well, and `verify` reads that.
    """
    exported = find_exported(folder)
    if exported is not None:
        return verify_exported(plan, exported).architecture
    return check_operator_architecture(plan, ExportedFile(read_operations(str(folder))))


def converted_and_same(model, keras, folder, exported="same"):
    """Return the file of a model, after a look that it computes what the model does.

    Args:
        exported: What is found of the folder that it was converted from, `net`: `unchecked` for one
            with operations that are not read.
    """
    plan = plan_of(model, folder / "net.keras")
    file = convert_in_batches_of_one(keras, model, folder / "net")
    inside = check_folder(plan, folder / "net")
    assert (inside.status, inside.differences) == (exported, ()), inside.unchecked
    found = check_operator_architecture(plan, file)
    assert (found.status, found.differences, found.unchecked) == ("same", (), "")
    return file
