"""Parse YAML 1.2 or JSON (rule, run and test files) to plain values with all positions."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Hashable, Iterator
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.composer import MaxDepthExceededError
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from graphprune.diagnostics.diagnostic import Diagnostic, Where
from graphprune.rules.text.document import Document, Path
from graphprune.rules.text.files import MAX_BYTES, RULE_FILE
from graphprune.rules.text.syntax_help import explain_syntax

MAX_DEPTH = 60
MAX_NODES = 200_000
MAX_DIGITS = 40
_SHARED_FIELDS = (
    "write shared fields under 'defaults', and shared matchers under 'selectors', and refer to them"
    " with 'use'"
)
_TAG = "tag:yaml.org,2002:"
_NUMBER = re.compile(r"[-+]?(0x[0-9a-fA-F]+|0o[0-7]+|[0-9]+)")
HALVES = re.compile("[\ud800-\udfff]")
_PAIRS = re.compile("[\ud800-\udbff][\udc00-\udfff]")
"""JSON writes characters above U+FFFF as surrogate pairs, which the YAML reader does not join."""


def parse_document(text: str, file: str, kind: str = RULE_FILE) -> Document:
    """Return `text` as plain values; faults of the text are in the document and not raised.

    Args:
        text: The text.
        file: Its name in faults.
        kind: What it is, in faults: a kind of file, or `value` of a flag.
    """
    if len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        return _unreadable(
            Where(file), f"larger than {MAX_BYTES:,} bytes", f"a {kind} is a page or two of text"
        )
    yaml = YAML(typ="safe", pure=True)
    yaml.max_depth = MAX_DEPTH
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a reused anchor is legal YAML
            node = yaml.compose(text)
    except MarkedYAMLError as err:
        return _syntax_error(err, text, file, kind)
    except (
        YAMLError,
        RecursionError,
        ValueError,
        ArithmeticError,
        TypeError,
        AttributeError,
        AssertionError,
        LookupError,
        NotImplementedError,
    ) as err:
        # ruamel.yaml raises errors of its own code on damaged text
        reason = str(err).strip().splitlines()
        return _unreadable(Where(file), reason[0] if reason else type(err).__name__, None)
    return _Conversion(file, kind).document(node)


def _unreadable(where: Where, reason: str, help: str | None) -> Document:
    return Document(
        where.file,
        None,
        faults=(Diagnostic("yaml/syntax", f"not readable as YAML: {reason}", where, help),),
        is_readable=False,
    )


def _syntax_error(err: MarkedYAMLError, text: str, file: str, kind: str) -> Document:
    fault = explain_syntax(err, text.splitlines(), kind)
    where = Where(file) if fault.mark is None else Where(file, fault.mark[0] + 1, fault.mark[1] + 1)
    if isinstance(err, MaxDepthExceededError):
        return _unreadable(
            where,
            f"nested deeper than {MAX_DEPTH} levels",
            "write it with fewer brackets inside one another",
        )
    return _unreadable(where, fault.problem, fault.help)


class _TooMuchError(Exception):
    """A document that is too large because of its aliases; `path` is the position of the excess."""

    def __init__(self, reason: str, path: Path) -> None:
        super().__init__(reason)
        self.path = path


class _Conversion:
    """One walk over the nodes of one file."""

    def __init__(self, file: str, kind: str) -> None:
        self.file, self.kind = file, kind
        self.keys: dict[Path, Where] = {}
        self.values: dict[Path, Where] = {}
        self.faults: list[Diagnostic] = []
        self.open: set[int] = set()
        self.count = 0

    def document(self, node: Node | None) -> Document:
        if node is None:
            return Document(self.file, None)
        try:
            data = self.convert(node, ())
        except _TooMuchError as err:
            return _unreadable(
                self.written(err.path),
                str(err),
                "write the repeated part out, or use fewer aliases",
            )
        return Document(self.file, data, self.keys, self.values, tuple(self.faults))

    def where(self, node: Node) -> Where:
        return Where(self.file, node.start_mark.line + 1, node.start_mark.column + 1)

    def convert(self, node: Node, path: Path) -> Any:
        self.count += 1
        if self.count > MAX_NODES:
            raise _TooMuchError(f"its aliases expand to more than {MAX_NODES:,} values", path)
        if id(node) in self.open:
            raise _TooMuchError("an alias contains itself", path)
        if len(path) > MAX_DEPTH:
            raise _TooMuchError(f"its aliases nest deeper than {MAX_DEPTH} levels", path)
        is_nothing = isinstance(node, ScalarNode) and node.start_mark.index == node.end_mark.index
        self.values[path] = (
            self.keys.get(path, self.where(node)) if is_nothing else self.where(node)
        )  # an empty value has no position of its own
        if isinstance(node, ScalarNode):
            return self.scalar(node)
        if not str(node.tag).startswith((f"{_TAG}map", f"{_TAG}seq")):
            self.tag_fault(node)
        self.open.add(id(node))
        try:
            if isinstance(node, SequenceNode):
                return [self.convert(item, (*path, index)) for index, item in enumerate(node.value)]
            assert isinstance(node, MappingNode)
            return {
                key: self.convert(value, (*path, key)) for key, value in self.entries(node, path)
            }
        finally:
            self.open.discard(id(node))

    def entries(self, node: MappingNode, path: Path) -> Iterator[tuple[str, Node]]:
        """Yield the entries with a text key, each key once.

        Entries of a merge key are included, so that none of them is reported as missing.
        """
        seen: set[Hashable] = set()
        merged: list[tuple[Node, Node]] = []
        for key, value in node.value:
            if not isinstance(key, ScalarNode):
                self.fault(
                    "value/type",
                    "a key must be plain text, got a mapping or a list",
                    key,
                    "write one word before the colon",
                )
            elif key.tag == f"{_TAG}merge":
                self.fault(
                    "key/unknown",
                    f"merge keys '<<' are not supported in {self.kind}s",
                    key,
                    _SHARED_FIELDS if self.kind == RULE_FILE else "write the fields out",
                )
                parts = value.value if isinstance(value, SequenceNode) else [value]
                merged += [
                    entry for part in parts if isinstance(part, MappingNode) for entry in part.value
                ]
            elif (name := self.text_of(key)) in seen:
                first = self.keys[(*path, name)]
                self.fault(
                    "yaml/duplicate-key",
                    f"the key {name!r} appears twice in one mapping",
                    key,
                    f"first at {first}; delete or rename one",
                )
            else:
                seen.add(name)
                self.keys[(*path, name)] = self.where(key)
                yield name, value
        for key, value in merged:
            if isinstance(key, ScalarNode) and key.tag != f"{_TAG}merge" and key.value not in seen:
                seen.add(key.value)
                self.keys[(*path, key.value)] = self.where(key)
                yield key.value, value

    def text_of(self, node: ScalarNode) -> str:
        """Return the text of a scalar with surrogate pairs joined.

        Half a pair is a fault, since UTF-8 cannot encode it.
        """
        whole = _PAIRS.sub(
            lambda pair: pair[0].encode("utf-16", "surrogatepass").decode("utf-16"), node.value
        )
        half = HALVES.search(whole)
        if half is None:
            return whole
        message = (
            f"the text contains {ascii(half[0])[1:-1]}, half of a surrogate pair, which is not a"
            " character"
        )
        self.fault("value/type", message, node, "write the character itself, or both halves")
        return HALVES.sub("\ufffd", whole)

    def scalar(self, node: ScalarNode) -> Any:
        tag, text = str(node.tag).removeprefix(_TAG), self.text_of(node)
        try:
            if tag == "int" and _NUMBER.fullmatch(text):
                if len(text) > MAX_DIGITS:
                    raise ValueError("too long")
                return int(text, 0 if "0x" in text or "0o" in text else 10)
            if tag == "float" and "_" not in text:  # YAML 1.2 has no underscores in numbers
                return _parse_float(text)
        except ValueError:
            self.fault("value/type", f"not a number that can be read: {text[:40]!r}", node, None)
            return 0
        if tag in ("bool", "null"):
            return text.lower() in ("true", "yes", "on", "y") if tag == "bool" else None
        if (
            str(node.tag).startswith("!")
            or tag in ("binary", "set", "omap", "pairs")
            or "python" in tag
        ):
            self.tag_fault(node)
        return text

    def tag_fault(self, node: Node) -> None:
        self.fault(
            "yaml/syntax",
            f"tags such as {node.tag} are not supported in {self.kind}s",
            node,
            "write the plain value",
        )

    def written(self, path: Path) -> Where:
        """Return the position of the value at `path`; for an aliased value, that of the alias."""
        found = Where(self.file, 1, 1)
        for length in range(1, len(path) + 1):
            where = self.keys.get(path[:length]) or self.values.get(path[:length])
            if where is None or where < found:  # anchors come before their aliases
                break
            found = where
        return found

    def fault(self, slug: str, message: str, node: Node, help: str | None) -> None:
        self.faults.append(Diagnostic(slug, message, self.where(node), help))


def _parse_float(text: str) -> float:
    plain = text.lower()
    special = plain.lstrip("+-")
    if special in (".inf", ".nan"):
        plain = plain.replace(".", "")  # float() reads inf and nan
    return float(plain)


def render_yaml(data: Any) -> str:
    r"""Return plain data as YAML, mappings in their order.

    Example:
        >>> render_yaml({"b": 1, "a": [True, "1"]})
        "b: 1\na: [true, '1']\n"
    """
    yaml: Any = YAML(typ="safe", pure=True)
    yaml.default_flow_style = None  # only the innermost mappings and lists on one line
    yaml.sort_base_mapping_type_on_output = False
    yaml.allow_unicode = True
    yaml.width = 4096
    stream = io.StringIO()
    yaml.dump(data, stream)
    return stream.getvalue()
