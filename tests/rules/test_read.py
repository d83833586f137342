import textwrap

import pytest

from graphprune.diagnostics.diagnostic import Where
from graphprune.errors import RuleError
from graphprune.rules import Keep, Prune, parse_rules, read_rules
from graphprune.rules.matchers.keys import MatcherShape
from graphprune.rules.matchers.number_test import NumberTest
from graphprune.rules.text.shape import keys_of
from graphprune.sparsity.positions import Position
from graphprune.sparsity.schedules import Schedule

SECTIONS = "version, vars, layers, schedules, selectors, require, budgets, defaults, rules"
HEAD = "version: 1\nschedules: {once: {curve: step, begin: 0 steps}}\n"


def faults(text, **variables):
    with pytest.raises(RuleError) as caught:
        parse_rules(textwrap.dedent(text), "p.yaml", variables)
    return str(caught.value)


def rule_faults(rules, **variables):
    """The faults of a file with two lines before its rules; `rules` is a flow mapping, at line 3,
    column 9.
    """
    return faults(f"{HEAD}rules: [{rules}]\n", **variables)


def good(text, **variables):
    return parse_rules(textwrap.dedent(text), "p.yaml", variables)


def test_a_rule_file_becomes_typed_rules_with_places():
    rules = good("""\
        version: 1
        schedules:
          ramp: {curve: polynomial, power: 2, from: 10%, begin: 0 epochs, end: 4 epochs,
                 every: 100 steps}
        rules:
          - id: dense-90
            note: hidden
            match: {type: Dense}
            prune: {sparsity: 90%, schedule: ramp, weights: kernel}
            expect: {gte: 2, lt: 1k}
          - id: rest
            match: "*"
            keep: true
        """)
    dense, rest = rules.rules
    ramp = Schedule(
        "polynomial",
        Position(0, "epoch"),
        Position(4, "epoch"),
        Position(100, "step"),
        0.1,
        2.0,
        "ramp",
    )
    assert dense.action == Prune(0.9, ramp, weights=("kernel",))
    assert (dense.id, dense.note, dense.where, dense.expect) == (
        "dense-90",
        "hidden",
        Where("p.yaml", 6, 5),
        NumberTest(gte=2, lt=1000),
    )
    assert (rest.action, rest.expect) == (Keep(), NumberTest(gte=1))


def test_a_json_file_reads_the_same_way():
    text = '{"version": 1, "rules": [{"id": "a", "match": {"name": ["x"]}, "keep": true}]}'
    assert good(text).rules[0].id == "a"


def test_variables_keep_the_type_of_their_default_and_can_be_overridden():
    text = """\
        version: 1
        vars: {final: 0.9, kind: Dense}
        rules:
        - id: a
          match: {type: "${kind}"}
          prune: {sparsity: "${final}", schedule: {curve: step, begin: 0 steps}}
        """
    assert good(text).rules[0].action.sparsity == 0.9
    rules = good(text, final="0.8")
    assert rules.rules[0].action.sparsity == 0.8
    assert rules.variables == {"final": 0.8, "kind": "Dense"}


def test_aliases_work_and_keys_with_x_are_a_place_for_anchors():
    text = "version: 1\nx-place: &m {type: Dense}\nrules:\n- {id: a, match: *m, keep: true}\n"
    assert good(text).rules[0].matcher == good(text.replace("*m", "{type: Dense}")).rules[0].matcher


def test_files_share_schedules_and_are_hashed(tmp_path):
    (tmp_path / "a.yaml").write_text(HEAD)
    (tmp_path / "b.yaml").write_text(
        "version: 1\nrules: [{id: a, match: '*', prune: {sparsity: 0.5, schedule: once}}]"
    )
    rules = read_rules(tmp_path / "a.yaml", tmp_path / "b.yaml")
    assert rules.rules[0].action.schedule.name == "once"
    assert [(path, len(sha)) for path, sha in rules.files] == [
        (str(tmp_path / "a.yaml"), 64),
        (str(tmp_path / "b.yaml"), 64),
    ]


