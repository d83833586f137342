"""How one layer is pruned: the value that plans hold, wrappers store and the pruner follows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from graphprune.sparsity.schedules import Schedule

Pattern = Literal["unstructured"]
PATTERNS: tuple[Pattern, ...] = ("unstructured",)


@dataclass(frozen=True, slots=True)
class Pruning:
    """How one layer is pruned.

    Attributes:
        sparsity: The target share of zeros in each tensor, 0 to below 1.
        schedule: When masks change.
        weights: Names of the tensors to prune, in the layer's order.
        pattern: Which weights are zeroed together.
    """

    sparsity: float
    schedule: Schedule
    weights: tuple[str, ...]
    pattern: Pattern = "unstructured"

    def __post_init__(self) -> None:
        if not 0 <= self.sparsity < 1:
            raise ValueError(f"sparsity must be at least 0 and below 1, got {self.sparsity:g}")
        if self.pattern not in PATTERNS:
            raise ValueError(f"pattern must be one of {', '.join(PATTERNS)}, got {self.pattern!r}")

    def to_config(self) -> dict[str, Any]:
        """Return the JSON form, as plans and wrappers store it."""
        return {
            "pattern": {"kind": self.pattern},
            "sparsity": self.sparsity,
            "schedule": self.schedule.to_config(),
            "weights": list(self.weights),
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Pruning:
        """Return the value that `to_config` wrote.

        Raises:
            KeyError: a field is missing.
            ValueError: a field has a value that no pruning can have.
        """
        return cls(
            sparsity=float(config["sparsity"]),
            schedule=Schedule.from_config(config["schedule"]),
            weights=tuple(config["weights"]),
            pattern=config["pattern"]["kind"],
        )


@dataclass(frozen=True, slots=True)
class Provenance:
    """Which rule asked for a wrap: rule id, and the sha256 of the rule files and of the plan (hex, may be empty for Python calls)."""

    rule: str = ""
    rules_sha256: str = ""
    plan_sha256: str = ""

    def to_config(self) -> dict[str, str]:
        """Return the JSON form."""
        return {"rule": self.rule, "rules_sha256": self.rules_sha256, "plan_sha256": self.plan_sha256}

    @classmethod
    def from_config(cls, config: Mapping[str, str]) -> Provenance:
        """Return the value that `to_config` wrote."""
        return cls(config.get("rule", ""), config.get("rules_sha256", ""), config.get("plan_sha256", ""))
