"""The best checkpoint of a run by a metric, which is kept beside the newest ones."""

from __future__ import annotations

import math
import re
from collections.abc import Collection
from dataclasses import dataclass

from graphprune.errors import TrainingError
from graphprune.runs.records import Count
from graphprune.suggestions import closest

_RISING = re.compile(r"acc|auc|precision|recall|f1|iou|r2|score|top_k", re.IGNORECASE)
"""Names of metrics that are better when they are larger, as Keras's EarlyStopping decides."""
_BEST = re.compile(r"(?P<metric>[^:\s]+)(?::(?P<mode>min|max))?")


@dataclass(frozen=True, slots=True)
class Best:
    """The best checkpoint so far.

    Attributes:
        metric: The metric of an epoch by which it is the best.
        value: Its value.
        epoch: The epoch, from 1.
        step: The optimizer updates at its end, which name the checkpoint.
        at_target: Whether every pruned tensor had its target sparsity.
    """

    metric: str
    value: float
    epoch: Count
    step: Count
    at_target: bool


@dataclass(frozen=True, slots=True)
class Ranking:
    """How epochs are compared: by a metric, but a model at its target sparsity is always better.

    Attributes:
        metric: A metric of `metrics.jsonl`.
        rises: Whether the metric is better when it is larger.
    """

    metric: str
    rises: bool

    def is_better(self, new: Best, old: Best | None) -> bool:
        """Return whether `new` takes the place of `old`; of equal ones the first stays.

        Example:
            >>> dense = Best("val_loss", 0.1, 1, 10, at_target=False)
            >>> sparse = Best("val_loss", 0.4, 2, 20, at_target=True)
            >>> Ranking("val_loss", rises=False).is_better(sparse, dense)
            True
            >>> Ranking("val_loss", rises=False).is_better(sparse, sparse)
            False
        """
        if math.isnan(new.value):
            return False
        if old is None or new.at_target != old.at_target:
            return old is None or new.at_target
        return new.value > old.value if self.rises else new.value < old.value

    def check_known(self, metrics: Collection[str]) -> None:
        """Refuse a metric that the run does not measure.

        Raises:
            TrainingError: `metrics` does not have it.
        """
        if self.metric not in metrics:
            near = closest(self.metric, sorted(metrics), count=1)
            raise TrainingError(
                f"keep best: got {self.metric!r}, which is no metric of this run;"
                f" {f'{near}; ' if near else ''}available: {', '.join(metrics)}"
            )


def rises(metric: str) -> bool:
    """Return whether a metric is better when it is larger, by its name."""
    return bool(_RISING.search(metric))


def parse_ranking(text: str) -> Ranking:
    """Return the ranking by `METRIC` or `METRIC:min|max`; without it, the name says the direction.

    Raises:
        TrainingError: it is not written so.

    Example:
        >>> parse_ranking("val_accuracy"), parse_ranking("psnr:max").rises
        (Ranking(metric='val_accuracy', rises=True), True)
    """
    found = _BEST.fullmatch(text.strip())
    if found is None:
        raise TrainingError(
            f"keep best: must be METRIC, METRIC:min or METRIC:max, got {text!r}; write"
            " 'val_accuracy' or 'val_loss'"
        )
    metric, mode = found["metric"], found["mode"]
    return Ranking(metric, rises(metric) if mode is None else mode == "max")
