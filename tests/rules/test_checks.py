"""`require`: checks on the model, and on the finished plan."""

from dataclasses import replace

import pytest
from builders import build_graph
from planned import plan_with
from rule_examples import EXAMPLE_3

from graphprune.errors import RuleError
from graphprune.plan import make_plan, plan_from_config, plan_to_config
from graphprune.rules import Matches, parse_rules, resolve_rules

GRAPH = build_graph(
    "in > conv_1[3,3,3,8] > relu_1 > conv_2[3,3,8,8] > gap > fc_1[8,600] > fc_2[600,4]"
)
KEEP = "rules: [{id: a, match: '*', keep: true}]"
HALF = (
    "rules: [{id: a, match: {type: Dense}, prune: {sparsity: 50%, schedule: {curve: step, begin: 0"
    " steps}}}]"
)


def plan(check, graph=GRAPH, rules=KEEP, **options):
    return plan_with(
        graph, parse_rules(f"version: 1\nrequire:\n- {check}\n{rules}", "p.yaml"), **options
    )


def fault(check, graph=GRAPH, rules=KEEP):
    with pytest.raises(RuleError) as caught:
        plan(check, graph, rules)
    return str(caught.value)


@pytest.mark.parametrize(
    "check",
    [
        "{id: r, count: {of: {type: Dense}, is: 2}}",
        "{id: r, count: {of: {type: [ReLU, Embedding]}, is: {lte: 1}}}",
        "{id: r, every: {type: Conv2D}, satisfies: {before: {type: Dense}}}",
        "{id: r, every: {type: Embedding}, satisfies: {type: Dense}}",
        "{id: r, covers: {from: inputs, by: {type: Conv2D}}}",
        "{id: r, covers: {from: inputs, by: {type: InputLayer}}}",
        "{id: r, covers: {from: outputs, by: {name: gap}}}",
        "{id: r, result: {sparsity: 0, of: '*'}}",
    ],
)
def test_a_check_that_holds_passes(check):
    made = plan(check)
    assert made.checks == (("r", "pass"),)
    assert plan_to_config(made)["checks"] == [{"id": "r", "status": "pass"}]


@pytest.mark.parametrize(
    ("check", "message"),
    [
        (
            "{id: r, count: {of: {type: Dense, params: {gte: 1k}}, is: 2}}",
            (
                "error[require/failed]: check 'r': wanted 2 of Dense, and params at least 1,000,"
                " got 3 (layers 'fc_1', 'fc_2' and 'fc_3')"
            ),
        ),
        (
            "{id: r, count: {of: {type: Embedding, trainable: true}, is: {gte: 1}}}",
            (
                "error[require/failed]: check 'r': wanted at least 1 of Embedding, and trainable:"
                " true, got 0\n  --> p.yaml:3:3\n  help: nearest: conv_1 (Conv2D) holds 1 of 2"
                " conditions; fails Embedding (is Conv2D)"
            ),
        ),
        (
            (
                "{id: r, every: {type: Dense}, satisfies: {params: {gte: 4k}, fed_by: {isa: Dense,"
                " config: {use_bias: false}}}, message: too small}"
            ),
            (
                "error[require/failed]: check 'r': layers 'fc_1', 'fc_2' and 'fc_3' (3 of 3 in"
                " Dense) should be params at least 4,000, and fed_by (isa Dense, and use_bias:"
                " false); too small\n  --> p.yaml:3:3\n  help: fc_1 (Dense) holds 1 of 2"
                " conditions; fails fed_by isa Dense (is GlobalAveragePooling2D); fc_2 (Dense)"
                " holds 0 of 2 conditions; fails params at least 4,000 (is 2,400), fed_by isa Dense"
                " with use_bias: false (is true); fc_3 (Dense) holds 0 of 2 conditions; fails"
                " params at least 4,000 (is 2,400), fed_by isa Dense with use_bias: false (is true)"
            ),
        ),
        (
            "{id: r, covers: {from: inputs, by: {name: fc_2}}}",
            (
                "error[require/failed]: check 'r': a path from the inputs forward meets no layer"
                " that matches name 'fc_2': in > conv_1 > relu_1 > ... > gap > fc_1 > fc_3"
            ),
        ),
        (
            "{id: r, covers: {from: outputs, by: {weight: {in: 600}, not: {name: fc_2}}}}",
            (
                "error[require/failed]: check 'r': a path from the outputs backward meets no layer"
                " that matches weight in 600, and not name 'fc_2': fc_2 < fc_1 < gap < ... < relu_1"
                " < conv_1 < in\n  --> p.yaml:3:3\n  help: nearest: conv_1 (Conv2D) holds 1 of 2"
                " conditions; fails weight in 600 (is kernel [3, 3, in 3, out 8])"
            ),
        ),
    ],
)
def test_a_check_that_fails_says_where_and_what_is_nearest(check, message):
    graph = build_graph(
        "in > conv_1[3,3,3,8] > relu_1 > conv_2[3,3,8,8] > gap > fc_1[8,600] > fc_2[600,4] ; fc_1 >"
        " fc_3[600,4]"
    )
    assert fault(check, graph).startswith(message)
    assert fault(check, graph).split("\n")[1] == "  --> p.yaml:3:3"


