import pytest

from graphprune.rules.text.files import decode_text

TEXT = "version: 1\nrules: []\n"
SAVE = "save it as UTF-8 (in Windows editors: UTF-8, not Unicode)"
MODEL = "give the model before -r, or after --model; a rule file belongs here"


@pytest.mark.parametrize("content", [TEXT.encode(), TEXT.encode("utf-8-sig")])
def test_utf_8_is_text_with_and_without_its_mark(content):
    assert decode_text(content, "p.yaml") == TEXT


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (TEXT.encode("utf-16"), f"text in UTF-16, not in UTF-8\n  --> p.yaml\n  help: {SAVE}"),
        (TEXT.encode("utf-16-le"), f"text in UTF-16, not in UTF-8\n  --> p.yaml\n  help: {SAVE}"),
        (TEXT.encode("utf-16-be"), f"text in UTF-16, not in UTF-8\n  --> p.yaml\n  help: {SAVE}"),
        (TEXT.encode("utf-32"), f"text in UTF-32, not in UTF-8\n  --> p.yaml\n  help: {SAVE}"),
        (b"PK\x03\x04\x14\x00", f"a .keras file, not text\n  --> p.yaml\n  help: {MODEL}"),
        (b"\x89HDF\r\n\x1a\n", f"an HDF5 file, not text\n  --> p.yaml\n  help: {MODEL}"),
        (
            b"version: 1\n# caf\xe9\n",
            "not text in UTF-8\n  --> p.yaml:2\n  help: save it as UTF-8; is this a model?",
        ),
        (b"\x00\x00\x00\x00", None),
        (b"", None),
    ],
)
def test_what_is_no_utf_8_is_named(content, message):
    found = decode_text(content, "p.yaml")
    assert str(found) == (
        content.decode() if message is None else f"error[file/unreadable]: {message}"
    )
