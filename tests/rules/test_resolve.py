import itertools
import textwrap

import pytest
from builders import build_graph

from graphprune.rules import Keep, parse_rules, resolve_rules
from graphprune.sparsity.counts import zero_count

HEAD = (
    "version: 1\nschedules:\n  ramp: {curve: polynomial, from: 0, begin: 0 epochs, end: 4 epochs,"
    " every: 100 steps}\nrules:\n"
)
LENET = "in > fc1[784,300] > fc2[300,100] > predictions:Dense[100,10]"


def resolve(graph, *rules):
    return resolve_rules(
        graph, parse_rules(HEAD + "".join(f"- {rule}\n" for rule in rules), "p.yaml")
    )


def selected(graph, match):
    """The layers that one `keep` rule with this match claims, whatever their number."""
    found = resolve(graph, f"{{id: a, match: {match}, keep: true, expect: {{gte: 0}}}}")
    return [claim.address for claim in found.claims if claim.rule is not None]


def messages(graph, *rules):
    return "\n".join(str(found) for found in resolve(graph, *rules).diagnostics)


def claims(resolution):
    """Address, the rule that decides, and (rule, what it lost to, and to whom where that is
    another) of each claim.
    """

    def losses(claim):
        return tuple(
            (loss.rule, loss.to, *(() if claim.rule and loss.by == claim.rule.id else (loss.by,)))
            for loss in claim.lost
        )

    return [
        (claim.address, claim.rule and claim.rule.id, losses(claim)) for claim in resolution.claims
    ]


def prune(id, match, sparsity="90%", more=""):
    return f"{{id: {id}, match: {match}, prune: {{sparsity: {sparsity}, schedule: ramp{more}}}}}"


def keep(id, match):
    return f"{{id: {id}, match: {match}, keep: true}}"


def test_example_1_all_dense_at_90_except_the_last():
    text = textwrap.dedent("""\
        version: 1
        schedules:
          ramp: {curve: polynomial, power: 3, from: 0, begin: 0 epochs, end: 4 epochs,
                 every: 100 steps}
        rules:
          - id: dense-90
            match:
              type: Dense
              not: {last: {type: Dense}}
            prune: {sparsity: 90%, schedule: ramp}
        """)
    graph = build_graph(LENET)
    resolution = resolve_rules(graph, parse_rules(text, "prune.yaml"))
    assert claims(resolution) == [
        ("fc1", "dense-90", ()),
        ("fc2", "dense-90", ()),
        ("predictions", None, ()),
    ]
    assert resolution.diagnostics == ()
    zeros = [
        zero_count(graph.layers[claim.address].tensors[0].size, claim.rule.action.sparsity)
        for claim in resolution.claims
        if claim.rule
    ]
    assert zeros == [211_680, 27_000]


def test_example_1_spares_both_heads_of_a_two_headed_model():
    graph = build_graph("in > trunk:Dense > age_h:Dense > age:Dense ; trunk > sex:Dense")
    assert selected(graph, "{type: Dense, not: {last: {type: Dense}}}") == ["trunk", "age_h"]


def test_example_2_a_regex_matches_whole_addresses_and_pins_the_count():
    blocks = [
        f"block_{i}_{part}:Conv2D > block_{i}_{part}_BN:BatchNormalization"
        for i in range(1, 18)
        for part in ("expand", "project")
    ]
    graph = build_graph("in > " + " > ".join(blocks))
    rule = prune(
        "late-pointwise", "{name: {regex: 'block_([2-9]|1[0-6])_(expand|project)'}}", "75%"
    )
    resolution = resolve(graph, rule[:-1] + ", expect: 30}")
    claimed = [claim.address for claim in resolution.claims if claim.rule]
    assert resolution.diagnostics == ()
    assert claimed == [f"block_{i}_{part}" for i in range(2, 17) for part in ("expand", "project")]
    assert (
        str(resolve(graph, rule[:-1] + ", expect: 28}").diagnostics[0])
        == "error[rule/count]: rule 'late-pointwise' matches the wrong number of layers: wanted 28,"
        " got 30\n  --> p.yaml:5:3\n  help: it matches 'block_2_expand', 'block_2_project',"
        " 'block_3_expand', 'block_3_project', 'block_4_expand' and 25 more; narrow the match,"
        " or write 'expect: 30' if 30 is right"
    )


