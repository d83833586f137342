"""tf_keras: the wrapper, surgery on live models, loading, saving and training.

The only package that imports TensorFlow and tf_keras; imported when first used.

What belongs here: code that needs a live model or a TensorFlow tensor. What does not: anything that
the commands without TensorFlow use.
"""
