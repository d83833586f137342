"""What may be overwritten, and what never is."""

import errno
import os

import pytest
from commands import run_command

from graphprune.cli import demo
from graphprune.cli.demo import prepare_folder
from graphprune.errors import OutputError
from graphprune.shipped import shipped_file

DIGITS = "fixtures/digits-cnn.keras"
MODEL = shipped_file(DIGITS)
RULES = shipped_file("rules/conv-80-dense-90.yaml")


@pytest.fixture
def own(tmp_path):
    """A model and a rule file of the user's own."""
    (tmp_path / "net.keras").write_bytes(MODEL.read_bytes())
    (tmp_path / "prune.yaml").write_bytes(RULES.read_bytes())
    return tmp_path


@pytest.mark.parametrize(
    ("command", "output"),
    [
        (("layers", "net.keras"), "net.keras"),
        (("plan", "net.keras", "-r", "prune.yaml"), "prune.yaml"),
        (("diff", "net.keras", "net.keras"), "./net.keras"),
        (("graph", "net.keras", "--format", "svg"), "net.keras"),
        (("apply", "net.keras", "-r", "prune.yaml"), "net.keras"),
        (("prune", "net.keras", "-r", "prune.yaml"), "net.keras"),
        (("prune", "net.keras", "-r", "prune.yaml"), "prune.yaml"),
        (("strip", "net.keras"), "net.keras"),
    ],
)
def test_force_never_overwrites_what_the_command_reads(own, monkeypatch, command, output):
    monkeypatch.chdir(own)
    before = {path.name: path.read_bytes() for path in own.iterdir()}
    done = run_command(*command, "-o", output, "--force")
    name = output.removeprefix("./")
    assert (done.code, done.out, done.err) == (
        1,
        "",
        (
            f"graphprune: {name}: is an input of this command, so it is not overwritten; give"
            " another name\n"
        ),
    )
    assert before == {path.name: path.read_bytes() for path in own.iterdir()}


def test_force_overwrites_no_pipe_and_no_device(own):
    os.mkfifo(own / "pipe")
    done = run_command("layers", own / "net.keras", "-o", own / "pipe", "--force")
    assert (done.code, done.err) == (
        1,
        (
            f"graphprune: {own}/pipe: is neither a file nor a folder, so it is not overwritten;"
            " give another name\n"
        ),
    )


def test_a_report_is_not_given_the_name_of_a_model(own):
    done = run_command("layers", own / "net.keras", "-o", own / "other.keras")
    text = (
        f"graphprune: {own}/other.keras: is the name of a model, and the output is a report; use a"
        " name such as other.txt or other.json\n"
    )
    assert (done.code, done.err) == (1, text)


def test_a_report_does_not_replace_a_folder(own):
    (own / "folder").mkdir()
    done = run_command("layers", own / "net.keras", "-o", own / "folder", "--force")
    assert (done.code, done.err) == (
        1,
        f"graphprune: {own}/folder: is a folder; name a file in it\n",
    )


def test_a_place_that_cannot_be_written_is_named_as_the_user_wrote_it(own):
    done = run_command("layers", own / "net.keras", "-o", "/proc/layers.txt")
    assert done.code == 1
    assert done.err.startswith("graphprune: /proc/layers.txt: cannot be written: ")


def test_an_empty_name_is_wrong_usage():
    assert run_command("layers", "").code == 64


@pytest.mark.parametrize("command", [("shrink",), ("convert", "--keras", "3")])
def test_an_output_without_a_name_is_told_as_such(own, command):
    done = run_command(*command, own / "net.keras", "-o", "")
    assert (done.code, done.err) == (1, "graphprune: the output has no name; give one\n")


def test_a_link_to_nothing_is_not_suggested_for_itself(tmp_path):
    link = tmp_path / "net.keras"
    link.symlink_to("missing")
    done = run_command("layers", link)
    assert done.code == 1
    assert done.err.startswith(f"graphprune: {link}: no such file; check the path (")


def test_a_demo_that_cannot_be_written_leaves_no_folder(tmp_path, monkeypatch):
    written = []

    def write(path, content):
        if written:
            raise OSError(errno.ENOSPC, "No space left on device")
        written.append(path)
        path.parent.mkdir()
        path.write_bytes(content)

    monkeypatch.setattr(demo, "write_whole", write)
    with pytest.raises(OSError, match="No space left"):
        prepare_folder(tmp_path / "demo", DIGITS, force=False)
    assert list(tmp_path.iterdir()) == []


def test_the_demo_removes_only_its_own_files(tmp_path):
    home = prepare_folder(tmp_path / "demo", DIGITS, force=False)
    (home / "sparse.keras").write_text("old")
    prepare_folder(home, DIGITS, force=True)
    assert sorted(path.name for path in home.iterdir()) == ["digits.npz", "original.keras"]
    (home / "mine.txt").write_text("keep")
    with pytest.raises(OutputError) as caught:
        prepare_folder(home, DIGITS, force=True)
    assert (
        str(caught.value)
        == f"{home}: holds more than an earlier demo (mine.txt), so --force does not touch it; give"
        " another folder"
    )
    assert (home / "mine.txt").read_text() == "keep"


def test_a_table_fits_the_terminal_and_is_whole_in_a_pipe_and_in_a_file(own, monkeypatch):
    from graphprune.cli.outputs import terminal_width

    assert terminal_width() is None
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "77")
    assert (terminal_width(), terminal_width("layers.txt")) == (77, None)


REPORTS = {
    "plan": (["plan", MODEL, "-r", RULES], ".txt, .json, .html, .svg, .md"),
    "diff": (["diff", MODEL, MODEL], ".txt, .json, .html, .svg, .md"),
    "layers": (["layers", MODEL], ".txt, .json"),
    "explain": (["explain", MODEL, "-r", RULES, "--layer", "hidden"], ".txt, .json"),
    "lint": (["lint", RULES], ".txt, .json"),
    "verify": (["verify", MODEL, "--plan", "plan.json"], ".txt, .json, .md, .xml"),
    "test": (["test", "."], ".txt, .json"),
    "schema": (["schema"], ".json"),
}


@pytest.mark.parametrize(("command", "known"), REPORTS.values(), ids=REPORTS)
def test_a_report_is_not_written_under_the_suffix_of_something_else(
    tmp_path, monkeypatch, command, known
):
    monkeypatch.chdir(tmp_path)
    done = run_command(*command, "-o", "p.pdf")
    assert (done.code, done.out, done.err) == (
        1,
        "",
        f"graphprune: p.pdf: no report has the suffix .pdf; known are {known}\n",
    )
    assert list(tmp_path.iterdir()) == []


def test_graph_names_the_formats_that_it_has(tmp_path):
    done = run_command("graph", MODEL, "-o", tmp_path / "g.pdf")
    assert (done.code, list(tmp_path.iterdir())) == (64, [])
    assert "name the file with -o g.json, g.dot, g.svg or g.html, or give --format" in done.err


def test_a_format_that_is_asked_for_goes_into_any_name_and_suffixes_have_no_case(tmp_path):
    assert run_command("layers", MODEL, "--format", "json", "-o", tmp_path / "layers.out").code == 0
    assert run_command("layers", MODEL, "-o", tmp_path / "layers.JSON").code == 0
    assert (tmp_path / "layers.out").read_bytes() == (tmp_path / "layers.JSON").read_bytes()
    assert run_command("layers", MODEL, "-o", tmp_path / "layers").code == 0
    assert (tmp_path / "layers").read_text().startswith("model  ")