@pytest.mark.parametrize(
    ("written", "sparsity"),
    [("0.9", 0.9), ("90%", 0.9), ("0", 0.0), ("33.3 %", 0.333), ("0.0%", 0.0)],
)
def test_sparsity_is_a_share_or_a_percentage(written, sparsity):
    rules = good(
        f"{HEAD}rules: [{{id: a, match: '*', prune: {{sparsity: {written}, schedule: once}}}}]"
    )
    assert rules.rules[0].action.sparsity == sparsity


PRUNE = "prune: {sparsity: 0.5, schedule: once}"
MATCHERS = ", ".join(keys_of(MatcherShape))  # tests/golden/rule_messages.txt pins them


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param(
            "version: 1\nrules: [a: {\n",
            "error[yaml/syntax]: not readable as YAML: expected the node content, but found"
            " '<stream end>'\n  --> p.yaml:3:1\n  help: the text ends too early; close every"
            " bracket, and write a value after every key",
            id="yaml-syntax",
        ),
        pytest.param(
            "version: 1\nrules: {sparsity: ${final}}\n",
            "error[yaml/syntax]: not readable as YAML: expected ',' or '}', but got '{'\n  -->"
            ' p.yaml:2:20\n  help: put quotes around a variable: "${name}"',
            id="bare-variable",
        ),
        pytest.param(
            f"{HEAD}version: 1\nrules: [{{id: a, match: '*', keep: true}}]\n",
            "error[yaml/duplicate-key]: the key 'version' appears twice in one mapping\n  -->"
            " p.yaml:3:1\n  help: first at p.yaml:1:1; delete or rename one",
            id="duplicate-key",
        ),
        pytest.param(
            f"{HEAD}rule: []\n",
            "error[key/unknown]: unknown key 'rule'\n  --> p.yaml:3:1\n  help: closest: 'rules';"
            f" known keys: {SECTIONS}",
            id="unknown-key",
        ),
        pytest.param(
            f"{HEAD}rules: [{{id: a, <<: {{keep: true}}, match: '*', keep: true}}]\n",
            "error[key/unknown]: merge keys '<<' are not supported in rule files\n  -->"
            " p.yaml:3:17\n  help: write shared fields under 'defaults', and shared matchers under"
            " 'selectors', and refer to them with 'use'",
            id="merge-key",
        ),
        pytest.param(
            "version: 2\nrulez: 3\n",
            "error[value/range]: version must be 1, got 2\n  --> p.yaml:1:10\n  help: this"
            " graphprune reads version 1 of the rule language\n\nerror[key/unknown]: unknown key"
            " 'rulez'\n  --> p.yaml:2:1\n  help: closest: 'rules'; known keys: version, vars,"
            " layers, schedules, selectors, require, budgets, defaults, rules",
            id="other-version",
        ),
        pytest.param(
            "",
            "error[value/type]: a rule file must be a mapping, got nothing\n  --> p.yaml:1:1\n "
            " help: begin with 'version: 1' and a list 'rules'; graphprune rules lists the files"
            " that ship, as examples",
            id="empty-file",
        ),
        pytest.param(
            "version: 1\n",
            "error[key/missing]: there are no rules\n  --> p.yaml:1:1\n  help: add a list 'rules'"
            " with entries such as {id: dense-90, match: {type: Dense}, prune: ...}",
            id="no-rules",
        ),
    ],
)
def test_a_fault_of_the_file(text, message):
    assert faults(text) == message


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        pytest.param(
            "{id: a, match: {tpye: Dense}, keep: true}",
            "error[key/unknown]: rule 'a': unknown key 'tpye' in match\n  --> p.yaml:3:25\n  help:"
            f" closest: 'type'; known keys: {MATCHERS}",
            id="matcher-key",
        ),
        pytest.param(
            "{match: '*', keep: true}",
            "error[key/missing]: rule 1: the key 'id' is missing\n  --> p.yaml:3:9\n  help: add"
            " one, such as 'id: dense-90'; wrapped layers remember it",
            id="id-missing",
        ),
        pytest.param(
            "{id: a, match: '*', prune: {sparsity: high, schedule: once}}",
            "error[value/type]: rule 'a': sparsity must be a share such as 0.9 or 90%, got 'high'\n"
            "  --> p.yaml:3:47",
            id="value-type",
        ),
        pytest.param(
            "{id: a, match: '*', prune: {sparsity: 1.2, schedule: once}}",
            "error[value/range]: rule 'a': sparsity must be at least 0 and below 1, got 1.2\n  -->"
            " p.yaml:3:47\n  help: it is the share of zeros: 0.9 or 90% leaves one weight in ten",
            id="value-range",
        ),
        pytest.param(
            "{id: a, match: '*', prune: {sparsity: 90, schedule: once}}",
            "error[value/range]: rule 'a': sparsity must be at least 0 and below 1, got 90\n  -->"
            " p.yaml:3:47\n  help: did you mean 90%?",
            id="percent-forgotten",
        ),
        pytest.param(
            "{id: a, match: {name: {regex: 'b['}}, keep: true}",
            "error[regex/invalid]: rule 'a': regex is not a regular expression: missing ] at '[',"
            " got 'b['\n  --> p.yaml:3:39\n  help: write for example 'regex: \"block_[0-9]+\"'",
            id="regex",
        ),
        pytest.param(
            "{id: a, match: '*', prune: {sparsity: 0.5, schedule: onec}}",
            "error[schedule/unknown]: rule 'a': schedule must name a schedule that is defined, got"
            " 'onec'\n  --> p.yaml:3:62\n  help: closest: 'once'",
            id="schedule-unknown",
        ),
        pytest.param(
            "{id: a, match: '*', prune: {sparsity: 0.5, schedule: {curve: step, begin: 5}}}",
            "error[schedule/unit]: rule 'a': begin needs one of the units epochs, steps or %, got"
            " 5\n  --> p.yaml:3:83\n  help: write '4 epochs', '2000 steps' or '60%' (of the run)",
            id="schedule-unit",
        ),
        pytest.param(
            "{id: a, match: '*', prune: {sparsity: 0.5, schedule: {curve: linear, begin: 5"
            " epochs}}}",
            "error[value/range]: rule 'a': a linear schedule needs an end\n  --> p.yaml:3:62\n "
            " help: add it, such as 'end: 4 epochs'",
            id="schedule-without-end",
        ),
        pytest.param(
            "{id: a, match: '*', prune: {sparsity: 0.5, schedule: {curve: step, power: 3}}}",
            "error[value/range]: rule 'a': power has no meaning for the curve step\n  -->"
            " p.yaml:3:83\n  help: only polynomial schedules have one; delete it",
            id="power-of-a-step",
        ),
        pytest.param(
            "{id: a, match: '*', prune: {sparsity: 20%, schedule: {curve: linear, from: 30%, end: 5"
            " steps}}}",
            "error[value/range]: rule 'a': sparsity 0.2 is below the 0.3 that its schedule begins"
            " from\n  --> p.yaml:3:47\n  help: sparsity never falls; lower 'from' of the schedule,"
            " or raise the sparsity",
            id="falling",
        ),
        pytest.param(
            f"{{id: a, match: {{type: Dense, not: {{type: Dense}}}}, {PRUNE}}}",
            "error[match/contradiction]: rule 'a': match cannot hold for any layer: 'Dense' and"
            " 'not Dense' exclude each other\n  --> p.yaml:3:24\n  help: delete one of them, or put"
            " them under 'any' where one is enough",
            id="contradiction",
        ),
        pytest.param(
            "{id: a, match: {params: {gte: 2M, lt: 1k}}, keep: true}",
            "error[match/contradiction]: rule 'a': params cannot hold for any number: at least"
            " 2,000,000 and below 1,000\n  --> p.yaml:3:33\n  help: change one of the bounds",
            id="no-number",
        ),
        pytest.param(
            "{id: a, match: '*', keep: true}, {id: a, match: '*', keep: true}",
            "error[id/duplicate]: the rule 'a' is defined twice\n  --> p.yaml:3:47\n  help: first"
            " at p.yaml:3:14; ids are unique over all files: rename one",
            id="id-duplicate",
        ),
        pytest.param(
            "{id: a, match: '*'}",
            "error[key/missing]: rule 'a': the key 'prune', or 'keep', is missing\n  -->"
            " p.yaml:3:9\n  help: write 'prune: {sparsity: 90%, schedule: ...}', or 'keep: true' to"
            " leave the layers dense",
            id="no-action",
        ),
        pytest.param(
            "{id: a, match: Dense, keep: true}",
            "error[value/type]: rule 'a': match must be a mapping of conditions, such as {name:"
            " conv_1}, or \"*\", got 'Dense'\n  --> p.yaml:3:24\n  help: write 'match: {type:"
            " Dense}'",
            id="match-text",
        ),
        pytest.param(
            "{id: a, match: {name: }, keep: true}",
            "error[value/type]: rule 'a': name must be an address, a list of addresses, {glob: ...}"
            " or {regex: ...}, got nothing\n  --> p.yaml:3:25\n  help: write for example 'name:"
            ' {glob: "block_*"}\'',
            id="empty-condition",
        ),
        pytest.param(
            '{id: a, match: "*", prune: {sparsity: 0.5, schedule: once, pattern: "2:4"}}',
            "error[value/range]: rule 'a': pattern must say what is kept, got '2:4'\n  -->"
            " p.yaml:3:77\n  help: some pruning tools read N as kept, others as"
            " pruned; for 1:4 that is 75% or 25%.  Write {keep: 2, of: 4, along: in} (2 zeros in"
            " each 4)",
            id="pattern",
        ),
        pytest.param(
            '{id: a, match: {type: "${kind}"}, keep: true}',
            "error[var/unknown]: no variable is named 'kind'\n  --> p.yaml:3:31\n  help: define it"
            " under 'vars'",
            id="var-unknown",
        ),
        pytest.param(
            '{id: a, match: "*", prune: {sparsity: "${final}", schedule: once}}',
            "error[var/unknown]: no variable is named 'final'\n  --> p.yaml:3:47\n  help: define it"
            " under 'vars'",
            id="var-unknown-says-it-once",
        ),
        pytest.param(
            "{id: a, match: {type: 'x${kind}'}, keep: true}",
            "error[value/type]: a variable must be the whole value, got 'x${kind}'\n  -->"
            " p.yaml:3:31\n  help: make the whole text one variable; text is not put together"
            " from parts",
            id="var-inside",
        ),
        pytest.param(
            "{id: a, match: {config: {units: {above: 3}}}, keep: true}",
            "error[key/unknown]: rule 'a': unknown key 'above' in units\n  --> p.yaml:3:42\n"
            "  help: did you mean 'gt'?; known keys: in, not, regex, gt, gte, lt, lte, exists",
            id="config-test",
        ),
    ],
)
def test_a_fault_of_a_rule(rule, message):
    assert rule_faults(rule) == message


