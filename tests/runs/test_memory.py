import resource

import pytest

from graphprune.runs import memory
from graphprune.runs.memory import available_memory

MIB = 2**20


@pytest.fixture
def system(tmp_path, monkeypatch):
    """Return a function that writes files of a system of its own: 1,000 MiB are available, and no
    group has a limit.
    """
    monkeypatch.setattr(memory, "_MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(memory, "_STATM", tmp_path / "statm")
    monkeypatch.setattr(memory, "_CGROUP", tmp_path / "cgroup")
    monkeypatch.setattr(memory, "_GROUPS", tmp_path / "groups")
    monkeypatch.setattr(
        resource, "getrlimit", lambda _: (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    )

    def write(**files: str) -> None:
        for name, text in {
            "meminfo": f"MemTotal: 9 kB\nMemAvailable:    {1000 * 1024} kB\n",
            **files,
        }.items():
            path = tmp_path / name.replace("__", "/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    return write


def test_it_is_what_the_machine_has_left(system):
    system(cgroup="0::/\n")
    assert available_memory() == 1000 * MIB


@pytest.mark.parametrize("place", ["groups/a/b", "groups/a", "groups"])
def test_each_group_above_the_process_counts(system, tmp_path, place):
    system(cgroup="0::/a/b\n")
    for group in ("groups", "groups/a", "groups/a/b"):
        (tmp_path / group).mkdir(parents=True, exist_ok=True)
        limit = str(300 * MIB) if group == place else "max"
        for name, text in {
            "memory.max": limit,
            "memory.current": str(200 * MIB),
            "memory.stat": f"anon 1\ninactive_file {50 * MIB}\n",
        }.items():
            (tmp_path / group / name).write_text(f"{text}\n")
    assert available_memory() == 150 * MIB


def test_groups_of_version_1_count(system, tmp_path):
    system(cgroup="5:cpu,memory:/docker/x\n3:cpu:/\n")
    group = tmp_path / "groups" / "memory"
    group.mkdir(parents=True)
    for name, number in {"memory.limit_in_bytes": 300, "memory.usage_in_bytes": 400}.items():
        (group / name).write_text(f"{number * MIB}\n")
    assert available_memory() == 0


def test_a_limit_of_the_shell_counts(system, monkeypatch):
    system(cgroup="0::/\n", statm="100 3 2 1 0 3 0\n")
    monkeypatch.setattr(resource, "getrlimit", lambda _: (MIB, resource.RLIM_INFINITY))
    monkeypatch.setattr("os.sysconf", lambda _: 4096)
    assert available_memory() == MIB - 100 * 4096


def test_a_system_that_does_not_say_is_told_apart(system, tmp_path):
    assert available_memory() is None


def test_this_machine_has_some_left():
    assert available_memory() > 2**20
