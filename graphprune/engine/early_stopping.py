"""Early stopping of a run: when the metric has not improved for some epochs, at its target."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphprune.errors import TrainingError
from graphprune.runs.setting_values import Stopping
from graphprune.suggestions import closest

KIND = "stopping"
"""The name of its state in checkpoints."""


class EarlyStopping:
    """Watches a metric from the end of the schedules on.

    Before that, masks still change, and a stop would miss the target.

    Args:
        settings: The metric and the patience.
        state: What `to_arrays` returned in an earlier process; empty at the beginning.
    """

    def __init__(self, settings: Stopping, state: Mapping[str, NDArray[Any]]) -> None:
        self.settings = settings
        self._best = float(state["best"]) if "best" in state else math.nan
        self._waited = int(state["waited"]) if "waited" in state else 0
        self.is_over = bool(state["over"]) if "over" in state else False

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return the state for a checkpoint."""
        return {
            "best": np.array(self._best),
            "waited": np.array(self._waited),
            "over": np.array(self.is_over),
        }

    def look(self, metrics: Mapping[str, Any], *, at_target: bool) -> None:
        """Take the metrics of an epoch; `at_target` says that all schedules have ended.

        Raises:
            TrainingError: the metric is not among them.
        """
        if not at_target:
            return
        check_metric(self.settings.metric, metrics)
        value = float(np.asarray(metrics[self.settings.metric]))
        if math.isnan(self._best) or self.settings.is_better(value, self._best):
            self._best, self._waited = value, 0
            return
        self._waited += 1
        self.is_over = self._waited >= max(1, self.settings.patience)

    def explain(self, epoch: int, epochs: int) -> str:
        """Return why training stopped after `epoch`, counted from 1."""
        name, waited = self.settings.metric, self._waited
        return (
            f"stopped early after epoch {epoch} of {epochs}: {name} has not improved on"
            f" {self._best:.4g} for {waited} epoch{'' if waited == 1 else 's'}"
        )


def check_metric(metric: str, known: Mapping[str, Any]) -> None:
    """Refuse a metric that the epochs of a run do not have.

    Raises:
        TrainingError: it is unknown; the text has the closest names.
    """
    if metric not in known:
        near = closest(metric, sorted(known), count=3)
        more = "" if any(name.startswith("val_") for name in known) else "; there is no test set"
        raise TrainingError(
            f"early stopping: there is no metric {metric!r}; {f'{near}; ' if near else ''}"
            f"available: {', '.join(known)}{more}"
        )
