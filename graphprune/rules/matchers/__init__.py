"""Conditions on one layer, and the sets of layers of a graph that they match.

A family module holds all that is known of its keys: how a rule file writes them (`MatcherKey`, with
what an editor and the reference say), the value that is built, which layers it holds for, its
words, and why a layer is outside. `keys.py` lists the keys.

What belongs here: all that is known of a matcher key. What does not: rules and actions.
"""
