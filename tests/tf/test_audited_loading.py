"""Loading in a process that watches it: nothing outside the file is opened, imported, run, written
or removed, and memory stays in proportion.
"""

import numpy as np
import pytest
import tf_zoo
from audit import faults, load_audited
from hostile_configs import BOMBS, CODE, model
from hostile_files import IN, KERNEL, REFUSED, controls, lambda_models, layer, write_h5, write_keras
from saved_model_files import write_saved_model
from warm_models import write_all

from graphprune.tf.models.saving import save_model

pytestmark = pytest.mark.tf


def write_folder(path, config):
    return write_saved_model(
        path, config, {"layer_with_weights-0": {"kernel": KERNEL, "bias": np.zeros(4, "float32")}}
    )


WRITERS = {"keras": write_keras, "h5": write_h5, "folder": write_folder}


@pytest.fixture
def watched(tmp_path):
    """A folder that no file may reach into, with a program in it that hostile files would run."""
    folder = tmp_path / "watched"
    folder.mkdir()
    (folder / "marker.py").write_text(f"open({str(folder / 'marker')!r}, 'w').close()\n")
    return folder


def test_hostile_files_reach_nothing(tmp_path, watched):
    paths = []
    for what, make in CODE.items():
        paths += [
            write(tmp_path / f"{what}.{name}", make(watched / "marker"))
            for name, write in WRITERS.items()
        ]
    for what, config in lambda_models().items():
        paths += [
            write(tmp_path / f"lambda-{what}.{name}", config)
            for name, write in WRITERS.items()
            if name != "folder"
        ]
    paths += [
        make(tmp_path / name)
        for name, (_, make) in REFUSED.items()
        if name not in ("many-values", "long-name")
    ]
    paths.append(controls(tmp_path / "controls.keras"))
    found = load_audited(paths, watched=watched)
    assert faults(found) == []
    refused = {path.rsplit("/", 1)[-1] for path, loaded in found.items() if loaded.error}
    assert {f"{what}.{name}" for what in CODE for name in WRITERS} <= refused
    assert sorted(part.name for part in watched.iterdir()) == ["marker.py"]
    assert max(loaded.megabytes for loaded in found.values()) < 500


def test_bombs_are_refused_before_memory_is_full(tmp_path):
    paths = {
        write(tmp_path / f"{what}.{name}", BOMBS[what][1]): what
        for what in BOMBS
        for name, write in WRITERS.items()
        if name != "folder"
    }
    found = load_audited(paths, memory=4 * 2**30)
    assert faults(found) == []
    said = {path.name: (found[str(path)].error, found[str(path)].message) for path in paths}
    assert {
        name: message
        for name, (_, message) in said.items()
        if BOMBS[name.rpartition(".")[0]][0] not in message
    } == {}
    assert max(loaded.megabytes for loaded in found.values()) < 500


def test_sound_models_load_and_reach_nothing(tmp_path):
    paths = list(write_all(tmp_path))
    for name in tf_zoo.IN_FILES:
        built = tf_zoo.build(name)
        if name not in ("deep", "text"):  # which no .h5 file holds
            save_model(built, tmp_path / f"{name}.h5")
            paths.append(tmp_path / f"{name}.h5")
        built.compile("adam", "mse", ["mae"])
        paths.append(tmp_path / f"{name}.keras")
        save_model(built, paths[-1])
    found = load_audited(paths)
    assert {path: loaded.message for path, loaded in found.items() if loaded.error} == {}
    assert faults(found) == []


def test_the_audit_sees_what_a_layer_does(tmp_path):
    config = model(
        IN, {**layer("Spy", "fc", ("in",)), "module": "warm_models", "registered_name": "Spy"}
    )
    path = write_keras(tmp_path / "m.keras", config)
    loaded = load_audited([path], objects="warm_models:SPY")[str(path)]
    events = loaded.foreign
    assert loaded.message == ""
    assert any(event.startswith("open ('/etc/hostname'") for event in events)
    assert any(event.startswith("os.system") for event in events)


def test_the_audit_sees_files_that_python_does_not_open_itself(watched):
    # the model itself lies in the folder
    path = write_h5(watched / "m.h5", model(IN, layer("Dense", "fc", ("in",), units=4)))
    found = load_audited([path], watched=watched)
    assert any(
        event.startswith("inotify") and event.endswith("m.h5") for event in found[str(path)].foreign
    )
