"""What mask updates, checkpoints and plans cost at 10^8 to 10^10 weights, from measured unit costs.

    python benchmarks/scaling.py [--sizes 1000000 4000000 16000000] [--write]

Measures the unit costs at the largest size, without TensorFlow, compares what they predict for the
other sizes with what these take (the simulation), and prints the tables of `docs/scaling.md`;
`--write` puts them there. Seconds are processor time of one core, the least of five rounds.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace

import numpy as np

DOCUMENT = Path(__file__).parents[1] / "docs" / "scaling.md"
BEGIN, END = "<!-- {} -->", "<!-- end -->"
WEIGHTS = (10**8, 10**9, 10**10)
TENSOR = 4096 * 4096
"""Weights of a pruned tensor in the tables."""
SLOTS = 2
"""Values that Adam holds for each weight."""
KEPT = 3


@dataclass(frozen=True, slots=True)
class UnitCosts:
    """Seconds of one core for a unit of work, and bytes of memory.

    Attributes:
        mask: Seconds for the mask update of a weight.
        mask_memory: Bytes of temporary memory for a weight of the largest tensor.
        copy: Seconds to copy a byte of a checkpoint; training waits for this.
        write: Seconds to write, hash and read back a byte of a checkpoint, in the background.
        plan: Seconds to plan a layer.
        digest: Seconds to hash the mask of a weight, which several workers compare.
    """

    mask: float
    mask_memory: float
    copy: float
    write: float
    plan: float
    digest: float


UNITS = {
    "mask": ("ns", "of mask update for a weight"),
    "mask_memory": ("bytes", "of temporary memory for a weight of the largest tensor"),
    "copy": ("ns", "of copy for a byte of a checkpoint"),
    "write": ("ns", "of writing, hashing and reading back a byte of a checkpoint"),
    "plan": ("us", "of planning for a layer"),
    "digest": ("ns", "of hashing the mask of a weight, with several workers"),
}
_PER_SECOND = {"ns": 1e9, "us": 1e6, "bytes": 1.0}


def checkpoint_bytes(weights: int) -> int:
    """Return the bytes of a checkpoint: float32 weights, what Adam holds, and masks as bits."""
    return weights * 4 * (1 + SLOTS) + weights // 8


def predict(costs: UnitCosts, weights: int) -> dict[str, float]:
    """Return seconds and bytes of a model with so many pruned weights, in tensors of `TENSOR`."""
    size, layers = checkpoint_bytes(weights), -(-weights // TENSOR)
    return {
        "mask update, s": costs.mask * weights,
        "mask update, temporary memory, MB": costs.mask_memory * min(weights, TENSOR) / 1e6,
        "masks in memory, GB": weights / 1e9,
        "checkpoint, GB": size / 1e9,
        "training stands still for a checkpoint, s": costs.copy * size,
        "writing it in the background, s": costs.write * size,
        "memory of the copy, GB": size / 1e9,
        f"disk with --keep {KEPT}, GB": size * (KEPT + 1) / 1e9,
        "plan, s": costs.plan * layers,
        "comparing the masks of several workers at a checkpoint, s": costs.digest * weights,
    }


def measure_costs(weights: int) -> UnitCosts:
    """Return the unit costs, measured at a model with so many weights."""
    found = measure(weights)
    size, layers = checkpoint_bytes(weights), 2000
    return UnitCosts(
        found["mask"] / weights,
        found["mask_memory"] / weights,
        found["copy"] / size,
        found["write"] / size,
        measure_plan(layers) / layers,
        found["digest"] / weights,
    )


def measure(weights: int) -> dict[str, float]:
    """Return seconds and bytes of a mask update and a checkpoint of so many weights."""
    import tracemalloc

    import h5py

    from graphprune.archive.file_copy import FileCopy, HDF5Bytes
    from graphprune.archive.pruning_state import pack_mask
    from graphprune.engine.workers import mask_digest
    from graphprune.files import file_sha256
    from graphprune.sparsity.mask_kernels import select_mask

    values = np.random.default_rng(0).normal(size=weights).astype(np.float32)
    tracemalloc.start()
    mask, _ = select_mask(values, weights // 5)
    memory = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    layer = SimpleNamespace(tensors=[SimpleNamespace(read_mask=lambda: mask)])
    made = HDF5Bytes()

    def copy() -> None:
        made.clear(checkpoint_bytes(weights))
        with h5py.File(made, "w") as file:
            for index in range(1 + SLOTS):
                file[str(index)] = values
            file["mask"] = pack_mask(mask)

    with TemporaryDirectory(prefix="graphprune-") as home:
        path = Path(home, "model.keras")

        def write() -> None:
            FileCopy((("model.weights.h5", made),)).write(path)
            file_sha256(path)
            file_sha256(path)

        return {
            "mask": least(lambda: select_mask(values, weights // 5)),
            "mask_memory": float(memory),
            "copy": least(copy),
            "write": least(write),
            "digest": least(lambda: mask_digest([layer])),
        }


def measure_plan(layers: int) -> float:
    """Return the seconds that a plan of a chain of so many Dense layers takes."""
    from read_speed import write_keras

    import graphprune

    rules = graphprune.read_rules(
        "version: 1\nrules: [{id: all, match: {type: Dense}, prune: {sparsity: 80%, schedule:"
        " {curve: constant, begin: 0 steps}}}]\n"
    )
    with TemporaryDirectory(prefix="graphprune-") as home:
        graph = graphprune.read_graph(write_keras(Path(home, "model.keras"), layers))
    return least(lambda: graphprune.make_plan(graph, rules), rounds=3)


def least(do: Callable[[], object], rounds: int = 5) -> float:
    """Return the least processor time of a call; the first one is left out."""
    do()
    times = []
    for _ in range(rounds):
        begun = time.thread_time()
        do()
        times.append(time.thread_time() - begun)
    return min(times)


def render_costs(costs: UnitCosts) -> str:
    """Return the table of unit costs."""
    rows = ["| unit cost | value |", "| --- | --- |"]
    for name, value in asdict(costs).items():
        unit, what = UNITS[name]
        rows.append(f"| {unit} {what} | {value * _PER_SECOND[unit]:.3g} |")
    return "\n".join(rows)


def parse_costs(table: str) -> UnitCosts:
    """Return the unit costs that `render_costs` wrote."""
    values = [float(row.split("|")[2]) for row in table.strip().splitlines()[2:]]
    units = [UNITS[one.name][0] for one in fields(UnitCosts)]
    pairs = zip(values, units, strict=True)
    return UnitCosts(*(value / _PER_SECOND[unit] for value, unit in pairs))


def render_predictions(costs: UnitCosts) -> str:
    """Return the table of what the sizes cost."""
    columns = [predict(costs, weights) for weights in WEIGHTS]
    head = " | ".join(f"10^{len(str(weights)) - 1} weights" for weights in WEIGHTS)
    rows = [f"| | {head} |", "| --- |" + " ---: |" * len(WEIGHTS)]
    for name in columns[0]:
        cells = " | ".join(f"{column[name]:,.3g}" for column in columns)
        rows.append(f"| {name} | {cells} |")
    return "\n".join(rows)


def render_simulation(costs: UnitCosts, sizes: Mapping[int, Mapping[str, float]]) -> str:
    """Return the table of measured sizes, each with the ratio to what the unit costs predict."""
    rows = ["| weights | mask update, s | copy, s | write, s |", "| ---: | ---: | ---: | ---: |"]
    for weights, found in sizes.items():
        size = checkpoint_bytes(weights)
        wanted = {"mask": costs.mask * weights, "copy": costs.copy * size}
        wanted["write"] = costs.write * size
        cells = [f"{found[name]:.3g} ({found[name] / wanted[name]:.2f})" for name in wanted]
        rows.append(f"| {weights:,} | {' | '.join(cells)} |")
    return "\n".join(rows)


def replace_table(document: str, name: str, table: str) -> str:
    """Return the document with another table `name`."""
    before, _, rest = document.partition(BEGIN.format(name))
    return f"{before}{BEGIN.format(name)}\n{table}\n{END}{rest.partition(END)[2]}"


def read_table(document: str, name: str) -> str:
    """Return the table `name` of the document."""
    return document.partition(BEGIN.format(name))[2].partition(END)[0].strip()


def main() -> None:
    """Measure, and print or write the tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[10**6, 4 * 10**6, 16 * 10**6])
    parser.add_argument("--write", action="store_true", help=f"write {DOCUMENT.name}")
    options = parser.parse_args()
    costs = parse_costs(render_costs(measure_costs(max(options.sizes))))  # as they are printed
    sizes = {weights: measure(weights) for weights in options.sizes}
    tables = {
        "costs": render_costs(costs),
        "predictions": render_predictions(costs),
        "simulation": render_simulation(costs, sizes),
    }
    document = DOCUMENT.read_text(encoding="utf-8")
    for name, table in tables.items():
        print(table, end="\n\n")
        document = replace_table(document, name, table)
    if options.write:
        DOCUMENT.write_text(document, encoding="utf-8")
        print(f"wrote {DOCUMENT}", file=sys.stderr)


if __name__ == "__main__":
    main()
