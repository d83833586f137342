"""What rules say, as values: rules, actions, checks, custom layers.

What belongs here: frozen values. What does not: matchers (`rules.matchers`), and how values are
written or carried out.
"""
