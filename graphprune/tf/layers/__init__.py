"""Single live layers: what is known of their weights, copies of them, and what Keras gets wrong
about some.
"""
