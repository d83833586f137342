"""Which rule decides for which layer, and what is wrong between the rules and the model.

What belongs here: claims, conflicts, near misses and explanations. What does not: how a file is
written (`rules.building`), and what a claim does to a layer (`plan`).
"""
