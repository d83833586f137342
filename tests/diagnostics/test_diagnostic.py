import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from graphprune.diagnostics.diagnostic import MAX_WIDTH, render_excerpt
from graphprune.diagnostics.terminal_text import text_width


def under_caret(lines):
    """The character above the caret, counted in terminal columns."""
    column = lines[1].index("^")
    width = 0
    for char in lines[0]:
        if width >= column and not unicodedata.combining(char):
            return char
        width += text_width(char)
    return ""


def test_the_caret_stands_under_the_column():
    assert render_excerpt("  match: {typ: Dense}", 7, 11) == [
        "    7 |   match: {typ: Dense}",
        "      |           ^",
    ]


def test_tabs_wide_characters_and_control_characters_keep_the_caret_in_place():
    assert render_excerpt("\t層: x", 1, 5) == ["    1 |     層: x", "      |         ^"]
    assert render_excerpt("a\x1b[2J: x", 1, 8) == ["    1 | a\\x1b[2J: x", "      |           ^"]


def test_long_lines_are_cut_around_the_caret():
    line = "a" * 300 + "X" + "b" * 300
    first, caret = render_excerpt(line, 12, 301)
    assert first == "    12 | ..." + "a" * 50 + "X" + "b" * 49 + "..."
    assert caret == "       | " + " " * 53 + "^"
    assert render_excerpt(line, 12, 1)[0] == "    12 | " + "a" * 100 + "..."
    assert render_excerpt(line, 12, 601)[0] == "    12 | ..." + "b" * 51


def test_a_column_behind_the_end_is_the_end_and_none_has_no_caret():
    assert render_excerpt("ab", 1, 99) == ["    1 | ab", "      |   ^"]
    assert render_excerpt("ab", 1, None) == ["    1 | ab"]


@given(
    st.text(st.characters(exclude_characters="\n\r", exclude_categories=["Cs"]), max_size=300),
    st.integers(0, 300),
)
def test_the_caret_is_under_its_character_in_any_line(before, column):
    line = before[:column] + "!" + before[column:]
    lines = render_excerpt(line, 3, len(before[:column]) + 1)
    assert len(lines) == 2
    assert all(text.isprintable() for text in lines)
    assert under_caret(lines) == "!"
    assert text_width(lines[0]) <= MAX_WIDTH + 20 + 8
