"""Conditions on one layer, and the sets of layers of a graph that they match.

A family module has everything about its keys: their form in a rule file (`MatcherKey`, with the
text for editors and the reference), the value built from them, the layers it matches, its wording,
and the reason why a layer does not match. `keys.py` lists the keys.

What belongs here: everything about a matcher key. What does not: rules and actions.
"""
