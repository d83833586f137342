"""Selectors: matchers by name, in one file and in several."""

import pytest
from builders import build_graph

from graphprune.errors import RuleError
from graphprune.rules import parse_rules, read_rules, resolve_rules
from graphprune.rules.matchers.keys import MatcherShape
from graphprune.rules.text.shape import keys_of

KNOWN = ", ".join(keys_of(MatcherShape))  # tests/golden/rule_messages.txt pins them
RULES = "rules: [{id: a, match: {use: wide}, keep: true}]"


def faults(text):
    with pytest.raises(RuleError) as caught:
        parse_rules(f"version: 1\n{text}", "p.yaml")
    return str(caught.value)


def claimed(text, graph):
    resolution = resolve_rules(graph, parse_rules(f"version: 1\n{text}", "p.yaml"))
    assert resolution.diagnostics == ()
    return [claim.address for claim in resolution.claims if claim.rule is not None]


GRAPH = build_graph(
    "in > conv_1[3,3,3,8] > conv_2(strides=[2,2])[3,3,8,8] > fc_1[8,600] > fc_2[600,4]"
)


def test_a_selector_is_its_matcher_and_is_joined_with_the_keys_beside_it():
    section = "selectors: {narrow: {not: {use: wide}}, wide: {type: Dense, params: {gte: 4k}}}\n"
    assert claimed(section + RULES, GRAPH) == ["fc_1"]
    assert claimed(
        section + "rules: [{id: a, match: {use: narrow, type: Dense}, keep: true}]", GRAPH
    ) == ["fc_2"]
    assert claimed(
        section + "rules: [{id: a, match: {after: {use: wide}}, keep: true}]", GRAPH
    ) == ["fc_2"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "selectors: {wider: {type: Dense}}\n" + RULES,
            (
                "error[selector/unknown]: rule 'a': use must name a selector that is defined, got"
                " 'wide'\n  --> p.yaml:3:30\n  help: closest: 'wider'"
            ),
        ),
        (
            RULES,
            (
                "error[selector/unknown]: rule 'a': use must name a selector that is defined, got"
                " 'wide'\n  --> p.yaml:2:30\n  help: none is defined; add a section 'selectors'"
            ),
        ),
        (
            "selectors:\n  wide: {not: {use: far}}\n  far: {after: {use: end}}\n  end: {use:"
            " wide}\n" + RULES,
            (
                "error[selector/cycle]: selectors refer to one another in a cycle: end > wide > far"
                " > end\n  --> p.yaml:5:3\n  help: write out the conditions in one of them"
            ),
        ),
        (
            "selectors: {wide: {any: [{use: wide}, {type: Dense}]}}\n" + RULES,
            (
                "error[selector/cycle]: selector 'wide' uses itself\n  --> p.yaml:2:13\n  help:"
                " write out the conditions in one of them"
            ),
        ),
        (
            "selectors: {wide: {type: Dense, not: {type: Dense}}}\n" + RULES,
            (
                "error[match/contradiction]: selector 'wide': it cannot hold for any layer: 'Dense'"
                " and 'not Dense' exclude each other\n  --> p.yaml:2:19\n  help: delete one of"
                " them, or put them under 'any' where one is enough"
            ),
        ),
        (
            (
                "selectors: {wide: {type: Dense}}\nrules: [{id: a, match: {use: wide, not: {type:"
                " Dense}}, keep: true}]"
            ),
            (
                "error[match/contradiction]: rule 'a': match cannot hold for any layer: 'Dense'"
                " and 'not Dense' exclude each other\n  --> p.yaml:3:24\n  help: delete one of"
                " them, or put them under 'any' where one is enough"
            ),
        ),
        (
            "selectors: {wide: {tpye: Dense, params: many}}\n" + RULES,
            (
                "error[key/unknown]: selector 'wide': unknown key 'tpye'\n  --> p.yaml:2:20\n "
                f" help: closest: 'type'; known keys: {KNOWN}\n\n"
                "error[value/type]: selector 'wide': params must be a whole number, such as 12,"
                " 10k, 1.5M or 2G, got 'many'\n  --> p.yaml:2:41"
            ),
        ),
        (
            "rules: [{id: a, match: {fed_by: {hops: 2, type: Dense}}, keep: true}]",
            (
                "error[key/unknown]: rule 'a': unknown key 'hops' in fed_by\n  --> p.yaml:2:34\n "
                " help: it belongs inside 'after' or 'before', such as 'after: {type: Add, hops:"
                f" 3}}'; known keys: {KNOWN}, every, only"
            ),
        ),
        (
            "rules: [{id: a, match: {after: {hops: 2}}, keep: true}]",
            (
                "error[value/range]: rule 'a': after must hold a condition beside hops and until,"
                " got {hops: 2}\n  --> p.yaml:2:32\n  help: add one, such as 'type: Conv2D', or"
                " 'all: [\"*\"]' for any layer"
            ),
        ),
        (
            "rules: [{id: a, match: {after: {type: ReLU, hops: 0}}, keep: true}]",
            (
                "error[value/range]: rule 'a': hops must be a whole number of 1 or more, got 0\n "
                " --> p.yaml:2:51\n  help: write for example 'hops: 3'"
            ),
        ),
        (
            "rules: [{id: a, match: {between: {after: {type: ReLU}}}, keep: true}]",
            (
                "error[key/missing]: rule 'a': the key 'before' is missing in between\n  -->"
                " p.yaml:2:34\n  help: add it, such as 'before: {type: GlobalAveragePooling2D}'"
            ),
        ),
        (
            "rules: [{id: a, match: {weight: {in: three}}, keep: true}]",
            (
                "error[value/type]: rule 'a': in must be a whole number, such as 12, 10k, 1.5M or"
                " 2G, got 'three'\n  --> p.yaml:2:38"
            ),
        ),
        (
            "rules: [{id: a, match: {weight: {sparsity: {gt: 50%, lt: 0.5}}}, keep: true}]",
            (
                "error[match/contradiction]: rule 'a': sparsity cannot hold for any number: above"
                " 50% and below 50%\n  --> p.yaml:2:44\n  help: change one of the bounds"
            ),
        ),
        (
            (
                "rules: [{id: a, match: {between: {after: {type: ReLU}, before: {trainable: true,"
                " all: [{trainable: false}]}}}, keep: true}]"
            ),
            (
                "error[match/contradiction]: rule 'a': match cannot hold for any layer: 'trainable:"
                " true' and 'trainable: false' exclude each other\n  --> p.yaml:2:24\n  help:"
                " delete one of them, or put them under 'any' where one is enough"
            ),
        ),
    ],
)
def test_a_fault_of_selectors_and_relations(text, message):
    assert faults(text) == message


