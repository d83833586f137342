"""Which rule decides each layer, and the faults of rules against a model.

What belongs here: claims, conflicts, near misses and explanations. What does not: the form of rule
files (`rules.building`), and the effect of a claim on a layer (`plan`).
"""