def test_example_2_a_renamed_block_is_a_near_miss():
    blocks = [
        f"block_{i}_{part}:Conv2D"
        for i in range(1, 18)
        for part in ("expand", "depthwise", "project")
    ]
    drawn = "in > stem:Conv2D > " + " > ".join(blocks).replace("block_7_", "block_7_re").replace(
        "block_9_project", "blok_9_project"
    )
    rule = prune(
        "late-pointwise", "{name: {regex: 'block_([2-9]|1[0-6])_(expand|project)'}}", "75%"
    )
    assert (
        str(resolve(build_graph(drawn), rule[:-1] + ", expect: 30}").diagnostics[0])
        == "error[rule/count]: rule 'late-pointwise' matches the wrong number of layers: wanted 30,"
        " got 27\n  --> p.yaml:5:3\n  help: nearest misses by name: 'blok_9_project',"
        " 'block_7_reproject', 'block_7_reexpand', 'block_1_expand', 'block_1_project' and 2"
        " more; correct the match, or write 'expect: 27' if 27 is right"
    )


GRAPH = build_graph(
    "in > conv_1[3,3,1,8] > bn_1 > conv_2(padding='same',strides=[2,2])[3,3,8,8] ; conv_2 + conv_1"
    " > add_1 > flatten > fc1[128,64] > fc2[64,10]"
)


@pytest.mark.parametrize(
    ("match", "addresses"),
    [
        ('"*"', ["conv_1", "conv_2", "fc1", "fc2"]),
        ("{name: conv_1}", ["conv_1"]),
        ("{name: [fc2, conv_1]}", ["conv_1", "fc2"]),
        ("{name: {glob: 'conv_*'}}", ["conv_1", "conv_2"]),
        ("{name: {glob: '?c[2-9]'}}", ["fc2"]),
        ("{name: {regex: 'c.*'}}", ["conv_1", "conv_2"]),
        ("{name: {regex: onv}}", []),
        ("{type: [Dense, Embedding]}", ["fc1", "fc2"]),
        ("{type: Conv}", []),
        ("{isa: Conv}", ["conv_1", "conv_2"]),
        ("{config: {padding: same}}", ["conv_2"]),
        ("{config: {strides: [2.0, 2]}}", ["conv_2"]),
        ("{config: {use_bias: 1}}", []),
        ("{config: {use_bias: true}, type: Dense}", ["fc1", "fc2"]),
        ("{config: {padding: {not: same}}}", ["conv_1"]),
        ("{config: {padding: {in: [same, full]}}}", ["conv_2"]),
        ("{config: {padding: {regex: 's.*'}}}", ["conv_2"]),
        ("{config: {units: {gte: 10, lt: 64}}}", ["fc2"]),
        ("{config: {units: {gt: 10}}}", ["fc1"]),
        ("{config: {units: {lte: 10}}}", ["fc2"]),
        ("{config: {units: {exists: false}}}", ["conv_1", "conv_2"]),
        ("{params: {gte: 8k}}", ["fc1"]),
        ("{params: 640}", ["fc2"]),
        ("{params: {in: [640, 72]}}", ["conv_1", "fc2"]),
        ("{first: {type: Conv2D}}", ["conv_1"]),
        ("{last: '*'}", ["fc2"]),
        ("{last: {type: Conv2D}}", ["conv_2"]),
        ("{all: [{type: Dense}, {name: {glob: '*1'}}]}", ["fc1"]),
        ("{any: [{type: Dense}, {name: conv_2}]}", ["conv_2", "fc1", "fc2"]),
        ("{not: {type: Dense}}", ["conv_1", "conv_2"]),
        ("{produces_output: true}", ["fc2"]),
        ("{wrapped: false, trainable: true, calls: 1, type: Dense}", ["fc1", "fc2"]),
    ],
)
def test_what_a_matcher_selects(match, addresses):
    assert selected(GRAPH, match) == addresses


