"""Single live layers: their weights, copies of them, and repairs of Keras for some of them.

What belongs here: what can be said of a layer without its model. What does not: wrapping and masks
(`tf.pruning`).
"""