def test_an_override_of_an_unknown_variable_names_the_closest():
    text = "version: 1\nvars: {final: 0.9}\nrules: [{id: a, match: '*', keep: true}]"
    assert (
        faults(text, finl="1")
        == "error[var/unknown]: no variable is named 'finl'\n  --> --var finl=1\n  help: closest:"
        " 'final'"
    )
    assert (
        faults(text, final="x")
        == "error[value/type]: variable 'final' must be a number like its default 0.9, got 'x'\n "
        " --> --var final=x"
    )


SHARE = (
    "version: 1\nvars: {f: DEFAULT}\nrules: [{id: a, match: '*', prune: {sparsity: '${f}',"
    " schedule: {curve: step, begin: 0 steps}}}]"
)


@pytest.mark.parametrize(
    ("default", "override", "sparsity"),
    [("0.5", "90%", 0.9), ("0", "90 %", 0.9), ("90%", "0.8", 0.8), ("90%", "80%", 0.8)],
)
def test_an_override_of_a_share_may_be_written_either_way(default, override, sparsity):
    assert good(SHARE.replace("DEFAULT", default), f=override).rules[0].action.sparsity == sparsity


def test_a_percentage_is_no_override_of_a_number_that_is_no_share():
    text = "version: 1\nvars: {f: 3}\nrules: [{id: a, match: '*', keep: true}]"
    assert (
        faults(text, f="90%")
        == "error[value/type]: variable 'f' must be a number like its default 3, got '90%'\n  -->"
        " --var f=90%"
    )


