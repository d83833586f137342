from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.compat.tensorflow_stub.io.gfile import GFile
from tensorboard.summary.writer.record_writer import RecordWriter

from graphprune.runs.event_files import Place, cut_events

NAME = "events.out.tfevents.1700000000.host.1.0.v2"
PLACE = Place(epoch=2, updates=20, step=10)


def write(path, points):
    path.parent.mkdir(parents=True, exist_ok=True)
    with GFile(str(path), "wb") as stream:
        writer = RecordWriter(stream)
        writer.write(Event(file_version="brain.Event:2").SerializeToString())
        for tag, step in points:
            summary = Summary(value=[Summary.Value(tag=tag, simple_value=1.5)])
            writer.write(Event(step=step, summary=summary).SerializeToString())


def size_of(points, tmp_path):
    write(tmp_path / "other", points)
    return (tmp_path / "other").read_bytes()


def test_points_that_a_resumed_run_writes_again_are_removed(tmp_path):
    kept = [("epoch_loss", 1), ("evaluation_loss_vs_iterations", 20), ("sparsity/a/kernel", 10)]
    kept += [("own", 99)]
    again = [("epoch_loss", 2), ("evaluation_loss_vs_iterations", 21), ("sparsity/a/kernel", 11)]
    write(tmp_path / "train" / NAME, [*kept[:2], *again, *kept[2:]])
    cut_events(tmp_path, PLACE, 0)
    assert (tmp_path / "train" / NAME).read_bytes() == size_of(kept, tmp_path)


def test_a_record_that_was_cut_off_or_changed_ends_the_file(tmp_path):
    path = tmp_path / "validation" / NAME
    for damage in (lambda content: content[:-3], lambda content: content[:-1] + b"?"):
        write(path, [("epoch_loss", 5), ("epoch_loss", 0), ("own", 1)])
        path.write_bytes(damage(path.read_bytes()))
        cut_events(tmp_path, PLACE, 0)
        assert path.read_bytes() == size_of([("epoch_loss", 0)], tmp_path)


def test_files_of_other_runs_and_files_without_such_points_are_kept(tmp_path):
    points = [("epoch_loss", 5)]
    write(tmp_path / "train" / NAME, points)
    write(tmp_path / "elsewhere" / NAME, points)
    cut_events(tmp_path, PLACE, 1700000001)
    assert (tmp_path / "train" / NAME).read_bytes() == size_of(points, tmp_path)
    cut_events(tmp_path, PLACE, 1700000000)
    assert (tmp_path / "train" / NAME).read_bytes() == size_of([], tmp_path)
    assert (tmp_path / "elsewhere" / NAME).read_bytes() == size_of(points, tmp_path)
