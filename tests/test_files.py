"""Files and folders are written whole, with the permissions of the umask, and what a killed process
left is removed.
"""

import contextlib
import errno
import os
import signal
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from graphprune import files
from graphprune.diagnostics.terminal_text import shorten
from graphprune.errors import WriteError
from graphprune.files import (
    PART,
    temporary_folder,
    whole_file,
    whole_folder,
    write_once,
    write_whole,
)
from graphprune.write_faults import cannot_write, find_reason, free_bytes, writing

HALF = """
import os, sys, time
from pathlib import Path
from graphprune.files import whole_file, whole_folder
folder = Path(sys.argv[1])
with whole_file(folder / "o.keras") as file, whole_folder(folder / "o") as folder:
    file.write(b"half")
    (folder / "half").write_bytes(b"half")
    print("ready", flush=True)
    time.sleep(600)
"""


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def umask():
    before = os.umask(0o022)
    yield os.umask
    os.umask(before)


@pytest.mark.parametrize(
    ("mask", "file_mode", "folder_mode"),
    [(0o022, 0o644, 0o755), (0o002, 0o664, 0o775), (0o077, 0o600, 0o700)],
)
def test_what_is_written_obeys_the_umask(tmp_path, umask, mask, file_mode, folder_mode):
    umask(mask)
    write_whole(tmp_path / "new" / "a.txt", b"1")
    with whole_folder(tmp_path / "model") as folder:
        (folder / "variables").mkdir(mode=0o755)
        (folder / "variables" / "data").write_bytes(b"1")
        (folder / "variables" / "data").chmod(0o644)
    modes = {
        path.relative_to(tmp_path).as_posix(): path.stat().st_mode & 0o777
        for path in tmp_path.rglob("*")
    }
    assert modes == {
        "new": folder_mode,
        "new/a.txt": file_mode,
        "model": folder_mode,
        "model/variables": folder_mode,
        "model/variables/data": file_mode,
    }


def test_a_folder_takes_the_place_of_the_one_before_in_one_step(tmp_path, monkeypatch):
    for text in ("old", "new"):
        with whole_folder(tmp_path / "model") as folder:
            (folder / text).write_text(text)
    assert (names(tmp_path), names(tmp_path / "model")) == (["model"], ["new"])
    monkeypatch.setattr(files, "_exchange", lambda one, other: False)  # a file system that cannot
    with whole_folder(tmp_path / "model") as folder:
        (folder / "newest").write_text("newest")
    assert (names(tmp_path), names(tmp_path / "model")) == (["model"], ["newest"])


def test_what_is_written_once_stays_and_has_its_mode(tmp_path):
    path = tmp_path / "key"
    for content in (b"first", b"second"):
        write_once(path, content, 0o600)
    assert path.read_bytes() == b"first"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [found.name for found in tmp_path.iterdir()] == ["key"]


def test_a_write_that_fails_leaves_what_was_there(tmp_path):
    write_whole(tmp_path / "o.keras", b"old")
    with (
        contextlib.suppress(KeyboardInterrupt),
        whole_file(tmp_path / "o.keras") as stream,
        whole_folder(tmp_path / "o") as folder,
    ):
        stream.write(b"half")
        (folder / "half").write_bytes(b"half")
        raise KeyboardInterrupt
    assert (names(tmp_path), (tmp_path / "o.keras").read_bytes()) == (["o.keras"], b"old")


def test_the_next_write_removes_what_a_killed_process_left_and_nothing_else(tmp_path):
    token = "0123456789abcdef"
    mine = [
        f".o.keras.{token}",
        f".o.keras.{token[:-1]}{PART}",
        f".other.keras.{token}{PART}",
        "o.keras.txt",
    ]
    for name in mine:
        (tmp_path / name).write_text("mine")
    process = subprocess.Popen(
        [sys.executable, "-c", HALF, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "ready\n"
    write_whole(tmp_path / "o.keras", b"1")
    assert len(names(tmp_path)) == len(mine) + 3, "what a living process writes stays"
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    write_whole(tmp_path / "o.keras", b"2")
    with whole_folder(tmp_path / "o"):
        pass
    assert names(tmp_path) == sorted([*mine, "o", "o.keras"])


def test_a_name_as_long_as_the_file_system_takes_can_be_written(tmp_path):
    for name in ("n" * 255, "\u00fc" * 127):
        write_whole(tmp_path / name, b"1")
        assert (tmp_path / name).read_bytes() == b"1"
    assert len(names(tmp_path)) == 2


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("n" * 256, "File name too long; give a shorter name"),
        (
            "file/o.keras",
            "Not a directory; a part of the path is a file, not a folder; give another name",
        ),
        ("folder", "Is a directory; give another name"),
    ],
)
def test_a_place_that_cannot_be_written_is_one_message(tmp_path, name, message):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder").mkdir()
    with pytest.raises(WriteError) as caught:
        write_whole(tmp_path / name, b"1")
    assert str(caught.value) == shorten(f"{tmp_path}/{name}: cannot be written: {message}")
    assert names(tmp_path) == ["file", "folder"]


FAULTS = {
    errno.ENOSPC: "make room on the disk",
    errno.EDQUOT: "remove files, or have the disk quota raised",
    errno.EROFS: "mount the file system for writing",
    errno.EACCES: "change the permissions of the folder",
    errno.EFBIG: "raise the limit on the size of files (ulimit -f)",
}