def test_two_actions_are_told_together_with_the_faults_in_them():
    assert rule_faults(
        "{id: a, match: '*', keep: true, prune: {sparsity: 2, schedule: once}}"
    ).split("\n") == [
        "error[value/range]: rule 'a': must have exactly one of 'prune' and 'keep', got both",
        "  --> p.yaml:3:9",
        "  help: delete one of them",
        "",
        "error[value/range]: rule 'a': sparsity must be at least 0 and below 1, got 2",
        "  --> p.yaml:3:59",
        "  help: did you mean 2%?",
    ]


def test_a_file_given_twice_and_an_empty_name_are_said_so(tmp_path):
    (tmp_path / "a.yaml").write_text("version: 1\nrules: [{id: a, match: '*', keep: true}]")
    with pytest.raises(RuleError) as caught:
        read_rules(str(tmp_path / "a.yaml"), tmp_path / "a.yaml")
    assert (
        str(caught.value)
        == f"error[id/duplicate]: the rule file is given 2 times\n  --> {tmp_path}/a.yaml\n  help:"
        " give it once"
    )
    again = f"{tmp_path}/../{tmp_path.name}/a.yaml"
    with pytest.raises(RuleError) as caught:
        read_rules(str(tmp_path / "a.yaml"), again)
    assert (
        str(caught.value)
        == f"error[id/duplicate]: the rule file is given 2 times, also as {again!r}\n  -->"
        f" {tmp_path}/a.yaml\n  help: give it once"
    )
    with pytest.raises(RuleError) as caught:
        read_rules("")
    assert (
        str(caught.value)
        == "error[file/unreadable]: the name of the rule file is empty\n  --> ''\n  help: give the"
        " path of a file; is a shell variable unset?"
    )


