from graphprune.diagnostics.diagnostic import Where
from graphprune.diagnostics.source_lines import SourceLines
from graphprune.rules.text.files import find_source


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
