"""tf_keras: the wrapper, surgery on live models, loading, saving and training.

The only package that imports TensorFlow and tf_keras; imported when first used.

What belongs here: what needs a live model or a tensor of TensorFlow. What does not: anything that
the commands without TensorFlow use.
"""