@pytest.mark.parametrize(
    ("match", "addresses"),
    [
        ("{name: {glob: 'conv_*'}}", ["conv_0"]),
        ("{name: {glob: '**conv_*'}}", ["conv_0", "net::conv_0"]),
        ("{name: 'net::conv_0'}", ["net::conv_0"]),
        ("{inside: {name: net}}", ["net::conv_0", "net::fc_in"]),
        ("{last: {type: Conv2D}}", ["net::conv_0"]),
    ],
)
def test_what_a_matcher_selects_in_nested_models(match, addresses):
    graph = build_graph("in > conv_0 > net > fc1", models={"net": "in_a > conv_0 > fc_in"})
    assert selected(graph, match) == addresses


def test_a_shared_layer_is_last_when_one_of_its_calls_is():
    graph = build_graph("in > shared:Dense > fc1 > shared > relu")
    assert selected(graph, "{last: '*'}") == ["shared"]
    assert selected(graph, "{first: '*'}") == ["shared"]


def test_keep_beats_prune():
    resolution = resolve(
        build_graph(LENET),
        prune("dense-90", "{type: Dense}"),
        keep("keep-classifier", "{last: {type: Dense}}"),
    )
    assert claims(resolution)[2] == ("predictions", "keep-classifier", (("dense-90", "keep"),))
    assert isinstance(resolution.claims[2].rule.action, Keep)
    assert resolution.diagnostics == ()


def test_an_overriding_rule_beats_others_even_one_that_keeps():
    rules = [
        prune("dense-90", "{type: Dense}"),
        keep("keep-last", "{last: {type: Dense}}"),
        prune("half", "{name: [fc2, predictions]}", "50%")[:-1]
        + ", overrides: [keep-last, dense-90]}",
    ]
    resolution = resolve(build_graph(LENET), *rules)
    assert claims(resolution) == [
        ("fc1", "dense-90", ()),
        ("fc2", "half", (("dense-90", "override"),)),
        ("predictions", "half", (("dense-90", "override"), ("keep-last", "override"))),
    ]
    assert list(map(str, resolution.diagnostics)) == [
        "warning[rule/shadowed]: rule 'keep-last' decides nothing: every layer that it matches is"
        " taken by 'half'\n  --> p.yaml:6:3\n  help: narrow the other match, or delete the rule"
    ]


def test_overriding_is_transitive_also_where_the_rule_between_does_not_match():
    rules = [
        prune("a", "{name: fc1}", "10%")[:-1] + ", overrides: b}",
        prune("b", "{name: fc2}", "20%")[:-1] + ", overrides: c}",
        prune("c", "{type: Dense}", "30%"),
    ]
    assert claims(resolve(build_graph(LENET), *rules)) == [
        ("fc1", "a", (("c", "override"),)),
        ("fc2", "b", (("c", "override"),)),
        ("predictions", "c", ()),
    ]


def test_rules_that_an_override_leaves_may_still_be_in_conflict():
    rules = [
        prune("a", "{name: fc1}", "10%")[:-1] + ", overrides: k}",
        prune("b", "{name: fc1}", "20%"),
        keep("k", "{name: fc1}"),
    ]
    assert "error[rule/conflict]: layer 'fc1' is claimed twice with different settings" in messages(
        build_graph(LENET), *rules
    )


