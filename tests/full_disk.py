"""A real file system of a few kilobytes, for tests of what happens when it is full."""

import subprocess
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def small_disk(place: Path, size: str):
    """Mount a file system of `size` (such as `64k`) at `place`; skip the test where mounting is not
    allowed.
    """
    place.mkdir()
    try:
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)],
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError:
        pytest.skip("there is no mount command here")
    if mounted.returncode:
        pytest.skip(f"mounting is not allowed here: {mounted.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)


def fill(place: Path, leave: int) -> None:
    """Fill the file system at `place` up to `leave` bytes."""
    import os

    disk = os.statvfs(place)
    (place / "filler").write_bytes(bytes(max(0, disk.f_bavail * disk.f_frsize - leave)))