def test_a_check_that_only_warns_lets_the_plan_be_made():
    made = plan("{id: r, severity: warn, count: {of: {type: Dense}, is: 1}}")
    assert made.checks == (("r", "warn"),)
    assert [str(found) for found in made.diagnostics] == [
        "warning[require/failed]: check 'r': wanted 1 of Dense, got 2 (layers 'fc_1' and 'fc_2')\n "
        " --> p.yaml:3:3\n  help: change the model or the check; graphprune layers MODEL --match"
        " shows what a matcher finds"
    ]
    assert plan_from_config(plan_to_config(made)).checks == made.checks


def test_result_looks_at_the_finished_plan():
    assert plan(
        "{id: r, result: {sparsity: {gte: 50%}, of: {type: Dense}}}", rules=HALF
    ).checks == (("r", "pass"),)
    assert (
        fault("{id: r, result: {sparsity: {gte: 80%}, of: '*'}, message: too dense}", rules=HALF)
        == "error[require/failed]: check 'r': wanted a sparsity of at least 80% over *, got"
        " 45.045%; too dense\n  --> p.yaml:3:3\n  help: most weights left: fc_1 (50% of 4,800),"
        " fc_2 (50% of 2,400), conv_2 (0% of 576)"
    )


def test_result_counts_measured_zeros_of_layers_that_the_plan_leaves_alone():
    zeros = {
        (name, "kernel"): GRAPH.layers[name].tensors[0].size for name in ("conv_1", "conv_2")
    } | {("fc_1", "kernel"): 0, ("fc_2", "kernel"): 0}
    assert plan(
        "{id: r, result: {sparsity: {gte: 99%}, of: {type: Conv2D}}}", zeros=zeros
    ).checks == (("r", "pass"),)


def test_result_over_no_layer_is_a_failure():
    assert (
        fault("{id: r, result: {sparsity: {gte: 80%}, of: {type: Embedding, trainable: true}}}")
        == "error[require/failed]: check 'r': no layer with prunable weights is Embedding, and"
        " trainable: true\n  --> p.yaml:3:3\n  help: nearest: conv_1 (Conv2D) holds 1 of 2"
        " conditions; fails Embedding (is Conv2D)"
    )