def test_a_selector_that_nothing_needs_is_a_warning():
    rules = parse_rules(
        "version: 1\nselectors: {wide: {type: Dense}, far: {after: {use: end}}, end: {type:"
        " ReLU}}\n" + RULES,
        "p.yaml",
    )
    assert [str(found) for found in rules.warnings] == [
        (
            "warning[selector/unused]: selector 'far' is used by no rule and no check\n  -->"
            " p.yaml:2:34\n  help: write '{use: far}' where it is meant, or delete it"
        ),
        (
            "warning[selector/unused]: selector 'end' is used by no rule and no check\n  -->"
            " p.yaml:2:60\n  help: write '{use: end}' where it is meant, or delete it"
        ),
    ]


def test_selectors_are_known_in_all_files(tmp_path):
    (tmp_path / "a.yaml").write_text(
        "version: 1\nselectors: {wide: {use: dense, params: {gte: 4k}}}\n"
    )
    (tmp_path / "b.yaml").write_text(
        f"version: 1\nselectors: {{dense: {{type: Dense}}}}\n{RULES}\n"
    )
    for order in (("a.yaml", "b.yaml"), ("b.yaml", "a.yaml")):
        rules = read_rules(*(tmp_path / name for name in order))
        assert rules.warnings == ()
        assert [claim.address for claim in resolve_rules(GRAPH, rules).claims if claim.rule] == [
            "fc_1"
        ]
    (tmp_path / "c.yaml").write_text("version: 1\nselectors: {dense: {type: Embedding}}\n")
    with pytest.raises(RuleError) as caught:
        read_rules(tmp_path / "a.yaml", tmp_path / "b.yaml", tmp_path / "c.yaml")
    assert (
        str(caught.value) == "error[id/duplicate]: the selector 'dense' is defined twice\n  -->"
        f" {tmp_path}/c.yaml:2:13\n  help: first at {tmp_path}/b.yaml:2:13; the files define it"
        " differently: rename one"
    )


def test_long_chains_and_doubling_selectors_cost_no_more_than_their_text():
    kinds = [
        "all: [{{use: s{0}}}, {{use: s{0}}}]",
        "any: [{{use: s{0}}}, {{all: [{{use: s{0}}}, {{type: Dense}}]}}]",
        "first: {{use: s{0}}}, last: {{use: s{0}}}",
    ]
    for kind in kinds:
        chain = "\n".join(f"  s{index}: {{{kind.format(index - 1)}}}" for index in range(1, 400))
        check = "require: [{id: r, every: {type: Dense}, satisfies: {use: s399}, severity: warn}]"
        rule = "rules: [{id: a, match: {use: s399}, keep: true, expect: {gte: 0}}]"
        text = (
            "version: 1\nselectors:\n  s0: {type: Dense, name: {glob:"
            f" 'fc*'}}}}\n{chain}\n{check}\n{rule}"
        )
        resolution = resolve_rules(GRAPH, parse_rules(text, "p.yaml"))
        assert {claim.address for claim in resolution.claims if claim.rule} <= {"fc_1", "fc_2"}


def test_what_a_selector_says_of_a_model_that_is_not_so_is_told_once_at_its_own_place():
    rules = (
        "rules:\n- {id: a, match: {use: wide}, keep: true}\n- {id: b, match: {fed_by: {use: wide}},"
        " keep: true}"
    )
    text = f"version: 1\nselectors: {{wide: {{type: Dence, config: {{units: 3}}}}}}\n{rules}"
    found = [
        str(fault)
        for fault in resolve_rules(GRAPH, parse_rules(text, "p.yaml")).diagnostics
        if fault.slug != "rule/no-match"
    ]
    assert found == [
        "error[type/unknown]: no layer of the model has the type 'Dence'\n  --> p.yaml:2:26\n "
        " help: closest: 'Dense'"
    ]
