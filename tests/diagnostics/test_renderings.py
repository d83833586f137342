from graphprune.diagnostics.diagnostic import Diagnostic, Where
from graphprune.diagnostics.renderings import (
    SourceLines,
    diagnostics_to_config,
    render_annotations,
    render_diagnostics,
)
from graphprune.rules.text.files import find_source

NO_MATCH = Diagnostic(
    "rule/no-match",
    "rule 'a' matches no layer",
    Where("p.yaml", 3, 9),
    "narrow it less",
    severity="warning",
)
CONFLICT = Diagnostic(
    "rule/conflict",
    "layer 'fc1' is claimed twice",
    None,
    None,
    related=((Where("p.yaml", 12, 5), "big"), (Where("p.yaml", 20, 5), "small")),
)


def test_every_fault_has_its_place_and_a_line_between():
    assert (
        render_diagnostics([NO_MATCH, CONFLICT])
        == "warning[rule/no-match]: rule 'a' matches no layer\n"
        "  --> p.yaml:3:9\n"
        "  help: narrow it less\n"
        "\n"
        "error[rule/conflict]: layer 'fc1' is claimed twice\n"
        "  --> p.yaml:12:5   big\n"
        "  --> p.yaml:20:5   small"
    )


def test_nothing_is_nothing():
    assert render_diagnostics([]) == ""


def test_control_characters_are_shown():
    assert (
        render_diagnostics([Diagnostic("layer/unknown", "no layer 'a\x1b[2J'")])
        == "error[layer/unknown]: no layer 'a\\x1b[2J'"
    )


def test_diagnostics_as_json():
    assert diagnostics_to_config([NO_MATCH, CONFLICT]) == {
        "format_version": "1.0",
        "kind": "graphprune.diagnostics",
        "diagnostics": [
            {
                "slug": "rule/no-match",
                "severity": "warning",
                "message": "rule 'a' matches no layer",
                "where": {"file": "p.yaml", "line": 3, "column": 9},
                "help": "narrow it less",
                "related": [],
            },
            {
                "slug": "rule/conflict",
                "severity": "error",
                "message": "layer 'fc1' is claimed twice",
                "where": None,
                "help": None,
                "related": [
                    {"where": {"file": "p.yaml", "line": 12, "column": 5}, "label": "big"},
                    {"where": {"file": "p.yaml", "line": 20, "column": 5}, "label": "small"},
                ],
            },
        ],
        "summary": {"error": 1, "warning": 1, "note": 0},
    }


def test_the_line_stands_under_each_place():
    text = {12: "  - id: big", 20: "  - id: small"}
    assert (
        render_diagnostics([CONFLICT], lambda where: text[where.line])
        == "error[rule/conflict]: layer 'fc1' is claimed twice\n"
        "  --> p.yaml:12:5   big\n"
        "    12 |   - id: big\n"
        "       |     ^\n"
        "  --> p.yaml:20:5   small\n"
        "    20 |   - id: small\n"
        "       |     ^"
    )


def test_workflow_commands_escape_what_github_reads():
    hostile = Diagnostic(
        "rule/count", "50%\r\nof :: a,b", Where("a,b:c%\n.yaml", 3, 9), "x\x1b", severity="note"
    )
    assert (
        render_annotations([hostile, CONFLICT])
        == "::notice file=a%2Cb%3Ac%25\\n.yaml,line=3,col=9,title=rule/count::50%25\\r\\nof ::"
        " a,b%0Ahelp: x\\x1b\n"
        "::error file=p.yaml,line=12,col=5,title=rule/conflict::layer 'fc1' is claimed"
        " twice%0Ap.yaml:12:5   big%0Ap.yaml:20:5   small"
    )
    assert render_annotations([Diagnostic("x/y", "m")]) == "::error title=x/y::m"


def test_lines_are_counted_as_the_yaml_reader_counts_them(tmp_path):
    path = tmp_path / "p.yaml"
    path.write_bytes("\ufeffone\r\ntwo\rthree\x0c\u2028still three\n".encode())
    lines = SourceLines(find_source)
    assert [lines.find(Where(str(path), line, 1)) for line in range(6)] == [
        None,
        "one",
        "two",
        "three\x0c\u2028still three",
        "",
        None,
    ]


def test_places_without_a_line_that_can_be_read_have_none(tmp_path):
    lines = SourceLines(find_source)
    assert lines.find(Where("--var final=2")) is None
    assert lines.find(Where("--match", 1, 1)) is None
    assert lines.find(Where("builtin:none", 1, 1)) is None
    assert lines.find(Where(str(tmp_path), 1, 1)) is None
    assert lines.find(Where("a\0b", 1, 1)) is None
    (tmp_path / "model.keras").write_bytes(b"a\n" * 1_000_000)
    assert lines.find(Where(str(tmp_path / "model.keras"), 1, 1)) is None


def test_only_files_that_were_named_are_read_and_those_that_ship_are_found():
    assert (
        SourceLines(find_source, ["builtin:dense-90"]).find(Where("builtin:dense-90", 1, 1))
        == "# All Dense layers at 90%, except the last of each branch"
    )
    assert SourceLines(find_source, []).find(Where("builtin:dense-90", 1, 1)) is None
