"""The fixture `fuzz`: runs a target, a short and repeatable run unless `--fuzz-seconds` asks for a
long one with new inputs.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from fuzz.harness import Target, cases_of, make_input, run_cases

FOLDER = Path(__file__).parent


@pytest.fixture
def fuzz(request, tmp_path):
    """Runs `fuzz(target, count=...)`: `count` cases, or as long as `--fuzz-seconds` says, and
    returns how many ran; failing inputs go to files.
    """

    def run(target: Target, *, count: int) -> int:
        seconds, only = (
            request.config.getoption("--fuzz-seconds"),
            request.config.getoption("--fuzz-case"),
        )
        ran, failures = run_cases(
            target, cases_of(seconds=seconds, count=count, only=only), tmp_path
        )
        told = []
        for failure in failures:
            path = tmp_path / f"case-{failure.case}.txt"
            path.write_text(
                target.show(make_input(target, failure.case, tmp_path)),
                encoding="utf-8",
                errors="backslashreplace",
            )
            told.append(f"{failure}\ninput: {path}")
        assert not failures, "\n\n".join(told)
        assert ran >= (1 if seconds is not None or only is not None else count)
        return ran

    return run


def pytest_collection_modifyitems(config, items):
    """Lift the time limit of a test from a long run; each input keeps its limit of CPU time."""
    if config.getoption("--fuzz-seconds") is not None:
        for item in items:
            if FOLDER in item.path.parents:
                item.add_marker(pytest.mark.timeout(0))
