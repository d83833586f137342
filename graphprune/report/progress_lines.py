"""The position of a training run as one line, for the log and for the live line of a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from graphprune.diagnostics.terminal_text import text_width
from graphprune.report.tables import shorten
from graphprune.runs.training_arguments import Progress

GAP = "  "
SHORTEST_BAR, LONGEST_BAR = 6, 30


def render_epoch(now: Progress, width: int | None = None) -> str:
    """Return the line of an epoch: position, loss, metrics, measured and target sparsity.

    Where it does not fit into `width` columns, the sparsity is written shorter, then metrics are
    left out from the last on, which an ellipsis says.

    Example:
        >>> now = Progress(1, 10, 225, 2250, {"loss": 0.25, "val_loss": 0.3}, 0.5, 0.4999)
        >>> print(render_epoch(now))
        epoch  1/10  step  225/2250  loss 0.2500  val_loss 0.3000  sparsity 50.0% (target 50.0%)
        >>> print(render_epoch(now, 70))
        epoch  1/10  step  225/2250  loss 0.2500  …  sparsity 50.0%/50.0%
    """
    epoch, step = (
        f"{done:>{len(str(whole))}}/{whole}"
        for done, whole in ((now.epoch, now.epochs), (now.step, now.steps))
    )
    heads = (f"epoch {epoch}", f"step {step}")
    full = GAP.join([*heads, *_metrics(now), _sparsity(now)])
    if width is None or text_width(full) <= width:
        return full
    lines = (GAP.join([*heads, *shown, _short_sparsity(now)]) for shown in _fewer(_metrics(now)))
    return next(
        (line for line in lines if text_width(line) <= width),
        shorten(f"{epoch}{GAP}{step}{GAP}{_short_sparsity(now)}", width),
    )


def render_bar(now: Progress, eta: float | None, width: int, *, is_ascii: bool = False) -> str:
    """Return the live line of a run: epoch, bar, step, metrics, sparsity and remaining time.

    What does not fit into `width` columns is written shorter or left out: first metrics, from the
    last on, then the bar.

    Example:
        >>> now = Progress(1, 10, 225, 450, {"loss": 0.25}, 0.5, 0.4999)
        >>> print(render_bar(now, 83.2, 90))
        epoch 1/10  ━━━━━━─────── 225/450  loss 0.2500  sparsity 50.0% (target 50.0%)  eta 0:01:23
        >>> print(render_bar(now, None, 60, is_ascii=True))
        epoch 1/10  225/450  ...  sparsity 50.0%/50.0%  eta -:--:--
    """
    epoch, step, end = (
        f"epoch {now.epoch}/{now.epochs}",
        f"{now.step}/{now.steps}",
        f"eta {_clock(eta)}",
    )
    for metrics, sparsity in [
        (_metrics(now), _sparsity(now)),
        *((shown, _short_sparsity(now)) for shown in _fewer(_metrics(now), is_ascii=is_ascii)),
    ]:
        rest = GAP.join([step, *metrics, sparsity, end])
        room = width - text_width(f"{epoch}{GAP}{rest}") - 1
        if room >= SHORTEST_BAR:
            share = now.step / max(now.steps, 1)
            bar = draw_bar(share, min(room, LONGEST_BAR), is_ascii=is_ascii)
            return f"{epoch}{GAP}{bar} {rest}"
        if room >= -1 and len(metrics) <= 1:
            return f"{epoch}{GAP}{rest}"
    return shorten(GAP.join([step, end, _short_sparsity(now)]), width)


def draw_bar(share: float, width: int, *, is_ascii: bool = False) -> str:
    """Return a bar of `width` columns that is filled to `share`.

    Example:
        >>> draw_bar(0.5, 6), draw_bar(1, 6, is_ascii=True)
        ('━━━───', '======')
    """
    filled = int(width * min(max(share, 0), 1))
    done, left = ("=", "-") if is_ascii else ("━", "─")
    return done * filled + left * (width - filled)


def _metrics(now: Progress) -> list[str]:
    """Return the loss, the metrics, and both of validation; Keras 3 hands them over sorted."""
    ordered = sorted(
        now.metrics.items(), key=lambda item: (item[0].startswith("val_"), not _is_loss(item[0]))
    )
    return [f"{name} {value:.4f}" for name, value in ordered]


def _is_loss(name: str) -> bool:
    return name in ("loss", "val_loss")


def _sparsity(now: Progress) -> str:
    return f"sparsity {now.sparsity:.1%} (target {now.target_sparsity:.1%})"


def _short_sparsity(now: Progress) -> str:
    return f"sparsity {now.sparsity:.1%}/{now.target_sparsity:.1%}"


def _fewer(metrics: Sequence[str], *, is_ascii: bool = False) -> Iterator[list[str]]:
    """Yield all metrics, then ever fewer with an ellipsis for the rest, then none."""
    yield list(metrics)
    for count in range(len(metrics) - 1, -1, -1):
        yield [*metrics[:count], "..." if is_ascii else "…"]
    yield []


def _clock(seconds: float | None) -> str:
    if seconds is None:
        return "-:--:--"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"
