"""The lines of a diff about the model itself and its connections."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from graphprune.diagnostics.terminal_text import escape_controls
from graphprune.diff.changes import Connection, GraphDiff
from graphprune.graph.layers import name_call
from graphprune.report.diff_settings import change_text


def graph_lines(diff: GraphDiff) -> Iterator[tuple[str, str]]:
    """Yield the mark and the text of each line about the model itself and its connections."""
    for change in diff.model:
        yield "~", f"  ~ model  {change_text(change)}"
    again = _called_again((*diff.added, *diff.removed))
    for mark, connections in (("+", diff.added), ("-", diff.removed)):
        for connection in connections:
            yield mark, f"  {mark} {escape_controls(_connection_text(connection, again))}"


def _called_again(connections: Sequence[Connection]) -> Collection[str | None]:
    """Return the layers that these connections show to be called several times, so that each call
    wants its number.
    """
    sources = {connection.source for connection in connections if connection.source_call}
    return sources | {connection.target for connection in connections if connection.target_call}


def _connection_text(connection: Connection, again: Collection[str | None]) -> str:
    source, target = connection.source, connection.target
    if source is None:
        return f"input {connection.source_tensor} -> {target}"
    tensor = connection.source_tensor
    made = (
        source
        + (f" ({name_call(connection.source_call)})" if source in again else "")
        + (f" (tensor {tensor})" if tensor else "")
    )
    if target is None:
        return f"{made} -> {connection.argument}"
    argument = connection.argument
    places = []
    if argument != "0":
        is_named = argument.startswith(("input", "output"))
        places.append(argument if is_named else f"input {argument}")
    if target in again:
        places.append(name_call(connection.target_call))
    return f"{made} -> {target}" + (f" ({', '.join(places)})" if places else "")
