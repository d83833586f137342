"""Channels of a model: which must be removed together, which are dead, and their removal.

What belongs here: groups of coupled channels over a layer graph, and smaller configs and weights.
What does not: how a layer class treats channels (`graph.classes`), and which channels a rule prunes
(`rules`, `plan`).
"""
