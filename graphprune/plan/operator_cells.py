"""The cell that the body of a loop in a TensorFlow Lite file computes, as formulas."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from graphprune.archive.operators import FileOperator, FileTensor, OperatorFile
from graphprune.graph.classes.cell_formulas import Formula, FormulaError, chosen, render, symbol
from graphprune.graph.classes.known_cells import is_cell
from graphprune.plan.operator_formulas import PASSED_ON, READS, Formulas

_STATES, _MASKED_STATES = ("hc",), ("ohc", "hc")
"""The names of the states of a loop. Beside a mask, the result before is one (`o`), or what is not
counted gives zero.
"""
_STATE_TYPES = frozenset(("float32", "float16", "bfloat16", "int8", "int16"))


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell.

    Attributes:
        text: The formulas of its states.
        matrices: The constants that are its matrices, by the name that Keras gives to such a
            weight, in the order of its columns.
        kernel, state: The shapes of both kernels as Keras has them.
        convolution: The settings of its convolutions; empty for a cell without.
        places: Which of the inputs of a loop is the sequence (`x`), the mask (`m`), and each state;
            its outputs have the same order.
    """

    text: str
    matrices: Mapping[str, tuple[FileTensor, ...]]
    kernel: tuple[int, ...]
    state: tuple[int, ...]
    convolution: str
    places: Mapping[str, int]


def read_cell(file: OperatorFile, loop: FileOperator) -> Cell | None:
    """Return the cell that a loop computes; None for operators of another kind.

    Raises:
        ArchiveError: the file is damaged.
    """
    body = int(loop.settings.get("bodySubgraphIndex", 0))
    inputs, _ = file.ends_of(body)
    is_masked = _has_mask(file, body)
    read: list[Cell] = []
    for names in _MASKED_STATES if is_masked else _STATES:
        try:
            given = _outer(file, loop, inputs)
            cell = _Body(file, body, given, names).cell(is_masked=is_masked)
        except (FormulaError, LookupError, ValueError):
            continue
        if cell is not None:
            read.append(cell)
    # which states a loop behind a mask has is told by the cell that it then is
    known = (cell for cell in read if is_cell(cell.text))
    return next(known, read[0] if read else None)


def read_stack(file: OperatorFile, loop: FileOperator) -> tuple[Cell, ...]:
    """Return the cells of a loop over stacked cells, each of which reads the result of the last.

    Empty for another loop, and for cells that are not those of Keras.

    Raises:
        ArchiveError: the file is damaged.
    """
    body = int(loop.settings.get("bodySubgraphIndex", 0))
    inputs, _ = file.ends_of(body)
    try:
        return _Stack(file, body, _outer(file, loop, inputs)).cells
    except (FormulaError, LookupError, ValueError):
        return ()


@dataclass(frozen=True, slots=True)
class _State:
    """A state of a loop.

    Attributes:
        given: The input of its body that it is.
        made: The next one.
        fresh: The next one of a step that counts; the same where there is no mask.
    """

    given: int
    made: int
    fresh: int


