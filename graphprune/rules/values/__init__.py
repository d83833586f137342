"""What rules say, as values: matchers, checks, rules.

What belongs here: frozen values. What does not: how they are written or carried out.
"""
