"""From the text of rule files to a rule set: every fault of every file in one run.

What belongs here: the values that texts stand for, and faults with their places. What does not:
anything that looks at a model (`rules.resolving`).
"""