class _Stack:
    """The cells that the body of a loop computes one after the other.

    Behind a mask, each cell reads what the one before makes, whether the step counts or not, and
    keeps its states where it does not count.

    Args:
        file, body: The subgraph.
        given: The constants that the loop gives to it, by their indices in it.

    Attributes:
        cells: The cells; empty if the states are not all theirs.
    """

    def __init__(self, file: OperatorFile, body: int, given: Mapping[int, FileTensor]) -> None:
        self._file, self._body, self._outside = file, body, given
        self._inputs, self._outputs = file.ends_of(body)
        pairs = zip(self._inputs, self._outputs, strict=True)
        self._unchanged = frozenset(one for one, made in pairs if one == made)
        self._is_masked = _has_mask(file, body)
        states = [self._state(*pair) for pair in _states_of(file, body)]
        self._next = {each.made for each in states}
        self._result: int | None = None
        if self._is_masked:
            self._result, states = states[0].fresh, states[1:]
        self.cells = self._read(states)

    def _state(self, given: int, made: int) -> _State:
        """Return a state; behind a mask it is chosen, and else the one before stays.

        Raises:
            FormulaError: it is made otherwise.
        """
        if not self._is_masked:
            return _State(given, made, made)
        for operator in self._file.operators_of(self._body):
            if made in operator.outputs and operator.kind in ("SELECT", "SELECT_V2"):
                _, fresh, before = operator.inputs
                if before == given:
                    return _State(given, made, fresh)
        raise FormulaError("a state that is not chosen by the mask")

    def _read(self, states: Sequence[_State]) -> tuple[Cell, ...]:
        cells: list[Cell] = []
        source = None
        while states:
            found = self._next_cell(states, source)
            if found is None:
                return ()
            cell, count, is_result = found
            cells.append(cell)
            source, states = states[0].fresh, states[count:]
            if is_result == bool(states):
                return ()
        return tuple(cells)

    def _next_cell(
        self, states: Sequence[_State], source: int | None
    ) -> tuple[Cell, int, bool] | None:
        """Return the cell of the first states, how many it has, and if its result is the loop's.

        Args:
            states: Those of this cell and of the following ones.
            source: The result of the cell before; None of the first one, which reads the sequence.
        """
        for count in (2, 1):
            if len(states) < count:
                continue
            named = dict(zip("hc", states[:count], strict=False))
            formulas = self._formulas(named, source)
            if any(each.fresh not in formulas.known for each in named.values()):
                continue
            made = {name: formulas.known[each.fresh] for name, each in named.items()}
            text = render(made)
            matrices = matrices_in(formulas.matrices, text)
            read = formulas.reads | {name: each.given for name, each in named.items()}
            places = {name: self._inputs.index(index) for name, index in read.items()}
            is_result = self._is_result(formulas, named["h"])
            whole = self._chosen(made, is_result=is_result) if self._is_masked else text
            cell = cell_of(formulas, matrices, whole, places)
            if cell is not None and is_cell(text):
                return cell, count, is_result
        return None

    def _is_result(self, formulas: Formulas, state: _State) -> bool:
        """Return whether the loop puts a state into the sequence of results."""
        if self._is_masked:
            return state.fresh == self._result
        text = formulas.known[state.fresh].text
        ends = set(self._outputs) - self._next - self._unchanged
        return any(end in formulas.known and formulas.known[end].text == text for end in ends)

    @staticmethod
    def _chosen(made: Mapping[str, Formula], *, is_result: bool) -> str:
        """Return the formulas of a cell behind a mask, and of the result of the last one."""
        states = {name: chosen(symbol("m"), each, symbol(name)) for name, each in made.items()}
        results = {"o": chosen(symbol("m"), made["h"], symbol("o"))} if is_result else {}
        return render(results | states)

    def _formulas(self, named: Mapping[str, _State], source: int | None) -> Formulas:
        """Return the formulas of what depends on these states and on what the cell reads."""
        operators = [
            one
            for one in self._file.operators_of(self._body)
            if source is None or (one.kind not in READS and source not in one.outputs)
        ]
        found = Formulas(self._file, self._body, operators, self._outside, self._unchanged)
        found.known |= {each.given: symbol(name) for name, each in named.items()}
        if source is not None:
            found.known[source] = symbol("x")
        for operator in operators:
            with suppress(FormulaError, LookupError, ValueError):  # it is of another cell
                found.add(operator)
        return found


def _states_of(file: OperatorFile, body: int) -> list[tuple[int, int]]:
    """Return the inputs of a body that are states, with the outputs that are the next ones.

    The sequence of results has one axis more than a state.
    """
    tensors = {one.index: one for one in file.tensors_of(body)}
    changed = [
        pair
        for pair in zip(*file.ends_of(body), strict=True)
        if pair[0] != pair[1] and tensors[pair[0]].dtype in _STATE_TYPES
    ]
    rank = min((len(tensors[given].shape) for given, _ in changed), default=0)
    return [pair for pair in changed if len(tensors[pair[0]].shape) == rank > 1]


def matrices_in(matrices: Mapping[FileTensor, str], text: str) -> dict[FileTensor, str]:
    """Return the matrices, with what each is multiplied with, that formulas have."""
    return {
        matrix: taken
        for matrix, taken in matrices.items()
        if f"{taken}[" in text or f"({taken})[" in text
    }


def _has_mask(file: OperatorFile, body: int) -> bool:
    """Return whether a sequence of truths is read beside the sequence itself."""
    kinds = {one.index: one.dtype for one in file.tensors_of(body)}
    reads = (one for one in file.operators_of(body) if one.kind in READS)
    return any(kinds.get(output) == "bool" for one in reads for output in one.outputs)


