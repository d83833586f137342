"""Compare two models: which layers correspond, what changed in them, and how sparse they are.

What belongs here: pairing, comparing, and the diff as values and JSON. What does not: its text and
drawings (`report`), and reading the models (`archive`, `graph`).
"""

from graphprune.diff.changes import GraphDiff
from graphprune.diff.document import graph_diff_to_config
from graphprune.diff.graph_diff import diff_graphs

__all__ = ["GraphDiff", "diff_graphs", "graph_diff_to_config"]
