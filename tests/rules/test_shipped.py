import pytest
from builders import build_graph

from graphprune.errors import RuleError
from graphprune.rules import Prune, read_rules, resolve_rules
from graphprune.rules.shipped import find_rule_file, list_shipped_rules
from graphprune.shipped import shipped_file

DIGITS = "in > conv_1 > bn > conv_2 > conv_3 ; conv_3 + conv_1 > add > flatten > hidden:Dense > digits:Dense"


@pytest.mark.parametrize("shipped", list_shipped_rules(), ids=lambda shipped: shipped.name)
def test_each_shipped_file_reads_and_says_what_it_is_for(shipped):
    assert read_rules(shipped.path).rules
    assert shipped.summary
    assert "When to use it" in shipped.path.read_text(encoding="utf-8")


def test_the_demo_rules_prune_convolutions_and_the_hidden_dense_and_leave_the_classifier():
    rules = read_rules(find_rule_file("builtin:conv-80-dense-90"))
    resolution = resolve_rules(build_graph(DIGITS), rules)
    assert [(claim.address, claim.rule and claim.rule.id, claim.lost) for claim in resolution.claims] == [
        ("conv_1", "convs-80", ()),
        ("conv_2", "convs-80", ()),
        ("conv_3", "convs-80", ()),
        ("hidden", "dense-90", ()),
        ("digits", "classifier", (("dense-90", "keep"),)),
    ]
    assert resolution.diagnostics == ()
    settings = {rule.id: (rule.action.sparsity, str(rule.action.schedule)) for rule in rules.rules if isinstance(rule.action, Prune)}
    assert settings == {"convs-80": (0.8, "ramp 0 epochs..6 epochs"), "dense-90": (0.9, "ramp 0 epochs..6 epochs")}


def test_a_path_stays_a_path_and_an_unknown_name_lists_the_closest(tmp_path):
    assert find_rule_file(str(tmp_path / "a.yaml")) == tmp_path / "a.yaml"
    with pytest.raises(RuleError) as caught:
        find_rule_file("builtin:dense-9")
    assert (
        str(caught.value)
        == "error[file/unreadable]: no rule file that ships is named 'dense-9'\n  --> builtin:dense-9\n  help: closest: 'dense-90', 'conv-80-dense-90'"
    )


def test_what_does_not_ship_is_not_found():
    with pytest.raises(FileNotFoundError, match="not among the files that ship with graphprune"):
        shipped_file("rules/none.yaml")