def test_the_same_settings_are_recorded_under_the_alphabetically_first_rule():
    resolution = resolve(
        build_graph(LENET), prune("b", "{type: Dense}"), prune("a", "{name: fc1}", "0.9")
    )
    assert claims(resolution)[0] == ("fc1", "a", (("b", "same settings"),))
    assert (
        str(resolution.diagnostics[0])
        == "note[rule/same-settings]: rules 'a' and 'b' have the same settings for layer 'fc1'; 'a'"
        " is recorded\n  --> p.yaml:5:3"
    )


def test_the_order_of_rules_never_changes_the_result():
    rules = [
        prune("b", "{type: Dense}"),
        prune("c", "{name: fc1}", "0.9"),
        prune("d", "{name: fc2}", "0.5"),
        keep("a", "{last: {type: Dense}}"),
    ]
    results = [
        claims(resolve(build_graph(LENET), *order)) for order in itertools.permutations(rules)
    ]
    assert all(result == results[0] for result in results)
    assert results[0] == [
        ("fc1", "b", (("c", "same settings"),)),
        ("fc2", None, ()),
        ("predictions", "a", (("b", "keep"),)),
    ]


def test_a_conflict_of_a_pattern_and_a_sparsity_names_both():
    big = (
        "{id: big-dense, match: {type: Dense, params: {gte: 100k}}, prune: {pattern: {keep: 2, of:"
        " 4, along: in}, schedule: {curve: step, begin: 0 steps}}}"
    )
    assert messages(build_graph(LENET), big, prune("dense-90", "{type: Dense}")).startswith(
        "error[rule/conflict]: layer 'fc1' is claimed twice with different settings\n"
        "  --> p.yaml:5:3   big-dense   keep 2 of 4 along in, step\n"
        "  --> p.yaml:6:3   dense-90    90% unstructured, ramp\n"
        "  help: add 'overrides: [dense-90]' to big-dense, or narrow one match"
    )