def test_all_faults_come_in_one_run_sorted_by_place():
    text = """\
        version: 1
        schedules:
          ramp: {curve: cubic}
        rules:
          - {id: a, match: {tpye: Dense}, keep: true}
          - {id: a, match: {type: Dense, not: {type: Dense}}, prune: {sparsity: 2, schedule: rmp}}
          - {id: b, match: {type: Dense, not: {type: Dense}}, keep: true}
        """
    found = [line for line in faults(text).splitlines() if line.startswith(("error", "  -->"))]
    assert found == [
        (
            "error[value/range]: schedule 'ramp': curve must be one of constant, linear,"
            " polynomial, exponential, step, points, got 'cubic'"
        ),
        "  --> p.yaml:3:17",
        "error[key/unknown]: rule 'a': unknown key 'tpye' in match",
        "  --> p.yaml:5:21",
        "error[id/duplicate]: the rule 'a' is defined twice",
        "  --> p.yaml:6:10",
        (
            "error[match/contradiction]: rule 'a': match cannot hold for any layer: 'Dense' and"
            " 'not Dense' exclude each other"
        ),
        "  --> p.yaml:6:20",
        "error[value/range]: rule 'a': sparsity must be at least 0 and below 1, got 2",
        "  --> p.yaml:6:73",
        (
            "error[schedule/unknown]: rule 'a': schedule must name a schedule that is defined, got"
            " 'rmp'"
        ),
        "  --> p.yaml:6:86",
        (
            "error[match/contradiction]: rule 'b': match cannot hold for any layer: 'Dense' and"
            " 'not Dense' exclude each other"
        ),
        "  --> p.yaml:7:20",
    ]


