"""The user's own code in a run, and which setting it comes from when it fails."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from traceback import walk_tb
from typing import Any

from graphprune.engine.faults import OwnLine, raised_lines, said_by, told_lines
from graphprune.errors import GraphpruneError, TrainingError
from graphprune.nested import values_in
from graphprune.runs.run_options import Compiling, Fitting
from graphprune.runs.samples import is_data_function
from graphprune.runs.setting_values import is_object


@dataclass(frozen=True, slots=True)
class OwnCode:
    """Callbacks, losses, metrics and data functions that settings name as `MODULE:NAME`.

    Attributes:
        named: What each is, and its name.
        callbacks: The callbacks that the named functions returned.
    """

    named: tuple[tuple[str, str], ...] = ()
    callbacks: tuple[Any, ...] = ()

    @classmethod
    def of(
        cls,
        compiling: Compiling,
        fitting: Fitting | None = None,
        callbacks: Sequence[Any] = (),
        data: str = "",
    ) -> OwnCode:
        """Return the code that the settings of a run name; callbacks given in Python come last."""
        named = [("loss", one) for one in values_in(compiling.loss)]
        named += [("metric", one) for one in values_in(compiling.metrics)]
        if fitting is not None:
            named += [("callback", one) for one in fitting.callbacks]
            callbacks = callbacks[: len(callbacks) - fitting.live_callbacks]
        found = [(noun, one) for noun, one in named if isinstance(one, str) and is_object(one)]
        if is_data_function(data):
            found.append(("data function", data))
        return cls(tuple(found), tuple(callbacks))

    @contextmanager
    def failures_named(self, when: str) -> Iterator[None]:
        """Turn an error of this code into one that says which setting it comes from.

        Raises:
            TrainingError: the code failed.
        """
        try:
            yield
        except (Exception, SystemExit) as fault:
            cause = fault.__cause__ if isinstance(fault, GraphpruneError) else fault
            failure = None if cause is None else self.find_failure(cause, when)
            if failure is None:
                raise
            raise failure from cause

    def find_failure(
        self, fault: BaseException, when: str, *, told: bool = True
    ) -> TrainingError | None:
        """Return the error to raise for one that this code raised; None for another's.

        Args:
            fault: The error.
            when: When it was raised, for the message.
            told: Whether lines that the error's text names count as well.
        """
        lines = raised_lines(fault) or (told_lines(fault) if told else [])
        callback = self._find_callback(fault)
        if callback is None and not lines:
            return None
        place = f" at {lines[-1].place}" if lines else ""
        said, kind = said_by(fault), type(fault).__name__
        said = said if said.startswith(kind) else f"{kind}: {said}"
        if callback is not None:
            noun, name = f"the callback {type(callback).__name__}", self._spec_of(callback)
        else:
            found = self._find_named(lines)
            if found is None:
                return None
            noun, name = f"the {found[0]}", found[1]
        return TrainingError(f"{noun} failed {when}{place} with {said}", place=name)

    def _find_callback(self, fault: BaseException) -> Any:
        """Return the callback in a method of which an error was raised; None if there is none."""
        for frame, _ in walk_tb(fault.__traceback__):
            owner = frame.f_locals.get("self")
            if any(owner is one for one in self.callbacks):
                return owner
        return None

    def _spec_of(self, callback: Any) -> str:
        specs = [name for noun, name in self.named if noun == "callback"]
        near = [name for name in specs if _module_of(name) == type(callback).__module__]
        return near[0] if len(near) == 1 else ", ".join(specs)

    def _find_named(self, lines: Sequence[OwnLine]) -> tuple[str, str] | None:
        """Return what is defined around one of the lines, or alone in the file of one."""
        beside = [one for one in self.named if _file_of(one[1]) in {line.file for line in lines}]
        for noun, name in beside:
            function = name.partition(":")[2]
            if any(line.function.partition(".")[0] == function for line in lines):
                return noun, name
        return beside[0] if len(beside) == 1 else None


def _module_of(name: str) -> str:
    return name.partition(":")[0]


def _file_of(name: str) -> Path | None:
    file = getattr(sys.modules.get(_module_of(name)), "__file__", None)
    return None if file is None else Path(file)