def test_covers_looks_at_every_branch_and_at_outputs_in_the_middle():
    two = build_graph("in_a > conv_1 ; in_b > relu_1 ; conv_1 + relu_1 > add_1 > gap > fc")
    assert "meets no layer that matches Conv2D: in_b > relu_1 > add_1 > gap > fc\n" in fault(
        "{id: r, covers: {from: inputs, by: {type: Conv2D}}}", two
    )
    assert plan("{id: r, covers: {from: inputs, by: {type: [Conv2D, ReLU]}}}", two).checks == (
        ("r", "pass"),
    )
    assert "meets no layer that matches ReLU: fc < gap < add_1 < conv_1 < in_a\n" in fault(
        "{id: r, covers: {from: outputs, by: {type: ReLU}}}", two
    )
    middle = replace(GRAPH, output_calls=(("relu_1", 0), ("fc_2", 0)))
    assert "meets no layer that matches Dense: in > conv_1 > relu_1\n" in fault(
        "{id: r, covers: {from: inputs, by: {type: Dense}}}", middle
    )
    shared = build_graph("in > shared:Dense > fc_1 > shared > relu")
    assert plan("{id: r, covers: {from: outputs, by: {name: shared}}}", shared).checks == (
        ("r", "pass"),
    )


@pytest.mark.parametrize(
    ("check", "message"),
    [
        (
            "{count: {of: '*', is: 1}}",
            (
                "error[key/missing]: check 1: the key 'id' is missing\n  --> p.yaml:3:3\n"
                "  help: add one, such as 'id: has-dense'; plans list checks by id"
            ),
        ),
        (
            "{id: r, every: '*'}",
            (
                "error[key/missing]: check 'r': the key 'satisfies' is missing beside 'every'\n "
                " --> p.yaml:3:3\n  help: add what each of those layers must match: 'satisfies:"
                " {type: Conv2D}'"
            ),
        ),
        (
            "{id: r, satisfies: '*'}",
            (
                "error[key/missing]: check 'r': the key 'every' is missing beside 'satisfies'\n "
                " --> p.yaml:3:3\n  help: add which layers must match it: 'every: {after: {type:"
                " Conv2D}}'"
            ),
        ),
        (
            "{id: r}",
            (
                "error[value/range]: check 'r': must have exactly one of count, every (with"
                " satisfies), covers and result, got none of them\n  --> p.yaml:3:3\n  help: add"
                " one, such as 'count: {of: {type: Dense}, is: {gte: 1}}'"
            ),
        ),
        (
            "{id: r, count: {of: '*', is: 1}, every: '*', satisfies: '*'}",
            (
                "error[value/range]: check 'r': must have exactly one of count, every (with"
                " satisfies), covers and result, got count beside every\n  --> p.yaml:3:3\n  help:"
                " make an entry of each"
            ),
        ),
        (
            "{id: r, count: {is: 1}}",
            (
                "error[key/missing]: check 'r': the key 'of' is missing in count\n  -->"
                " p.yaml:3:18\n  help: add it, such as 'of: {type: Dense}'"
            ),
        ),
        (
            "{id: r, count: {type: Dense, is: 1}}",
            (
                "error[key/unknown]: check 'r': unknown key 'type' in count\n  --> p.yaml:3:19\n"
                "  help: it belongs inside 'of', such as 'of: {type: Dense}'; known keys: of, is"
            ),
        ),
        (
            "{id: r, count: {of: '*', is: 1}, severity: warning}",
            (
                "error[value/range]: check 'r': severity must be one of error, warn, got"
                " 'warning'\n  --> p.yaml:3:46\n  help: write 'severity: warn'"
            ),
        ),
        (
            "{id: r, covers: {from: input, by: '*'}}",
            (
                "error[value/range]: check 'r': from must be one of inputs, outputs, got 'input'\n "
                " --> p.yaml:3:26\n  help: closest: 'inputs'"
            ),
        ),
        (
            "{id: r, result: {of: '*', sparsity: 120%}}",
            (
                "error[value/range]: check 'r': sparsity must be at least 0% and below 100%, got"
                " '120%'\n  --> p.yaml:3:39\n  help: it is the share of zeros: 0.9 or 90% leaves"
                " one weight in ten"
            ),
        ),
        (
            "{id: r, count: {of: {use: steem}, is: 1}}\nselectors: {stem: '*'}",
            (
                "error[selector/unknown]: check 'r': use must name a selector that is defined, got"
                " 'steem'\n  --> p.yaml:3:29\n  help: closest: 'stem'"
            ),
        ),
        (
            "{id: r, count: {of: '*', is: 4}}\n- {id: r, count: {of: '*', is: 4}}",
            (
                "error[id/duplicate]: the check 'r' is defined twice\n  --> p.yaml:4:8\n  help:"
                " first at p.yaml:3:8; ids are unique over all files: rename one"
            ),
        ),
    ],
)
def test_a_fault_of_a_check(check, message):
    assert fault(check) == message


