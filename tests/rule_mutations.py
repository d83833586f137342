"""Rule texts that were whole and are damaged: by words put in anywhere, and by values of other
kinds.
"""

from hypothesis import strategies as st

TEXT = """\
version: 1
vars: {final: 0.9}
schedules:
  ramp: {curve: polynomial, power: 3, from: 0, begin: 0 epochs, end: 4 epochs, every: 100 steps}
  jumps: {curve: points, points: {1 epoch: 50%, 2 epochs: 90%}}
selectors:
  wide: {type: Dense, params: {gte: 1}, config: {units: {in: [4]}}}
  late: {after: {use: wide, hops: 2}}
budgets: {net: {sparsity: 80%, allocate: erk, min: 10%}}
defaults: {prune: {schedule: ramp, misfit: error}}
layers: {MyPkg>Low: {prunable: {u: [in, rank]}}}
require:
  - {id: two, count: {of: {use: late}, is: {gte: 1}}}
  - {id: sparse, result: {sparsity: {gte: 1%}, of: "*"}, severity: warn}
rules:
  - id: dense-90
    match: {type: Dense, not: {last: {name: {glob: 'fc*'}}}}
    prune: {sparsity: "${final}", schedule: ramp, weights: [kernel]}
    expect: {gte: 0}
  - id: keep
    match: {any: [{name: {regex: 'conv_[0-9]'}}, "*"], all: [{trainable: true}]}
    overrides: [dense-90]
    keep: true
  - id: like-it
    match: {name: fc2}
    overrides: [keep]
    prune: {like: dense-90, schedule: jumps, pattern: {block: {in: 4, out: 1}}}
  - {id: shared, match: {name: [conv_1, fc1]}, overrides: [keep, dense-90], prune: {budget: net}}
"""
WORDS = [
    "*",
    "&a ",
    "*a",
    "<<",
    "{",
    "}",
    "[",
    "]",
    ": ",
    "- ",
    "'",
    '"',
    "%",
    "!",
    "|",
    "\t",
    "\n",
    "\x00",
    "é",
    "1e999",
    ".nan",
    "null",
    "true",
    "9" * 30,
    "x" * 5,
    "[[",
    "${",
    "type",
]
PIECES = [
    "type",
    "Dense",
    "not",
    "last",
    "name",
    "params",
    "0.9",
    "ramp",
    "1",
    "'fc*'",
    "[kernel]",
    "true",
    "{gte: 0}",
    "polynomial",
    "4 epochs",
    "0 epochs",
    '"*"',
    "${final}",
    "wide",
    "net",
    "80%",
    "jumps",
    "points",
    "kernel",
    "fc2",
    "conv_1",
    "keep",
    "dense-90",
    "{in: 4, out: 1}",
    "{gte: 1%}",
    "hops: 2",
    "in: [4]",
]
VALUES = [
    "",
    "{}",
    "[]",
    "null",
    "1",
    "-1",
    "1.5",
    "true",
    "'*'",
    "{not: {}}",
    "[1, {a: 2}]",
    ".inf",
    "1k",
    "90%",
    "'['",
    "{glob: '[z-a]'}",
    "{regex: '('}",
    "{in: []}",
]


def _with_words(text, edits):
    for place, cut, word in edits:
        text = text[:place] + word + text[place + cut :]
    return text


def _with_values(text, edits):
    for piece, value in edits:
        text = text.replace(piece, value, 1)
    return text


DAMAGED = st.lists(
    st.tuples(st.integers(0, len(TEXT)), st.integers(0, 6), st.sampled_from(WORDS)),
    min_size=1,
    max_size=4,
).map(lambda edits: _with_words(TEXT, edits))
WITH_OTHER_VALUES = st.lists(
    st.tuples(st.sampled_from(PIECES), st.sampled_from(VALUES)), min_size=1, max_size=3
).map(lambda edits: _with_values(TEXT, edits))
