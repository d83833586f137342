"""Places in a training run: epochs, steps (optimizer updates), or a share of the whole run."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from graphprune.arguments import check_whole, wrong_type

Unit = Literal["epoch", "step", "percent"]

_TEXT = re.compile(r"(?P<value>[0-9]+(?:\.[0-9]+)?)\s*(?P<unit>epochs?|steps?|%)")


@dataclass(frozen=True, slots=True)
class Run:
    """The length of a training run: optimizer steps per epoch and epochs, None if not known yet."""

    steps_per_epoch: int | None = None
    epochs: int | None = None

    def __post_init__(self) -> None:
        for name, value in (("steps_per_epoch", self.steps_per_epoch), ("epochs", self.epochs)):
            if value is not None:
                check_whole(name, value, least=0)

    @property
    def steps(self) -> int | None:
        """The optimizer steps of the whole run."""
        return (
            None
            if self.steps_per_epoch is None or self.epochs is None
            else self.steps_per_epoch * self.epochs
        )


def check_run(run: object) -> None:
    """Raise unless `run` is a `Run`, or None for a run of unknown length.

    Raises:
        TypeError: it is something else.
    """
    if run is not None and not isinstance(run, Run):
        raise wrong_type(
            "run", "a graphprune.Run", run, "such as Run(steps_per_epoch=100, epochs=10)"
        )


@dataclass(frozen=True, slots=True)
class Position:
    """A place in a training run.

    Example:
        >>> four = parse_position("4 epochs")
        >>> str(four), four.to_config(), four.to_step(Run(steps_per_epoch=50))
        ('4 epochs', {'epoch': 4}, 200)
    """

    value: float
    unit: Unit

    def __str__(self) -> str:
        number = f"{self.value:g}" if self.value < 1e6 else str(int(self.value))
        if self.unit == "percent":
            return f"{number}%"
        return f"{number} {self.unit}" if self.value == 1 else f"{number} {self.unit}s"

    def to_config(self) -> dict[str, float]:
        """Return the JSON form, such as `{"epoch": 4}`."""
        return {self.unit: int(self.value) if self.value == int(self.value) else self.value}

    @classmethod
    def from_config(cls, config: Mapping[str, float]) -> Position:
        """Return the position that `to_config` wrote.

        Raises:
            ValueError: `config` is not one unit with one number.
        """
        if len(config) != 1:
            raise ValueError(f"a position is one unit with one number, got {dict(config)}")
        ((unit, value),) = config.items()
        if unit not in ("epoch", "step", "percent"):
            raise ValueError(f"a position is in epochs, steps or percent, got {unit!r}")
        return cls(float(value), unit)  # type: ignore[arg-type]

    def to_step(self, run: Run) -> int | None:
        """Return the optimizer step, rounded half to even; None while `run` says too little."""
        if self.unit == "step":
            return round(self.value)
        if self.unit == "epoch":
            return None if run.steps_per_epoch is None else round(self.value * run.steps_per_epoch)
        return None if run.steps is None else round(self.value * run.steps / 100)


def parse_position(text: str) -> Position:
    """Return the position that `text` names: `4 epochs`, `2000 steps`, `60%` (of the run).

    Raises:
        ValueError: `text` has no unit, or an unknown one.
    """
    match = _TEXT.fullmatch(text.strip())
    if match is None:
        raise ValueError(
            f"a position needs a unit: '4 epochs', '2000 steps' or '60%' of the run; got {text!r}"
        )
    unit = match["unit"].rstrip("s")
    return Position(float(match["value"]), "percent" if unit == "%" else unit)  # type: ignore[arg-type]
