"""Shapes of tensors as values, and what operations of TensorFlow make of them.

What belongs here: arithmetic of shapes. What does not: shapes that layers give (`graph.classes`),
the walk through a model (`graph.tensor_shapes`).
"""
