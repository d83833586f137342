"""TensorFlow Lite files that are known to work: the best form that loads, runs and keeps its zeros.

Each form is run in a process of its own before it is written, because some crash the runtime. A
form that does not load, deviates from the Keras model or loses zeros falls back to the next one,
and so does one that is known to deviate on other processors.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import islice
from pathlib import Path

from graphprune.archive.tflite.file import TfliteFile
from graphprune.errors import OutputError
from graphprune.files import temporary_folder
from graphprune.serving.exported import Exported
from graphprune.serving.kept_zeros import find_lost_zeros, zeros_of
from graphprune.serving.outputs import EXACT, HALF, Arrays, Limit, not_written, sample_batches
from graphprune.serving.processor import read_processor
from graphprune.serving.proving import prove
from graphprune.serving.running import open_runner
from graphprune.serving.runtimes import RunnerError, RunnerSpec
from graphprune.serving.sparse_layers import FEWEST_ZEROS, find_misfit, share_of_zeros, weights_of
from graphprune.serving.tflite_forms import (
    DENSE,
    Precision,
    TfliteForm,
    TfliteRequest,
    forms_of,
    saved_model_to_tflite,
    split_samples,
)
from graphprune.serving.timing import time_in_turns

_CHECKED, _BATCH = 16, 4
"""Samples that a file is checked with, and those of a batch, where the model leaves it open."""
_TURNS = 8
"""Of both files, when the latency of a sparse form is compared."""
_SLOWER = 1.1
_LIMITS = {
    Precision.FLOAT32: EXACT,
    Precision.FLOAT16: replace(HALF, is_rounded=True),
    Precision.DYNAMIC: Limit(0.1, is_average=True, is_rounded=True),
    Precision.INT8: Limit(0.2, is_average=True, is_rounded=True),
}
"""How far outputs may differ from those of the Keras model."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """A form that is not served.

    Attributes:
        form: The form.
        reason: Why: it does not load, deviates, or loses zeros.
    """

    form: TfliteForm
    reason: str


@dataclass(frozen=True, slots=True)
class MadeTflite:
    """A TensorFlow Lite file that was run and computed what the model does.

    Attributes:
        content: Its bytes.
        form: How it is stored.
        rejected: Better forms that failed, the best first.
        slower: Of a sparse form, how many times the latency of the same file with its zeros stored
            it takes on this machine; None where it is not slower, or does not run.
        saved: Bytes that a sparse form is smaller by.
    """

    content: bytes
    form: TfliteForm
    rejected: tuple[Rejected, ...] = ()
    slower: float | None = None
    saved: int = 0


def make_tflite(exported: Exported, request: TfliteRequest, place: str) -> MadeTflite:
    """Return an exported model as a TensorFlow Lite file, in the best form that works.

    Args:
        exported: The model.
        request: The precision, batch size and samples.
        place: The path of the file, for errors.

    Raises:
        OutputError: the model cannot be converted, or its dense float32 file does not compute what
            it does.
    """
    with temporary_folder() as folder:
        return _Making(exported, request, folder / "form.tflite").make(place)


@dataclass
class _Making:
    exported: Exported
    request: TfliteRequest
    file: Path
    converted: dict[TfliteForm, bytes] = field(default_factory=dict)

    def make(self, place: str) -> MadeTflite:
        rejected: list[Rejected] = []
        self._convert(DENSE)  # a model that it fails for has no form at all
        for form in self._candidates():
            reason = self._find_fault(form)
            if reason is None:
                return self._made(form, tuple(rejected))
            rejected.append(Rejected(form, reason))
        raise not_written("TensorFlow Lite", rejected[-1].reason, place)

    def _made(self, form: TfliteForm, rejected: tuple[Rejected, ...]) -> MadeTflite:
        content = self.converted[form]
        if not form.is_sparse:
            return MadeTflite(content, form, rejected)
        try:
            dense = self._convert(TfliteForm(form.precision))
        except OutputError:
            return MadeTflite(content, form, rejected)
        saved = len(dense) - len(content)
        return MadeTflite(content, form, rejected, self._time(content, dense), saved)

    def _time(self, sparse: bytes, dense: bytes) -> float | None:
        """Return how many times the latency of a dense file a sparse one takes, if it is slower.

        Both take turns, each in a process of its own. Machines are noisy: it is slower if it is so
        in three of four turns, and by more than a tenth in half of them.
        """
        files = [self.file.with_name(f"{name}.tflite") for name in ("dense", "sparse")]
        for file, content in zip(files, (dense, sparse), strict=True):
            file.write_bytes(content)
        try:
            with ExitStack() as stack:
                runners = [
                    stack.enter_context(open_runner(RunnerSpec.of_file(file))) for file in files
                ]
                for runner in runners:
                    runner.prepare(self.batches[0])
                ratio = time_in_turns(runners, _TURNS)[1].ratio
        except RunnerError:  # the dense file need not run
            return None
        return ratio.median if ratio.low > 1 and ratio.median > _SLOWER else None

    def _candidates(self) -> Iterator[TfliteForm]:
        """Yield the forms to try; sparse ones only where they make the file smaller."""
        dense = TfliteFile(self.converted[DENSE])
        has_zeros = any(
            share_of_zeros(dense, tensor) >= FEWEST_ZEROS for _, tensor in weights_of(dense)
        )
        for form in forms_of(self.request.precision):
            if not form.is_sparse or (has_zeros and self._is_smaller(form)):
                yield form

    def _is_smaller(self, form: TfliteForm) -> bool:
        try:
            dense = self._convert(TfliteForm(form.precision))
            return len(self._convert(form)) < len(dense)
        except OutputError:
            return True  # it is tried, and its fault told

    def _convert(self, form: TfliteForm) -> bytes:
        if form not in self.converted:
            exported = self.exported
            self.converted[form] = saved_model_to_tflite(
                exported.folder, form, exported.name, self.request
            )
        return self.converted[form]

    def _find_fault(self, form: TfliteForm) -> str | None:
        try:
            content = self._convert(form)
        except OutputError as fault:
            return str(fault.__cause__ or fault)
        self.file.write_bytes(content)
        limit = _LIMITS[form.precision]
        if self.exported.is_half and limit is EXACT:
            limit = HALF
        reason = prove(self.file, self.batches, self.wanted, limit)
        if reason is not None:
            return reason
        misfit = find_misfit(self.file, read_processor()) if form.is_sparse else None
        if misfit is not None:
            return (
                "LiteRT may compute something else on processors without AVX, because of"
                f" {misfit} beside sparse convolutions"
            )
        dense = zeros_of(TfliteFile(self.converted[DENSE]))
        return find_lost_zeros(self.exported.weights, dense, zeros_of(TfliteFile(content)))

    @cached_property
    def batches(self) -> Sequence[Arrays]:
        """Samples in batches; random numbers where there are none."""
        request = self.request
        batch = request.batch or _BATCH
        count = max(1, _CHECKED // batch)
        if request.samples is None:
            return sample_batches(self.exported.folder, self.exported.compute, batch, count)
        return [*islice(split_samples(request.samples, batch), count)]

    @cached_property
    def wanted(self) -> Arrays:
        """What the model computes."""
        return self.exported.compute(self.batches)
