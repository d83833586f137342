"""The allow-list of what a model file may name, and the check of a config against it.

The list has classes, functions and operations.

What belongs here: names as data, and the walk that compares a config with them. What does not:
anything that imports or resolves a name.
"""

from graphprune.archive.allowed.check import Refusal, find_refused
from graphprune.archive.allowed.entries import Given

__all__ = ["Given", "Refusal", "find_refused"]
