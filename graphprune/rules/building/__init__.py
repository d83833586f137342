"""From the text of rule files to a rule set: every fault of every file in one run.

What belongs here: the shape of each section and what is built from it, and what is wrong with a
file. What does not: anything that needs a model.
"""
