"""Which rule decides for which layer, and what is wrong between the rules and the model.

What belongs here: everything that needs both a rule set and a model. What does not: reading files.
"""
