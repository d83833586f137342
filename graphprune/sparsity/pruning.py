"""How one layer is pruned: the value that plans hold, wrappers store and the pruner follows."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from graphprune.sparsity.channel_groups import Coupling, has_channels_alike, zeros_in_channels
from graphprune.sparsity.patterns import (
    UNSTRUCTURED,
    Pattern,
    is_exact,
    pattern_from_config,
    pattern_to_config,
    target_zeros,
)
from graphprune.sparsity.schedules import Schedule

Group = Literal["none", "auto"]
GROUPS: tuple[str, ...] = get_args(Group)
Method = Literal["gradual", "keep"]
METHODS: tuple[str, ...] = get_args(Method)


@dataclass(frozen=True, slots=True)
class Pruning:
    """How one layer is pruned.

    Attributes:
        sparsity: The target share of zeros in each tensor, 0 to below 1; of a budget, the share
            over all its tensors.
        schedule: When masks change.
        weights: Names of the tensors to prune, in the layer's order.
        pattern: Which weights are zeroed together.
        pads: Whether a last group or block that is short is pruned like a whole one; without it the
            pattern must fit.
        shares: The target of each of `weights` where a budget gave them their own; None where all
            have `sparsity`.
        axes: The names of the axes of each of `weights`, which patterns other than unstructured
            need; None if not given.
        group: Whether channels that other layers are coupled to are pruned together (`auto`) or
            each layer by itself (`none`).
        couplings: How `weights` take part in groups of channels. Those that are in none are masked
            by `pattern` alone.
        method: Whether sparsity follows the schedule (`gradual`), or the zeros that are there are
            held (`keep`).
    """

    sparsity: float
    schedule: Schedule
    weights: tuple[str, ...]
    pattern: Pattern = UNSTRUCTURED
    pads: bool = False
    shares: tuple[float, ...] | None = None
    axes: tuple[tuple[str, ...], ...] | None = None
    group: Group = "none"
    couplings: tuple[Coupling, ...] = ()
    method: Method = "gradual"

    def __post_init__(self) -> None:
        for share in (self.sparsity, *(self.shares or ())):
            if not 0 <= share < 1:
                raise ValueError(f"sparsity must be at least 0 and below 1, got {share:g}")
        if self.shares is not None and len(self.shares) != len(self.weights):
            raise ValueError(
                f"shares must have one entry for each of {len(self.weights)} weights, got"
                f" {len(self.shares)}"
            )
        if self.axes is not None and len(self.axes) != len(self.weights):
            raise ValueError(
                f"axes must have one entry for each of {len(self.weights)} weights, got"
                f" {len(self.axes)}"
            )
        if self.axes is None and self.pattern != UNSTRUCTURED:
            raise ValueError(
                f"the pattern '{self.pattern}' needs the names of the axes of its weights, got none"
            )
        if self.group not in GROUPS:
            raise ValueError(f"group must be one of {', '.join(GROUPS)}, got {self.group!r}")
        if self.method not in METHODS:
            raise ValueError(f"method must be one of {', '.join(METHODS)}, got {self.method!r}")
        for coupling in self.couplings:
            if coupling.weight not in self.weights:
                raise ValueError(f"couplings name {coupling.weight!r}, which is not in weights")
        self._check_last_point()

    def _check_last_point(self) -> None:
        """Raise unless a points schedule ends at the target.

        For a pattern with a fixed share such as 2/3, which no file can write, three places
        count.
        """
        if not self.schedule.points:
            return
        (place, last), near = (
            self.schedule.points[-1],
            1e-9 if self.pattern.fixed_sparsity is None else 1e-3,
        )
        if not math.isclose(last, self.sparsity, rel_tol=0, abs_tol=near):
            raise ValueError(
                f"the last point of a schedule must be the target of {self.sparsity:g}, got"
                f" {last:g} at {place}"
            )

    def share_of(self, weight: str) -> float:
        """Return the target share of zeros of the tensor named `weight`."""
        return self.sparsity if self.shares is None else self.shares[self.weights.index(weight)]

    def share_in(self, coupling: Coupling) -> float:
        """Return the target share of the channels of a group, for how a tensor takes part in it."""
        return self.share_of(coupling.weight) if coupling.share is None else coupling.share

    def describe_target(self, render: Callable[[float], str]) -> str:
        """Return the target of the tensors as text, each as `render` writes it.

        The names are given if the targets differ, as they can with a budget.

        Example:
            >>> from graphprune.sparsity.positions import Position
            >>> ramp = Schedule(
            ...     begin=Position(0, "step"), end=Position(9, "step"), every=Position(1, "step")
            ... )
            >>> Pruning(
            ...     0.8, ramp, ("kernel", "recurrent_kernel"), shares=(0.62, 0.9)
            ... ).describe_target("{:.0%}".format)
            'kernel 62%, recurrent_kernel 90%'
            >>> Pruning(0.8, ramp, ("kernel",), shares=(0.62,)).describe_target("{:.0%}".format)
            '62%'
        """
        texts = {weight: render(self.share_of(weight)) for weight in self.weights}
        if len(set(texts.values())) <= 1:
            return next(iter(texts.values()), render(self.sparsity))
        return ", ".join(f"{weight} {text}" for weight, text in texts.items())

    def axes_of(self, weight: str) -> tuple[str, ...]:
        """Return the names of the axes of the tensor named `weight`; none where not given."""
        return () if self.axes is None else self.axes[self.weights.index(weight)]

    def couplings_of(self, weight: str) -> tuple[Coupling, ...]:
        """Return how the tensor named `weight` takes part in groups of channels."""
        return tuple(coupling for coupling in self.couplings if coupling.weight == weight)

    @property
    def leaders(self) -> tuple[str, ...]:
        """The addresses of the layers whose channels decide which of its channels are zeroed."""
        return tuple(dict.fromkeys(coupling.leader for coupling in self.couplings))

    def describe_pattern(self, address: str | None = None) -> str:
        """Return the pattern in words, how channels are grouped, and a method other than gradual.

        For the layer at `address`, the other layers whose channels it loses are named too.
        """
        others = [leader for leader in self.leaders if address not in (None, leader)]
        follows = f" with {', '.join(others)}" if others else ""
        group = "" if self.group == "none" else f", group {self.group}"
        method = "" if self.method == "gradual" else f", method {self.method}"
        return f"{self.pattern}{follows}{group}{method}"

    def target_zeros(self, weight: str, shape: Sequence[int]) -> int:
        """Return how many weights of the tensor `weight` are zero when its schedule is finished.

        It is the fewest possible if blocks are short, or the tensor has only some channels of a
        group.

        Raises:
            ValueError: the pattern does not fit the tensor.
        """
        couplings = self.couplings_of(weight)
        if couplings:
            return zeros_in_channels(couplings, shape, self.share_of(weight), is_target=True)
        return self.zeros_at(weight, shape, self.share_of(weight))

    def zeros_at(self, weight: str, shape: Sequence[int], share: float) -> int:
        """Return the same for `share`, a share of zeros on the way to the target.

        Raises:
            ValueError: the pattern does not fit the tensor.
        """
        couplings = self.couplings_of(weight)
        if couplings:
            return zeros_in_channels(couplings, shape, share)
        return target_zeros(self.pattern, shape, self.axes_of(weight), share, pads=self.pads)

    def is_exact(self, weight: str, shape: Sequence[int]) -> bool:
        """Return whether `target_zeros` is the number of zeros, and not only the fewest."""
        couplings = self.couplings_of(weight)
        if couplings:
            return has_channels_alike(couplings)
        return is_exact(self.pattern, shape, self.axes_of(weight))

    def to_config(self) -> dict[str, Any]:
        """Return the JSON form, as plans and wrappers store it."""
        config: dict[str, Any] = {
            "pattern": pattern_to_config(self.pattern),
            "sparsity": self.sparsity,
            "schedule": self.schedule.to_config(),
            "weights": list(self.weights),
        }
        if self.pads:
            config["pads"] = True
        if self.shares is not None:
            config["shares"] = list(self.shares)
        if self.axes is not None:
            config["axes"] = [list(names) for names in self.axes]
        if self.group != "none":
            config["group"] = self.group
        if self.couplings:
            config["couplings"] = [coupling.to_config() for coupling in self.couplings]
        if self.method != "gradual":
            config["method"] = self.method
        return config

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Pruning:
        """Return the value that `to_config` wrote.

        Raises:
            KeyError: a field is missing.
            ValueError: a field has a value that no pruning can have.
        """
        shares, axes = config.get("shares"), config.get("axes")
        if axes is not None:
            axes = tuple(tuple(map(str, names)) for names in axes)
        return cls(
            sparsity=float(config["sparsity"]),
            schedule=Schedule.from_config(config["schedule"]),
            weights=_names(config["weights"]),
            pattern=pattern_from_config(config["pattern"]),
            pads=bool(config.get("pads", False)),
            shares=None if shares is None else tuple(map(float, shares)),
            axes=axes,
            group=config.get("group") or "none",
            couplings=tuple(map(Coupling.from_config, config.get("couplings") or ())),
            method=config.get("method") or "gradual",
        )


def _names(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not all(isinstance(name, str) for name in value):
        raise ValueError(f"weights must be a list of names, got {str(value)[:40]}")
    return tuple(value)


@dataclass(frozen=True, slots=True)
class Provenance:
    """Which rule asked for a wrap.

    Attributes:
        rule: Rule id; may be empty for Python calls.
        rules_sha256, plan_sha256: Of the rule files and of the plan (hex); may be empty for Python
            calls.
        budget: What the budget asked for that gave the tensors their shares, in words; empty where
            none did.
        precision: The dtype policy that a run set on the model's layers, which had float32 before;
            empty where none did. Stripping takes it back.
        loss_scale: `own` if the model's optimizer scaled the loss before the run set `precision`,
            so that stripping keeps it; else empty.
    """

    rule: str = ""
    rules_sha256: str = ""
    plan_sha256: str = ""
    budget: str = ""
    precision: str = ""
    loss_scale: str = ""

    def to_config(self) -> dict[str, str]:
        """Return the JSON form."""
        config = {
            "rule": self.rule,
            "rules_sha256": self.rules_sha256,
            "plan_sha256": self.plan_sha256,
        }
        rest = {"budget": self.budget, "precision": self.precision, "loss_scale": self.loss_scale}
        return config | {name: text for name, text in rest.items() if text}

    @classmethod
    def from_config(cls, config: Mapping[str, str]) -> Provenance:
        """Return the value that `to_config` wrote."""
        return cls(
            config.get("rule", ""),
            config.get("rules_sha256", ""),
            config.get("plan_sha256", ""),
            config.get("budget", ""),
            config.get("precision", ""),
            config.get("loss_scale", ""),
        )
