"""TensorFlow: the only package that names it. Wrapper, pruner, surgery, training and serving
export; imported when first used.

What belongs here: what needs a live model or a tensor of TensorFlow. What does not: anything that
the commands without TensorFlow use.
"""
