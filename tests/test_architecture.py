"""The table of packages (who may import whom, and which third-party packages) as data, held against
every import in the source.
"""

import ast
import re
import sys
from functools import cache
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "graphprune"

# One row a part, lowest first: a part imports only parts above it in this list, and only these
# third-party packages.
LAYERS: tuple[tuple[str, frozenset[str]], ...] = (
    ("lazy", frozenset()),
    ("replaced", frozenset()),
    ("nested", frozenset()),
    ("signals", frozenset()),
    ("wrapper_names", frozenset()),
    ("diagnostics", frozenset({"ruamel"})),
    ("errors", frozenset()),
    ("arguments", frozenset()),
    ("write_faults", frozenset()),
    ("files", frozenset()),
    ("suggestions", frozenset()),
    ("documents", frozenset({"pydantic", "pydantic_core"})),
    ("shown", frozenset()),
    ("shipped", frozenset()),
    ("quiet", frozenset()),
    ("child_process", frozenset()),
    ("sparsity", frozenset({"numpy"})),
    ("archive", frozenset({"google_crc32c", "h5py", "numpy"})),
    ("graph", frozenset({"networkx", "numpy"})),
    ("shrink", frozenset({"h5py", "numpy"})),
    ("rules", frozenset({"pydantic", "ruamel", "networkx", "re2"})),
    ("plan", frozenset({"numpy", "typing_extensions"})),
    ("targets", frozenset()),
    ("diff", frozenset({"networkx", "numpy", "typing_extensions"})),
    ("runs", frozenset({"numpy", "pydantic"})),
    ("report", frozenset({"rich", "jinja2", "networkx"})),
    ("decoding", frozenset({"numpy", "tensorflow"})),
    ("engine", frozenset({"numpy"})),
    ("serving", frozenset({"numpy", "onnx", "onnxruntime", "tensorflow", "tf2onnx"})),
    ("tf", frozenset({"tensorflow", "tf_keras", "absl", "h5py", "numpy"})),
    ("conversion", frozenset({"h5py", "numpy"})),
    ("keras3", frozenset({"keras", "numpy", "h5py"})),
    ("dispatch", frozenset()),
    ("training", frozenset()),
    ("interface", frozenset()),
    ("cli", frozenset({"click", "rich"})),
    ("keras_runtime", frozenset({"numpy"})),
    ("runner_process", frozenset()),
    ("stable_hlo_process", frozenset({"jax", "numpy"})),
)
ORDER = [part for part, _ in LAYERS]
ALLOWED = dict(LAYERS)
MODULES = sorted(
    path.relative_to(SOURCE)
    for path in SOURCE.rglob("*.py")
    if path.parent != SOURCE or path.stem not in {"__init__", "__main__"}
)


@cache
def nodes_of(module: Path) -> tuple[ast.AST, ...]:
    """All nodes of a module's syntax tree; every file is parsed once."""
    return tuple(ast.walk(ast.parse((SOURCE / module).read_text(encoding="utf-8"))))


@cache
def imported_modules(module: Path) -> frozenset[str]:
    names: set[str] = set()
    for node in nodes_of(module):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: relative imports hide where a name comes from"
            names.add(node.module or "")
            if node.module == "graphprune":
                names |= {f"graphprune.{alias.name}" for alias in node.names}
    return frozenset(names)


def part_of(module: Path) -> str:
    return module.parts[0].removesuffix(".py")


def wrong_imports(module: Path) -> list[str]:
    """What a module imports against the table."""
    part = part_of(module)
    if part not in ORDER:
        return [f"{module}: {part} is not in the table of packages"]
    wrong = []
    for name in sorted(imported_modules(module)):
        top, _, rest = name.partition(".")
        other = rest.partition(".")[0]
        if top != "graphprune":
            if top not in sys.stdlib_module_names and top not in ALLOWED[part]:
                allowed = sorted(ALLOWED[part]) or "no third-party package"
                wrong.append(f"{module} imports {name}; {part} may use {allowed}")
        elif other and other not in ORDER:
            wrong.append(f"{module} imports {name}, which is not in the table")
        elif other and ORDER.index(other) > ORDER.index(part):
            wrong.append(f"{module} imports {name}, which stands below {part}")
    return wrong


def test_a_module_imports_only_what_stands_above_it():
    assert [fault for module in MODULES for fault in wrong_imports(module)] == []


def test_a_module_has_at_most_400_lines():
    lines = {
        str(module): len((SOURCE / module).read_text(encoding="utf-8").splitlines())
        for module in MODULES
    }
    assert {module: count for module, count in lines.items() if count > 400} == {}