@pytest.mark.parametrize("number", FAULTS)
def test_every_fault_says_what_to_do_and_how_to_go_on(tmp_path, monkeypatch, number):
    def refuse(descriptor):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(WriteError) as caught:
        write_whole(tmp_path / "o.keras", b"12345")
    free = os.statvfs(tmp_path).f_bavail * os.statvfs(tmp_path).f_frsize
    room = f" ({free:,} bytes are free)" if number in (errno.ENOSPC, errno.EDQUOT) else ""
    text, begin = str(caught.value), f"{tmp_path}/o.keras: cannot be written: {os.strerror(number)}"
    assert text.startswith(begin)
    assert text.endswith(f"; {FAULTS[number]}, or give another place")
    assert room in text
    way_on = cannot_write(
        "runs/a",
        OSError(number, "x"),
        kept="earlier ones are whole",
        then="graphprune resume runs/a",
    )
    assert str(way_on).endswith(
        f"; earlier ones are whole; {FAULTS[number]}, then go on with: graphprune resume runs/a"
    )
    assert names(tmp_path) == []


def test_the_outer_message_takes_the_reason_of_the_inner_one(tmp_path):
    with (
        pytest.raises(WriteError) as caught,
        writing("runs/a", kept="earlier checkpoints are whole", then="graphprune resume runs/a"),
    ):
        write_whole(Path("/proc/none/o.keras"), b"1")
    way_on = "remove the cause, then go on with: graphprune resume runs/a"
    assert (
        str(caught.value)
        == "runs/a: cannot be written: No such file or directory; earlier checkpoints are whole;"
        f" {way_on}"
    )


@pytest.mark.parametrize(
    ("fault", "number"),
    [
        (
            OSError(
                "Unable to synchronously create dataset (file write failed: errno = 28, error"
                " message = 'No space left on device')"
            ),
            errno.ENOSPC,
        ),
        (
            RuntimeError(
                "RESOURCE_EXHAUSTED: /o/variables/variables.data-00000-of-00001; No space left on"
                " device"
            ),
            errno.ENOSPC,
        ),
        (
            RuntimeError("FAILED_PRECONDITION: /o/saved_model.pb; Read-only file system"),
            errno.EROFS,
        ),
    ],
)
def test_the_reason_is_read_out_of_errors_of_other_libraries(fault, number):
    assert find_reason(fault).errno == number


def test_only_faults_of_a_temporary_folder_are_told_as_its_own(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for fault in (FileNotFoundError(2, "No", str(tmp_path / "model.keras")), OSError(32, "Pipe")):
        with pytest.raises(type(fault)) as caught, temporary_folder():
            raise fault
        assert caught.value is fault
    with pytest.raises(WriteError) as told, temporary_folder() as folder:
        (folder / "missing" / "file").write_bytes(b"")
    assert str(told.value) == (
        f"{tmp_path}: cannot be written: No such file or directory; temporary files go there, or"
        " where TMPDIR says; give another place"
    )
    assert list(tmp_path.iterdir()) == []


def test_a_limit_on_the_size_of_files_is_told_with_the_place_of_temporary_files(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(WriteError) as told, temporary_folder():
        raise OSError(errno.EFBIG, "File too large")
    assert str(told.value) == (
        f"{tmp_path}: cannot be written: File too large; temporary files go there, or where TMPDIR"
        " says; raise the limit on the size of files (ulimit -f), or give another place"
    )


@pytest.mark.parametrize("number", [None, errno.ENOSPC])
def test_a_full_disk_of_temporary_files_is_one_line(tmp_path, monkeypatch, number):
    """HDF5 says it in several lines, with or without a number of the error."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    said = "Can't close file (file write failed: time = now\n, errno = 28, error message = 'No'"
    with pytest.raises(WriteError) as told, temporary_folder():
        raise OSError(number, said) if number else OSError(said)
    assert str(told.value).startswith(f"{tmp_path}: cannot be written: No space left on device (")
    assert "temporary files go there, or where TMPDIR says" in str(told.value)
    assert "\n" not in str(told.value)


def test_a_file_in_a_temporary_folder_is_told_as_the_place_of_temporary_files(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    full = OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(WriteError) as told, temporary_folder(), temporary_folder() as own:
        raise cannot_write(own / "o.keras", full, needed=10**18)
    needed = "(needs more than 1,000,000,000,000,000,000 bytes, "
    assert str(told.value).startswith(
        f"{tmp_path}: cannot be written: No space left on device {needed}"
    )


@pytest.mark.parametrize("below", ["", "new/o.keras"])
def test_the_room_is_that_of_the_folder_itself_which_may_be_a_disk(tmp_path, monkeypatch, below):
    asked, look = [], os.statvfs
    monkeypatch.setattr(os, "statvfs", lambda path: asked.append(path) or look(path))
    assert free_bytes(tmp_path / below) > 0
    assert asked == [tmp_path]


def test_room_that_is_needed_is_told_where_it_is_more_than_there_is(tmp_path):
    text = str(
        cannot_write(
            tmp_path / "o.keras", OSError(errno.ENOSPC, "No space left on device"), needed=10**18
        )
    )
    assert "(needs more than 1,000,000,000,000,000,000 bytes, " in text
