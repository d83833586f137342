"""Mutated rule files on small graphs, some mutated too: they are linted and planned, or refused by
our own errors with bounded messages.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from builders import build_graph
from commands import run_command
from fuzz.harness import Target
from fuzz.mutations import mutate_bytes, mutate_text, mutate_value
from ruamel.yaml import YAML
from rule_examples import EXAMPLE_3
from rule_mutations import PIECES, TEXT, VALUES, WORDS
from shipped_graphs import GRAPHS

from graphprune import report
from graphprune.diagnostics.slugs import read_slugs
from graphprune.errors import GraphpruneError, RuleError
from graphprune.graph import LayerGraph, graph_from_config
from graphprune.plan import make_plan, plan_from_config, plan_to_config
from graphprune.rules import RuleSet, read_rules

ROOT = Path(__file__).parents[2]
SEEDS = [
    TEXT,
    EXAMPLE_3,
    *(path.read_text(encoding="utf-8") for path in sorted((ROOT / "rules").glob("*.yaml"))),
]
DATA = [YAML(typ="safe", pure=True).load(text) for text in SEEDS]
ALL_WORDS = [
    *WORDS,
    *PIECES,
    *VALUES,
    *(slug.partition("/")[2] for slug in read_slugs()),
    "\\ud800",
    "٥٠%",
    "1_000",
    "(?!a)",
    "{1000}",
    "*a" * 50,
    "[!:]",
]
MODELS = [build_graph(text, name=name) for name, text in GRAPHS.items()] + [
    build_graph("in > conv_1 > flatten > fc1 > fc2")
]
CONFIGS = [graph.to_config() for graph in MODELS]
MAX_MESSAGE = 2_000_000


@dataclass(frozen=True)
class Case:
    """A rule file on disk, a model's config (None for a sound model), and the length of a run."""

    path: Path
    model: int
    config: Any
    epochs: int | None
    format: str

    def show(self) -> str:
        return (
            f"{self.path.read_bytes()!r}\n"
            f"model {self.model}, epochs {self.epochs}, {self.format}\n"
            f"{json.dumps(self.config)}"
        )


def make(random: Random, folder: Path) -> Case:
    path = folder / "fuzz.yaml"
    path.write_bytes(_content(random))
    model = random.randrange(len(MODELS))
    config = mutate_value(random, CONFIGS[model], ALL_WORDS) if random.random() < 0.2 else None
    return Case(
        path, model, config, random.choice([None, 1, 10]), random.choice(["text", "json", "github"])
    )


def _content(random: Random) -> bytes:
    number = random.randrange(len(SEEDS))
    kind = random.random()
    if kind < 0.2:
        return mutate_bytes(random, SEEDS[number].encode())
    if kind < 0.5:
        return mutate_text(random, SEEDS[number], ALL_WORDS).encode("utf-8", "surrogatepass")
    other = random.choice(DATA)
    data = (
        {**DATA[number], "rules": [*DATA[number]["rules"], *other["rules"]]}
        if random.random() < 0.2
        else DATA[number]
    )
    return json.dumps(
        mutate_value(random, data, ALL_WORDS), ensure_ascii=random.random() < 0.5
    ).encode("utf-8", "surrogatepass")


def check(case: Case) -> None:
    done = run_command("lint", case.path, "--format", case.format)
    assert done.code in (0, 1), done
    assert len(done.out) + len(done.err) < MAX_MESSAGE
    (done.out + done.err).encode()
    try:
        graph = MODELS[case.model] if case.config is None else graph_from_config(case.config)
        rules = read_rules(case.path)
    except GraphpruneError as error:
        _check_error(error, case)
        return
    try:
        _check_plan(graph, rules, case)
    except RuleError as error:
        _check_error(error, case)


def _check_error(error: GraphpruneError, case: Case) -> None:
    assert len(str(error)) < MAX_MESSAGE
    assert {found.slug for found in error.diagnostics} <= read_slugs().keys()
    assert {found.where.file for found in error.diagnostics if found.where is not None} <= {
        str(case.path)
    }


def _check_plan(graph: LayerGraph, rules: RuleSet, case: Case) -> None:
    plan = make_plan(
        graph, rules, steps_per_epoch=None if case.epochs is None else 7, epochs=case.epochs
    )
    config = json.loads(json.dumps(plan_to_config(plan)))
    assert json.loads(json.dumps(plan_to_config(plan_from_config(config)))) == config
    texts = [
        report.render_plan_text(plan),
        report.render_plan_github(plan),
        report.render_plan_svg(graph, plan),
        report.render_plan_html(graph, plan),
    ]
    assert all(text.isascii() or text.encode() for text in texts)


def test_a_mutated_rule_file_is_read_or_refused(fuzz):
    assert fuzz(Target(make, check, Case.show), count=150) > 0
