"""Training runs of Keras 3: data, compile settings, `fit` from inside an epoch, and its state.

What belongs here: what `graphprune.engine.training` needs of Keras 3. What does not: masks and
their state in files (`keras3`), and decisions (`engine`).
"""
