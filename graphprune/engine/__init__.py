"""The pruner, independent of any Keras: when masks change and to what, and how training runs.

What belongs here: decisions on numbers and NumPy arrays, and the protocols (`engine.held`) that a
Keras implements. What does not: anything that imports TensorFlow, tf_keras or Keras.
"""
