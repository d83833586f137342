"""Live models from files and back, and which files are refused.

What belongs here: loading, saving and compile settings. What does not: changing a model
(`tf.pruning`).
"""
