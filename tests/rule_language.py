"""The tables of docs/rule-language.md, from the schema of rule files."""

import re

from graphprune.diagnostics.slugs import read_slugs
from graphprune.rules.building.patterns import PATTERN_SHAPES
from graphprune.rules.building.schema import KINDS
from graphprune.rules.text.shape import Shape, example_of, help_for, keys_of
from graphprune.sparsity.schedules import CURVES

TABLE = re.compile(r"(<!-- (keys: (\w+)|patterns|curves|slugs) -->\n).*?(<!-- end -->)", re.DOTALL)


def shapes():
    """All mappings of rule files and rule tests, by class name."""
    found = {kind.__name__: kind for kind, _ in KINDS.values()}
    waiting = [Shape]
    while waiting:
        shape = waiting.pop()
        if shape.__module__.startswith("graphprune.runs"):
            continue  # run files have their own page
        found[shape.__name__] = shape
        waiting += shape.__subclasses__()
    return found


def own_keys(shape):
    """The keys that the shape adds to a matcher, or all of one that is none."""
    inherited = {
        key
        for base in shape.__mro__[1:]
        if base.__name__ == "MatcherShape"
        for key in keys_of(base)
    }
    return [
        key for key in keys_of(shape) if shape.__name__ == "MatcherShape" or key not in inherited
    ]


def is_required(shape, key):
    return any(
        info.is_required()
        for name, info in shape.model_fields.items()
        if (info.alias or name) == key
    )


def table(head, rows):
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def code(text):
    return f"`{text}`".replace("|", "\\|")


def key_table(shape):
    rows = [
        [
            f"{code(key)}{' (required)' if is_required(shape, key) else ''}",
            help_for(shape, key).replace("|", "\\|").replace("*", "\\*"),
            code(f"{key}: {example_of(shape, key)}"),
        ]
        for key in own_keys(shape)
    ]
    return table(["key", "meaning", "example"], rows)


def curve_table():
    order = ("from", "begin", "end", "power", "points")
    rows = [
        [
            code(curve.name),
            curve.description,
            ", ".join(code(key) for key in order if key in curve.keys),
        ]
        for curve in CURVES.values()
    ]
    return table(["curve", "sparsity", "keys"], rows)


def pattern_tables():
    return "\n".join(
        f"`{shape.form}`: {' '.join(shape.__doc__.split())}\n\n{key_table(shape)}"
        for shape in PATTERN_SHAPES
    )


def slug_table():
    return table(
        ["slug", "meaning"], [[code(slug), entry.means] for slug, entry in read_slugs().items()]
    )


def fill_in(text):
    """The text with every table between its marks written anew."""
    known = shapes()

    def made(match):
        if match[3]:
            content = key_table(known[match[3]])
        else:
            content = {"patterns": pattern_tables, "curves": curve_table, "slugs": slug_table}[
                match[2]
            ]()
        return f"{match[1]}{content}{match[4]}"

    return TABLE.sub(made, text)
