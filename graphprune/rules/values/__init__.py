"""The content of rules as values: rules, actions, checks, custom layers.

What belongs here: frozen values. What does not: matchers (`rules.matchers`), and how values are
parsed or applied.
"""