def _outer(file: OperatorFile, loop: FileOperator, inputs: Sequence[int]) -> dict[int, FileTensor]:
    """Return the constants that a loop gives to its body, by the body's inputs."""
    tensors = {one.index: one for one in file.tensors_of(loop.subgraph)}
    sources = {
        operator.outputs[0]: operator.inputs[0]
        for operator in file.operators_of(loop.subgraph)
        if operator.kind in PASSED_ON
    }
    pairs = zip(inputs, loop.inputs, strict=True)
    given = {inner: tensors[sources.get(index, index)] for inner, index in pairs}
    return {inner: tensor for inner, tensor in given.items() if tensor.stored}


class _Body:
    """The formulas of the tensors in a body.

    Args:
        file, body: The subgraph.
        given: The constants that the loop gives to it, by their indices in it.
        names: What to call the states, in their order.
    """

    def __init__(
        self, file: OperatorFile, body: int, given: Mapping[int, FileTensor], names: str
    ) -> None:
        self._inputs, self._outputs = file.ends_of(body)
        pairs = zip(self._inputs, self._outputs, strict=True)
        self._unchanged = frozenset(given for given, made in pairs if given == made)
        self._operators = file.operators_of(body)
        self._formulas = Formulas(file, body, self._operators, given, self._unchanged)
        states = _states_of(file, body)
        if len(states) > len(names):
            raise FormulaError("more states than a cell has")
        named = [*zip(names, states, strict=False)]
        self._next = {name: made for name, (_, made) in named}
        self._given = {name: index for name, (index, _) in named}
        self._formulas.known |= {index: symbol(name) for name, index in self._given.items()}

    def cell(self, *, is_masked: bool) -> Cell | None:
        """Return the cell; None if its matrices or results are not those of one."""
        for operator in self._operators:
            self._formulas.add(operator)
        known = self._formulas.known
        states = {name: known[made] for name, made in self._next.items()}
        ends = set(self._outputs) - set(self._next.values()) - self._unchanged
        written = {known[made].text: known[made] for made in ends if made in known}
        if is_masked and "o" not in states and written:
            states = {"o": next(iter(written.values())), **states}
        if "h" not in states or (is_masked and "o" not in states):
            return None
        result = next(iter(states.values())).text
        if set(written) - {result}:
            return None
        if "o" in states and "o" not in self._next:
            states["o"] = self._result(states["o"])
        read = self._given | self._formulas.reads
        places = {name: self._inputs.index(index) for name, index in read.items()}
        cell = cell_of(self._formulas, self._formulas.matrices, render(states), places)
        # a file does not tell the order of the parts of a kernel, nor what each state is where it
        # does not write the sequence of results, and only one choice is that of a cell
        is_split = cell is not None and len(cell.matrices["kernel"]) > 1
        is_chosen = is_split or (is_masked and not written)
        return None if is_chosen and not is_cell(render(states)) else cell

    def _result(self, written: Formula) -> Formula:
        """Return the result of a loop behind a mask, for what it puts into the sequence.

        A loop of JAX has no result before the first step: it puts the state there, whose formula
        has the state before in the place of the result before.
        """
        made = self._next.get("h")
        known = self._formulas.known
        if made is None or written.text != known[made].text:
            return written
        for operator in self._operators:
            if made in operator.outputs and operator.kind in ("SELECT", "SELECT_V2"):
                _, fresh, before = operator.inputs
                if before == self._given["h"] and fresh in known:
                    return chosen(symbol("m"), known[fresh], symbol("o"))
        return written


def cell_of(
    formulas: Formulas, matrices: Mapping[FileTensor, str], text: str, places: Mapping[str, int]
) -> Cell | None:
    """Return a cell; None where its matrices are not the parts of two kernels.

    Args:
        formulas: Those of its operators.
        matrices: Its matrices, with what each is multiplied with.
        text: The formulas of its states.
        places: As `Cell` has them.
    """
    first = tuple(matrix for matrix, taken in matrices.items() if taken == "x")
    rest = tuple(matrix for matrix, taken in matrices.items() if taken != "x")
    shapes = [_joined([formulas.kernels[each] for each in parts]) for parts in (first, rest)]
    kernel, state = shapes
    if kernel is None or state is None:
        return None
    kernels = {"kernel": first, "recurrent_kernel": rest}
    return Cell(text, kernels, kernel, state, formulas.convolution, places)


def _joined(parts: Sequence[tuple[int, ...]]) -> tuple[int, ...] | None:
    """Return the shape of a kernel of which a file has parts; None if they do not fit together."""
    if len({shape[:-1] for shape in parts}) != 1:
        return None
    return (*parts[0][:-1], sum(shape[-1] for shape in parts))
