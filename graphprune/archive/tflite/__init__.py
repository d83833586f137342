"""TensorFlow Lite files: their tensors and operators, read without TensorFlow's runtime.

What belongs here: the flatbuffer, its sparse encoding and quantization. What does not: writing and
running such files (`serving`), and which layer of a Keras model a tensor belongs to (`plan`).
"""
