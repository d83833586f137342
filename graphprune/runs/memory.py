"""The memory that this process can still allocate, as reported by Linux."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from pathlib import Path

_MEMINFO = Path("/proc/meminfo")
_STATM = Path("/proc/self/statm")
_CGROUP = Path("/proc/self/cgroup")
_GROUPS = Path("/sys/fs/cgroup")


def available_memory() -> int | None:
    """Return the bytes that can be allocated without swapping; None if unknown.

    It is the minimum of the free memory of the machine (`MemAvailable`), of the control groups of
    the process (a container's limit) and of `ulimit -v`.
    """
    return min([*_machine(), *_control_groups(), *_address_space()], default=None)


def _machine() -> Iterator[int]:
    fields = dict(line.split(":", 1) for line in _lines(_MEMINFO) if ":" in line)
    if "MemAvailable" in fields:
        yield int(fields["MemAvailable"].split()[0]) * 1024


def _control_groups() -> Iterator[int]:
    """Yield the free memory of each control group of the process, including its parents.

    Lines of /proc/self/cgroup are `number:controllers:path` (cgroups(7)); version 2 has no
    controllers. In a container, the path may be one of the host's, so the mounted root is read
    too.
    """
    for line in _lines(_CGROUP):
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            root, limit, used = _GROUPS, "memory.max", "memory.current"
        elif "memory" in controllers.split(","):
            root = _GROUPS / "memory"
            limit, used = "memory.limit_in_bytes", "memory.usage_in_bytes"
        else:
            continue
        place = root / path.lstrip("/")
        for group in (place, *place.parents):
            if group.is_relative_to(root):
                yield from _group(group, limit, used)


def _group(group: Path, limit: str, used: str) -> Iterator[int]:
    """Yield the free memory of one group; file pages that it could drop count as free."""
    most, now = _lines(group / limit), _lines(group / used)
    if most and now and most[0].isdecimal():
        statistics = dict(
            line.split(" ", 1) for line in _lines(group / "memory.stat") if " " in line
        )
        droppable = int(statistics.get("total_inactive_file", statistics.get("inactive_file", 0)))
        yield max(0, int(most[0]) - int(now[0]) + droppable)


def _address_space() -> Iterator[int]:
    most, _ = resource.getrlimit(resource.RLIMIT_AS)
    pages = _lines(_STATM)
    if most != resource.RLIM_INFINITY and pages:
        yield max(0, most - int(pages[0].split()[0]) * os.sysconf("SC_PAGE_SIZE"))


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="ascii").splitlines()
    except OSError:
        return []  # a system without the file has no such limit
