"""Options of the commands that write models for serving."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from graphprune.cli.options import Command, WholeNumber
from graphprune.serving.tflite_forms import Precision

strict_option = click.option(
    "--strict",
    is_flag=True,
    help="Fail, before anything is written, where there would be a warning about missing zeros.",
)


@dataclass(frozen=True, slots=True)
class ServingOptions:
    """How `.tflite` files are to be stored.

    Attributes:
        quantize: The precision of weights.
        batch: The batch size; None for the default.
    """

    quantize: Precision = Precision.FLOAT32
    batch: int | None = None

    def check(self, outputs: Sequence[str], *, has_data: bool) -> None:
        """Refuse options that have no use with these outputs, or need data.

        Raises:
            UsageError: one has.
        """
        has_tflite = any(Path(output).suffix == ".tflite" for output in outputs)
        for name, is_given in (
            ("--quantize", self.quantize is not Precision.FLOAT32),
            ("--batch", self.batch is not None),
        ):
            if is_given and not has_tflite:
                raise click.UsageError(f"{name} is for .tflite files, and no output is one")
        if self.quantize is Precision.INT8 and not has_data:
            raise click.UsageError(
                "--quantize int8 needs samples to measure the range of activations; give --data"
            )


def serving_options(command: Command) -> Command:
    """Add `--quantize` and `--batch`, as one `serving: ServingOptions`."""

    @functools.wraps(command)
    def run(*args: Any, quantize: str, batch: int | None, **others: Any) -> Any:
        return command(*args, serving=ServingOptions(Precision(quantize), batch), **others)

    quantized = click.option(
        "--quantize",
        type=click.Choice([str(precision) for precision in Precision]),
        default=str(Precision.FLOAT32),
        show_default=True,
        help=(
            "How .tflite files store weights. dynamic: 8 bits, computed in float32. int8: 8 bits"
            " and computed so; needs --data. Inputs and outputs keep their types."
        ),
    )
    batched = click.option(
        "--batch",
        type=WholeNumber(min=1),
        metavar="N",
        help="Batch size of .tflite files [default: open, and 1 for models with recurrent"
        " layers or, in tf_keras, group normalization].",
    )
    return quantized(batched(run))  # type: ignore[return-value]
