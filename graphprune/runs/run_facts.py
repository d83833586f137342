"""What makes a run the one that it is: recorded once with the run, and in each checkpoint of it."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from graphprune.runs.records import Count, HashOrNone, Length, Many, RunId
from graphprune.sparsity.positions import Unit

_SINCE_FORMAT_2 = frozenset({"run_id", "model_sha256", "data_sha256"})


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFacts:
    """The facts that a run and its checkpoints have in common.

    Attributes:
        epochs, steps_per_epoch, seed: Its length and order.
        batch_size: None if datasets or a Sequence are batched already.
        plan_sha256: Of the plan that the model was pruned by; empty where it was prepared before
            the run.
        rules: (path, sha256) of each rule file.
        schedule_units: The units in which schedules are written (`epoch`, `step`, `percent`).
        model_sha256, data_sha256: Of the model and the data that the run began with; empty in
            format 1, the data's also for a function, datasets and a Sequence.
        run_id: Drawn at random when the run was made; empty in format 1.
    """

    epochs: Length
    steps_per_epoch: Length
    batch_size: Length | None
    seed: Count
    plan_sha256: HashOrNone
    rules: Many[tuple[str, str]]
    schedule_units: Many[Unit]
    model_sha256: HashOrNone = ""
    data_sha256: HashOrNone = ""
    run_id: RunId = ""

    def facts(self) -> dict[str, Any]:
        """Return these facts by name."""
        return {fact.name: getattr(self, fact.name) for fact in fields(RunFacts)}

    def find_difference(self, other: RunFacts) -> str | None:
        """Return the name of the first fact that is another in `other`; None if all are the same.

        What is not known here is left out, and so are the units: they follow from the plan.
        """
        for name, value in self.facts().items():
            wanted = getattr(other, name)
            is_unknown = name in _SINCE_FORMAT_2 and not value
            if name != "schedule_units" and not is_unknown and value != wanted:
                return name
        return None
