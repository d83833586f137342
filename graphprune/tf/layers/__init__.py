"""Single live layers: what is known of their weights, copies of them, and what Keras gets wrong
about some.

What belongs here: what can be said of a layer without its model. What does not: wrapping and masks
(`tf.pruning`).
"""
