import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphprune.diagnostics.terminal_text import escape_controls, text_width
from graphprune.report.tables import Line, align_rows, mark_rows, render_lines, shorten


def test_columns_are_aligned_left_and_right_without_trailing_spaces():
    assert align_rows([["a", "1", "x"], ["long", "1,000", ""]], right={1}) == [
        "a         1  x",
        "long  1,000",
    ]


def test_a_column_that_is_empty_everywhere_takes_no_space():
    assert align_rows([["a", "", "b"], ["c", "", "d"]]) == ["a  b", "c  d"]


def test_gaps_and_indent():
    assert align_rows([["+", "fc1", "rule"]], gaps={1: 1, 2: 4}, indent="  ") == ["  + fc1    rule"]


def test_no_rows_are_no_lines():
    assert align_rows([]) == []


def test_wide_characters_are_aligned_by_what_they_take_on_screen():
    assert align_rows([["層", "x"], ["abc", "y"]]) == ["層   x", "abc  y"]
    assert text_width("e\u0301") == 1


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\x1b[31m", "a\\x1b[31m"),
        ("a\u202eb", "a\\u202eb"),
        ("a\tb\n", "a\\tb\\n"),
        ("é 層", "é 層"),
    ],
)
def test_control_characters_are_shown_and_not_obeyed(text, shown):
    assert escape_controls(text) == shown
    assert align_rows([[text]]) == [shown]


def test_shortened_text_fits():
    assert [shorten("kernel", width) for width in (6, 5, 1)] == ["kernel", "kern…", "…"]


WORDS = st.lists(st.text("ab層", min_size=1, max_size=9), min_size=1, max_size=12)


@given(WORDS, st.integers(24, 40), st.integers(0, 6))
def test_broken_lines_fit_and_lose_no_word(words, width, indent):
    line = " " * indent + " ".join(words)
    broken = render_lines([Line(line)], width).splitlines()
    assert max(map(text_width, broken)) <= width
    assert " ".join(broken).split() == words


def test_a_word_that_is_longer_than_the_terminal_is_broken():
    assert render_lines([Line("  + " + "a" * 30 + " b")], 20).splitlines() == [
        "  +",
        "      " + "a" * 14,
        "      " + "a" * 14,
        "      aa b",
    ]


def in_brackets(kind, text):
    return f"<{kind} {text}>"


def test_each_part_has_the_colour_of_its_kind_and_the_rest_has_none():
    legend = Line("  + wrap   = keep", ((2, 8, "+"), (11, 17, "=")))
    assert render_lines([legend, Line("x")], None, in_brackets) == "  <+ + wrap>   <= = keep>\nx\n"


def test_a_part_that_is_broken_has_its_colour_on_the_first_line():
    line = Line("  + a_name b", ((2, 10, "+"),))
    assert render_lines([line], 8, in_brackets) == "  <+ +>\n    a_na\n    me b\n"


def test_a_name_with_spaces_is_marked_whole_and_words_like_signs_are_not():
    rows = [("+", "a layer", "= x"), ("-/+", "fc", "~"), ("", "", "+ y")]
    assert [line.text[start:end] for line in mark_rows(rows) for start, end, _ in line.parts] == [
        "+   a layer",
        "-/+ fc",
    ]
