"""The options of data that accuracy is measured on: the kinds of data that `train` takes."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import click

from graphprune.cli.options import Command
from graphprune.engine.file_data import FileData, file_data
from graphprune.graph.layer_graph import LayerGraph
from graphprune.runs.run_settings import BY_KEY


@dataclass(frozen=True, slots=True)
class DataOptions:
    """Data as the command line names it.

    Attributes:
        path: The path, or `package.module:function`.
        label: The columns of a `.csv` that are labels.
        parse: The function for one record of TFRecord files.
        validation: Validation samples of files: a path.
    """

    path: str
    label: tuple[str, ...] = ()
    parse: str | None = None
    validation: str | None = None

    def of_model(self, graph: LayerGraph | None) -> str | FileData:
        """Return the data as it is read for the inputs of a model; None if they are unknown.

        Raises:
            DataError: an option does not apply to this kind of data.
        """
        files = file_data(self.path, self.label, self.parse, self.validation)
        if files is None:
            return self.path
        return files if graph is None else files.of_model(graph)


def data_options(help: str) -> Callable[[Command], Command]:
    """Return what adds `--data` and its companions, as one `data: DataOptions | None`."""

    def add(command: Command) -> Command:
        @functools.wraps(command)
        def run(
            *args: Any,
            data: str | None,
            label: tuple[str, ...],
            parse: str | None,
            validation_data: str | None,
            **others: Any,
        ) -> Any:
            given = {"--label": label, "--parse": parse, "--validation-data": validation_data}
            useless = [name for name, value in given.items() if value]
            if data is None and useless:
                raise click.UsageError(f"{useless[0]} says how to read --data, which is not given")
            found = None if data is None else DataOptions(data, label, parse, validation_data)
            return command(*args, data=found, **others)

        for key in ("validation_data", "parse", "label"):
            setting = BY_KEY[key]
            run = click.option(
                setting.flag,
                metavar=setting.metavar,
                multiple=setting.form == "list",
                help=setting.help,
            )(run)
        return click.option("--data", metavar="DATA", help=help)(run)  # type: ignore[return-value]

    return add


measure_options = data_options(
    "Measure accuracy before and after on the test or validation part of this data: an .npz,"
    " MODULE:FUNCTION, a .csv, a folder of images or TFRecord files, as train takes them."
)
