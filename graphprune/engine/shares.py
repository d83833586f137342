"""The part of each batch that a process takes, where several train together."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Share:
    """The part of a process in each batch.

    Every replica takes one part of the batch, in order; the parts of a process are next to each
    other, so all processes together take each batch exactly as one process would divide it.

    Attributes:
        rank: The place of the process among the workers.
        workers: The number of workers.
        replicas: The number of replicas of all workers together.
    """

    rank: int = 0
    workers: int = 1
    replicas: int = 1

    @property
    def is_whole(self) -> bool:
        """Whether one process takes the whole batch."""
        return self.workers == 1

    @property
    def local(self) -> int:
        """The replicas of this process."""
        return self.replicas // self.workers

    @property
    def parts(self) -> range:
        """The numbers of the parts that this process takes.

        Example:
            >>> list(Share(rank=1, workers=2, replicas=4).parts)
            [2, 3]
        """
        return range(self.rank * self.local, (self.rank + 1) * self.local)

    @property
    def own(self) -> Share:
        """The share of a process that has batches of its own, divided among its replicas."""
        return replace(self, rank=0, workers=1, replicas=self.local)


WHOLE = Share()