def nested_conditionals(module: Path) -> list[int]:
    """The lines of the conditional expressions that have another one anywhere inside."""
    return [
        outer.lineno
        for outer in nodes_of(module)
        if isinstance(outer, ast.IfExp)
        and sum(isinstance(inner, ast.IfExp) for inner in ast.walk(outer)) > 1
    ]


def test_no_conditional_expression_stands_in_another():
    nested = {f"{module}:{line}" for module in MODULES for line in nested_conditionals(module)}
    assert nested == set()


def test_every_part_of_the_table_exists():
    assert {part_of(module) for module in MODULES} == set(ORDER)


# The folders of the larger packages, lowest first: a folder imports only those above it in its row.
FOLDERS: dict[str, tuple[str, ...]] = {
    "rules": ("text", "matchers", "values", "building", "resolving"),
    "tf": ("layers", "pruning", "models", "training"),
    "graph": ("shapes", "classes"),
    "report": ("drawing",),
    "archive": ("hdf5", "saved_model", "tflite", "allowed"),
    "keras3": ("training",),
}


def folder_of(module: str, part: str) -> str:
    rest = module.removeprefix(f"graphprune.{part}.").split(".")
    return rest[0] if module.startswith(f"graphprune.{part}.") and rest[0] in FOLDERS[part] else ""


def test_a_folder_imports_only_folders_that_stand_above_it():
    wrong = []
    for module in (path for path in MODULES if len(path.parts) == 3):
        part, folder = module.parts[0], module.parts[1]
        order = FOLDERS[part]
        for name in sorted(imported_modules(module)):
            other = folder_of(name, part)
            if other and order.index(other) > order.index(folder):
                wrong.append(f"{module} imports {name}, which stands below {folder}")
    assert wrong == []


def test_every_folder_stands_in_its_row():
    assert {(path.parts[0], path.parts[1]) for path in MODULES if len(path.parts) > 2} == {
        (part, name) for part, names in FOLDERS.items() for name in names
    }


@pytest.mark.parametrize(
    "folder",
    [path.parent.relative_to(SOURCE) for path in SOURCE.rglob("__init__.py")],
    ids=lambda folder: folder.as_posix(),
)
def test_a_folder_says_what_belongs_in_it_and_what_does_not(folder):
    text = (SOURCE / folder / "__init__.py").read_text(encoding="utf-8")
    words = (ast.get_docstring(ast.parse(text)) or "").split()
    assert "What belongs here:" in " ".join(words)
    assert "What does not:" in " ".join(words)


LAZY = [path for path in SOURCE.rglob("__init__.py") if "lazy_names(" in path.read_text("utf-8")]


@pytest.mark.parametrize("path", LAZY, ids=lambda path: path.parent.name)
def test_a_lazy_package_says_where_its_names_are_as_it_says_for_type_checkers(path):
    package = ".".join(path.parent.relative_to(SOURCE.parent).parts)
    tree = ast.parse(path.read_text(encoding="utf-8"))
    typed = {
        (node.module, alias.name)
        for block in tree.body
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
        for node in block.body
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("graphprune.")
        for alias in node.names
    }
    tables = [node for node in ast.walk(tree) if isinstance(node, ast.Dict)]
    lazy = {
        (f"{package}.{home}", name)
        for table in tables
        for home, names in ast.literal_eval(table).items()
        for name in names
    }
    assert lazy == typed


ERRORS = frozenset(
    {"ArchiveError", "CheckpointError", "DataError", "GraphError", "OutputError", "PlanError"}
    | {"TrainingError"}
)


def starts_with_a_value(text: ast.expr) -> str | None:
    """What an f-string such as `{path}: is damaged` begins with, names of layers excepted."""
    if not (isinstance(text, ast.JoinedStr) and isinstance(text.values[0], ast.FormattedValue)):
        return None
    value, rest = ast.unparse(text.values[0].value), text.values[1:2]
    is_place = bool(rest) and ast.unparse(rest[0]).strip("'\"").startswith(": ")
    return value if is_place and not re.search(r"(name|address)\W*$|name'", value, re.I) else None


def test_an_error_has_the_file_that_it_is_about_as_a_value():
    calls = [
        (module, node)
        for module in MODULES
        for node in nodes_of(module)
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ERRORS and node.args
    ]
    assert calls
    found = {
        f"{module}:{call.lineno}: give place={value}"
        for module, call in calls
        if (value := starts_with_a_value(call.args[0]))
    }
    assert found == set()