def test_different_settings_on_one_layer_are_a_conflict_with_both_places():
    assert (
        messages(
            build_graph(LENET),
            prune("dense-90", "{type: Dense}"),
            prune("half", "{name: fc1}", "50%"),
        )
        == "error[rule/conflict]: layer 'fc1' is claimed twice with different settings\n"
        "  --> p.yaml:5:3   dense-90   90% unstructured, ramp\n"
        "  --> p.yaml:6:3   half       50% unstructured, ramp\n"
        "  help: add 'overrides: [dense-90]' to half, or narrow one match"
    )


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        pytest.param(
            keep("a", "{name: [fc1, fcc2]}"),
            "error[layer/unknown]: no layer has the address 'fcc2'\n  --> p.yaml:5:31\n  help:"
            " closest: 'fc2'.  All addresses: graphprune layers MODEL",
            id="layer-unknown",
        ),
        pytest.param(
            keep("a", "{name: 'conv_*'}"),
            "error[layer/unknown]: no layer has the address 'conv_*'\n  --> p.yaml:5:25\n"
            "  help: a plain name is compared as it is; for a pattern write {glob: 'conv_*'}",
            id="glob-as-name",
        ),
        pytest.param(
            keep("a", "{name: '^conv_.*$'}"),
            "error[layer/unknown]: no layer has the address '^conv_.*$'\n  --> p.yaml:5:25\n"
            "  help: a plain name is compared as it is; for a pattern write {regex: 'conv_.*'}",
            id="regex-as-name",
        ),
        pytest.param(
            keep("a", "{type: tf.keras.layers.Dense}"),
            "error[type/unknown]: no layer of the model has the type 'tf.keras.layers.Dense'\n  -->"
            " p.yaml:5:25\n  help: write 'Dense', without the module",
            id="type-with-module",
        ),
        pytest.param(
            keep("a", "{type: Conv}"),
            "error[rule/no-match]: rule 'a' matches no layer\n  --> p.yaml:5:3\n  help: Conv is a"
            " base class here; did you mean 'isa: Conv'?; write 'expect: {gte: 0}' if none is fine",
            id="base-as-type",
        ),
        pytest.param(
            keep("a", "{config: {padding: Same}}"),
            "error[rule/no-match]: rule 'a' matches no layer\n  --> p.yaml:5:3\n"
            "  help: 'padding' is valid (1), same (1); write 'expect: {gte: 0}' if none is fine",
            id="config-value",
        ),
        pytest.param(
            keep("a", "{params: {gte: 1M}}"),
            "error[rule/no-match]: rule 'a' matches no layer\n  --> p.yaml:5:3\n  help: the layers"
            " have from 72 to 8,192 prunable weights; write 'expect: {gte: 0}' if none is fine",
            id="params",
        ),
        pytest.param(
            keep("a", "{weight: {name: kernel, in: 8, dtype: float16}}"),
            "error[rule/no-match]: rule 'a' matches no layer\n  --> p.yaml:5:3\n  help: nearest:"
            " conv_2, whose kernel [3, 3, in 8, out 8] fails dtype; write 'expect: {gte: 0}' if"
            " none is fine",
            id="weight",
        ),
        pytest.param(
            keep("a", "{name: bn_1}"),
            "error[layer/not-prunable]: layer 'bn_1' (BatchNormalization) has no prunable weights\n"
            "  --> p.yaml:5:25\n  help: rules match only layers with prunable weights; delete the"
            " name",
            id="not-prunable",
        ),
        pytest.param(
            keep("a", "{type: Dence}"),
            "error[type/unknown]: no layer of the model has the type 'Dence'\n  --> p.yaml:5:25\n "
            " help: closest: 'Dense'",
            id="type-unknown",
        ),
        pytest.param(
            keep("a", "{type: Dense, config: {unit: 3}}"),
            "error[config/unknown-key]: no Dense layer of the model has the config key 'unit'\n "
            " --> p.yaml:5:41\n  help: closest: 'units'",
            id="config-unknown-key",
        ),
        pytest.param(
            keep("a", "{type: Embedding}"),
            "error[rule/no-match]: rule 'a' matches no layer\n  --> p.yaml:5:3\n  help: the model's"
            " prunable layers are 2 Conv2D, 2 Dense; write 'expect: {gte: 0}' if none is fine",
            id="no-match",
        ),
        pytest.param(
            keep("a", "{name: {regex: onv}}"),
            "error[rule/no-match]: rule 'a' matches no layer\n  --> p.yaml:5:3\n  help: a regex"
            " must match the whole address; did you mean '.*onv.*'? It finds 'conv_1', 'conv_2';"
            " write 'expect: {gte: 0}' if none is fine",
            id="regex-too-narrow",
        ),
        pytest.param(
            keep("a", "{type: Dense, params: {gt: 9k}}"),
            "error[rule/no-match]: rule 'a' matches no layer\n  --> p.yaml:5:3\n  help: nearest"
            " misses: fc1 (1 of 2; fails: params above 9,000 (is 8,192)), fc2 (1 of 2; fails:"
            " params above 9,000 (is 640)); write 'expect: {gte: 0}' if none is fine",
            id="near-misses",
        ),
        pytest.param(
            keep("a", "{type: Dense, not: {last: {type: Dense}}}")[:-1] + ", expect: 2}",
            "error[rule/count]: rule 'a' matches the wrong number of layers: wanted 2, got 1\n  -->"
            " p.yaml:5:3\n  help: nearest misses: conv_1 (1 of 2; fails: Dense (is Conv2D)), conv_2"
            " (1 of 2; fails: Dense (is Conv2D)), fc2 (1 of 2; fails: not last Dense); widen the"
            " match, or write 'expect: 1' if 1 is right",
            id="count",
        ),
        pytest.param(
            keep("a", "{type: Dense}")[:-1] + ", expect: 3}",
            "error[rule/count]: rule 'a' matches the wrong number of layers: wanted 3, got 2\n  -->"
            " p.yaml:5:3\n  help: the model's prunable layers are 2 Conv2D, 2 Dense; widen the"
            " match, or write 'expect: 2' if 2 is right",
            id="count-of-a-type",
        ),
        pytest.param(
            keep("a", "{any: [{name: {glob: 'conv_*'}}, {name: fc1}]}")[:-1] + ", expect: {gt: 3}}",
            "error[rule/count]: rule 'a' matches the wrong number of layers: wanted above 3, got"
            " 3\n  --> p.yaml:5:3\n  help: nearest misses by name: 'fc2'; correct the match, or"
            " write 'expect: 3' if 3 is right",
            id="count-of-names",
        ),
        pytest.param(
            prune("a", "{type: Dense}", more=", weights: [kernal]"),
            "error[layer/not-prunable]: rule 'a': none of its layers has a prunable tensor"
            " 'kernal'\n  --> p.yaml:5:3\n  help: closest: 'kernel'",
            id="weights",
        ),
    ],
)
def test_a_fault_between_rule_and_model(rule, message):
    assert messages(GRAPH, rule) == message