def test_a_name_that_two_files_define_differently_is_a_fault(tmp_path):
    (tmp_path / "a.yaml").write_text(HEAD)
    (tmp_path / "b.yaml").write_text(
        HEAD.replace("0 steps", "5 steps") + "rules: [{id: a, match: '*', keep: true}]"
    )
    with pytest.raises(RuleError) as caught:
        read_rules(tmp_path / "a.yaml", tmp_path / "b.yaml")
    assert (
        str(caught.value) == "error[id/duplicate]: the schedule 'once' is defined twice\n  -->"
        f" {tmp_path}/b.yaml:2:13\n"
        f"  help: first at {tmp_path}/a.yaml:2:13; the files define it differently: rename one"
    )


def read_fault(path):
    with pytest.raises(RuleError) as caught:
        read_rules(path)
    return str(caught.value).replace(str(path), "PATH")


def test_files_that_are_no_rule_files(tmp_path):
    assert (
        read_fault(tmp_path / "none.yaml")
        == "error[file/unreadable]: no such rule file\n  --> PATH\n  help: check the path; files"
        " that ship with graphprune are named builtin:NAME (graphprune rules lists them)"
    )
    (tmp_path / "prune.yaml").write_text("version: 1\n")
    assert (
        read_fault(tmp_path / "prun.yaml")
        == "error[file/unreadable]: no such rule file\n  --> PATH\n  help: did you mean"
        f" {tmp_path}/prune.yaml?"
    )
    assert (
        read_fault("dens-90")
        == "error[file/unreadable]: no such rule file\n  --> PATH\n  help: did you mean"
        " builtin:dense-90? (graphprune rules lists the files that ship)"
    )
    assert (
        read_fault(tmp_path)
        == "error[file/unreadable]: a folder, not a rule file\n  --> PATH\n  help: name the .yaml"
        " file inside it"
    )
    (tmp_path / "latin.yaml").write_bytes(b"version: 1\n# caf\xe9\n")
    assert (
        read_fault(tmp_path / "latin.yaml")
        == "error[file/unreadable]: not text in UTF-8\n  --> PATH:2\n  help: save it as UTF-8; is"
        " this a model?"
    )
    (tmp_path / "big.yaml").write_bytes(b"#" * 1_000_001)
    assert (
        read_fault(tmp_path / "big.yaml")
        == "error[file/unreadable]: larger than 1,000,000 bytes\n  --> PATH\n  help: a rule file is"
        " a page or two of text; is this a model?"
    )


def test_texts_made_to_exhaust_the_reader_are_refused():
    bomb = "a: &b0 [x]\n" + "".join(
        f"c{i}: &b{i} [{', '.join([f'*b{i - 1}'] * 9)}]\n" for i in range(1, 9)
    )
    assert (
        faults(bomb)
        == "error[yaml/syntax]: not readable as YAML: its aliases expand to more than 200,000"
        " values\n  --> p.yaml:7:1\n  help: write the repeated part out, or use fewer aliases"
    )
    assert (
        faults("a: &a [*a]")
        == "error[yaml/syntax]: not readable as YAML: an alias contains itself\n  --> p.yaml:1:1\n "
        " help: write the repeated part out, or use fewer aliases"
    )
    assert faults(r'a: "\Uffffffff"').startswith("error[yaml/syntax]: not readable as YAML: ")
    assert (
        faults("[" * 99)
        == "error[yaml/syntax]: not readable as YAML: nested deeper than 60 levels\n  -->"
        " p.yaml:1:61\n  help: write it with fewer brackets inside one another"
    )
