"""The processor of this machine, as far as sparse kernels depend on it."""

from __future__ import annotations

import platform
import re
from dataclasses import dataclass
from pathlib import Path

_FACTS = Path("/proc/cpuinfo")
_X86 = frozenset({"x86_64", "amd64", "i386", "i686"})
_ARM = frozenset({"aarch64", "arm64", "armv7l", "armv8l"})


@dataclass(frozen=True, slots=True)
class Processor:
    """A processor.

    Attributes:
        machine: Its architecture, as the operating system calls it.
        model: Its name, empty where it is not known.
        has_avx: Whether it has AVX; None where that is not known.
    """

    machine: str
    model: str = ""
    has_avx: bool | None = False

    @property
    def is_x86(self) -> bool:
        """Whether it is one of the x86 family."""
        return self.machine.lower() in _X86

    @property
    def is_arm(self) -> bool:
        """Whether it is an Arm processor."""
        return self.machine.lower() in _ARM

    def __str__(self) -> str:
        """Return it in words.

        Example:
            >>> str(Processor("x86_64", "EPYC", True)), str(Processor("aarch64"))
            ('x86_64 with AVX (EPYC)', 'aarch64')
        """
        avx = " with AVX" if self.has_avx else ""
        return f"{self.machine}{avx}{f' ({self.model})' if self.model else ''}"


def read_processor() -> Processor:
    """Return the processor of this machine."""
    machine = platform.machine()
    try:
        text = _FACTS.read_text(encoding="utf-8", errors="replace")
    except OSError:  # another system than Linux
        return Processor(machine, platform.processor(), None)
    return processor_of(machine, text)


def processor_of(machine: str, facts: str) -> Processor:
    r"""Return the processor that the text of /proc/cpuinfo describes.

    Example:
        >>> processor_of("x86_64", "model name\t: EPYC\nflags\t\t: sse4_1 avx avx2")
        Processor(machine='x86_64', model='EPYC', has_avx=True)
    """
    model = re.search(r"^model name\s*: (.*)$", facts, re.MULTILINE)
    flags = re.search(r"^flags\s*: (.*)$", facts, re.MULTILINE)
    words = flags[1].split() if flags else []
    return Processor(machine, model[1].strip() if model else "", "avx" in words)