def test_a_name_may_stand_for_a_layer_without_weights_inside_a_relation():
    assert selected(GRAPH, "{not: {first: {name: bn_1}}}") == ["conv_1", "conv_2", "fc1", "fc2"]


def test_a_nested_model_cannot_be_claimed_by_name():
    graph = build_graph("in > net > fc1", models={"net": "in_a > conv_0"})
    assert (
        messages(graph, keep("a", "{name: net}"))
        == "error[layer/not-prunable]: layer 'net' (Functional) has no prunable weights\n  -->"
        " p.yaml:5:25\n  help: it is a nested model; match the layers in it: {glob: 'net::**'}"
    )


def test_a_frozen_layer_is_claimed_only_on_purpose():
    graph = build_graph("in > fc1(trainable=False) > fc2")
    assert (
        messages(graph, prune("a", "{type: Dense}"))
        == "error[layer/frozen]: rule 'a' prunes layer 'fc1', which is frozen (trainable: false)\n "
        " --> p.yaml:5:3\n  help: add 'trainable: true' to the match to leave frozen layers out,"
        " or 'trainable: false' if you mean them"
    )
    assert messages(graph, prune("a", "{type: Dense, trainable: true}")) == ""
    assert messages(graph, prune("a", "{type: Dense, trainable: false}")) == ""
    assert messages(graph, keep("a", "{type: Dense}")) == ""


def test_a_rule_whose_every_match_is_taken_is_shadowed():
    assert (
        messages(build_graph(LENET), prune("a", "{name: fc1}"), keep("b", "{type: Dense}"))
        == "warning[rule/shadowed]: rule 'a' decides nothing: every layer that it matches is taken"
        " by 'b'\n  --> p.yaml:5:3\n  help: narrow the other match, or delete the rule"
    )


def test_a_rule_with_a_name_that_is_none_is_not_called_shadowed_too():
    text = (
        "version: 1\nrules:\n- {id: a, match: {name: [fc, flatten]}, keep: true}\n- {id: b, match:"
        " {name: fc}, keep: true, overrides: [a]}\n"
    )
    found = resolve_rules(build_graph("in > flatten > fc"), parse_rules(text, "p.yaml")).diagnostics
    assert [fault.slug for fault in found] == ["layer/not-prunable"]


def test_where_no_weight_passes_a_test_the_largest_are_named():
    text = "version: 1\nrules:\n- {id: a, match: {weight: {in: {gte: 1M}}}, keep: true}\n"
    (found,) = resolve_rules(
        build_graph("in > fc > fc2[4, 9]"), parse_rules(text, "p.yaml")
    ).diagnostics
    assert (
        found.help
        == "the largest weights are kernel [in 4, out 9] of 'fc2', kernel [in 4, out 4] of 'fc';"
        " write 'expect: {gte: 0}' if none is fine"
    )
