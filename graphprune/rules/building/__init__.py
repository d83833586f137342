"""Build a rule set from the text of rule files, with every fault of every file in one run.

What belongs here: parsed values, and faults with their positions. What does not: anything that
reads a model (`rules.resolving`).
"""