def test_a_name_in_a_check_that_the_model_lacks_is_a_fault():
    assert (
        fault("{id: r, count: {of: {name: fcc_1}, is: {gte: 0}}}")
        == "error[layer/unknown]: no layer has the address 'fcc_1'\n  --> p.yaml:3:30\n  help:"
        " closest: 'fc_1', 'fc_2'.  All addresses: graphprune layers MODEL"
    )


POINTWISE = "kernel_size=[1,1],strides=[1,1],padding='same',dilation_rate=[1,1],groups=1"
DEPTHWISE = "kernel_size=[3,3],strides=[1,1],padding='same',dilation_rate=[1,1],depth_multiplier=1"
TOY = (
    "in > pad(padding=[[1,1],[1,1]]) >"
    " conv_stem(kernel_size=[3,3],strides=[2,2],padding='valid')[3,3,3,8] >"
    f" depthwise_1({DEPTHWISE})[3,3,8,1] > conv_project_1({POINTWISE})[1,1,8,8] >"
    f" conv_expand_2({POINTWISE})[1,1,8,16] > relu_2 > depthwise_2({DEPTHWISE})[3,3,16,1] >"
    f" conv_project_2({POINTWISE})[1,1,16,8] ; conv_project_1 + conv_project_2 > add_2 >"
    f" gap(keepdims=True) > conv_head({POINTWISE})[1,1,8,10] > flatten > fc[10,4]"
)


def test_example_3_prunes_the_pointwise_convolutions_of_a_bounded_body():
    rules = parse_rules(EXAMPLE_3, "prune.yaml")
    graph = build_graph(TOY)
    made = make_plan(graph, rules)
    assert made.checks == (
        ("stem-on-every-input", "pass"),
        ("pool-on-every-output", "pass"),
        ("body-runs-sparse", "pass"),
    )
    assert [change.address for change in made.changes if change.is_change] == [
        "conv_project_1",
        "conv_expand_2",
        "conv_project_2",
    ]
    body = Matches(graph).of(
        next(selector for selector in rules.selectors if selector.name == "body")
    )
    assert sorted(body) == [
        "add_2",
        "conv_expand_2",
        "conv_project_1",
        "conv_project_2",
        "depthwise_1",
        "depthwise_2",
        "relu_2",
    ]
    wherever = parse_rules(
        EXAMPLE_3.replace(
            "{use: pointwise, between: {after: {use: stem}, before: {use: pool}}}",
            "{use: pointwise}",
        ),
        "prune.yaml",
    )
    everywhere = [
        change.address for change in make_plan(graph, wherever).changes if change.is_change
    ]
    assert everywhere == ["conv_project_1", "conv_expand_2", "conv_project_2", "conv_head"]


def test_example_3_names_the_layer_of_the_body_that_would_run_dense():
    graph = build_graph(TOY.replace("relu_2", "relu_2:Softmax"))
    found = [
        str(fault)
        for fault in resolve_rules(graph, parse_rules(EXAMPLE_3, "prune.yaml")).diagnostics
        if fault.slug == "require/failed"
    ]
    assert found == [
        "error[require/failed]: check 'body-runs-sparse': layer 'relu_2' (1 of 7 in body) should be"
        " runs-sparse; the sparse kernels would not be used for this layer\n  --> prune.yaml:48:5\n"
        "  help: relu_2 (Softmax) fails Add or Multiply or ZeroPadding2D or ReLU or LeakyReLU or"
        " ELU or Dropout (is Softmax)"
    ]
