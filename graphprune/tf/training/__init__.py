"""Training runs: data, the loop, checkpoints, and going on from one.

What belongs here: what lasts longer than one step. What does not: masks (`tf.pruning`), and files
of a run that need no TensorFlow (`runs`).
"""
