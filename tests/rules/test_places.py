"""Every diagnostic names a place that exists: a file that was given, and in its text a line and a
column.
"""

from builders import build_graph
from hypothesis import given
from hypothesis import strategies as st
from rule_mutations import DAMAGED, TEXT, WITH_OTHER_VALUES

from graphprune.diagnostics.renderings import SourceLines
from graphprune.errors import RuleError
from graphprune.plan import make_plan
from graphprune.rules import read_rules
from graphprune.rules.text.files import find_source

GRAPH = build_graph("in > conv_1 > flatten > fc1 > fc2")
OTHER = (
    "version: 1\nselectors: {unused: {type: Dense}}\nrules:\n- {id: other, match: {name: fc1},"
    " overrides: [shared], keep: true}\n"
)
BROKEN = "version: 1\nrules:\n- {id: dense-90, match: {typ: Dense}, keep: true}\n"


def diagnostics_of(*paths):
    try:
        return make_plan(GRAPH, read_rules(*paths)).diagnostics
    except RuleError as fault:
        return fault.diagnostics


def assert_places_exist(diagnostics, files):
    lines = SourceLines(find_source, files)
    for found in diagnostics:
        for where in [found.where, *(where for where, _ in found.related)]:
            assert where.file in files, found
            if where.line is not None:
                line = lines.find(where)
                assert line is not None or where.line == 1, (
                    found
                )  # a text without a line is wrong at its beginning
                assert where.column is None or 1 <= where.column <= len(line or "") + 1, found


def check_places(folder, *texts):
    files = [str(folder / f"{index}.yaml") for index in range(len(texts))]
    for file, text in zip(files, texts, strict=True):
        with open(file, "w", encoding="utf-8", errors="surrogatepass", newline="") as stream:
            stream.write(text)
    found = diagnostics_of(*files)
    assert_places_exist(found, files)
    return found


@given(st.one_of(DAMAGED, WITH_OTHER_VALUES), st.sampled_from([(), (OTHER,), (BROKEN,)]))
def test_whatever_is_wrong_with_rules_or_between_them_and_a_model_its_place_exists(
    tmp_path, text, others
):
    check_places(tmp_path, text, *others)


@given(st.text(max_size=60))
def test_whatever_the_text_its_faults_have_places(tmp_path, text):
    check_places(tmp_path, text)
    check_places(tmp_path, f"version: 1\nrules:\n- id: {text}\n  match: {text}\n  keep: {text}\n")


def test_the_text_that_is_damaged_was_whole(tmp_path):
    assert [found.slug for found in check_places(tmp_path, TEXT) if found.severity == "error"] == []
