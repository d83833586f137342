"""The layer classes of Keras as tables: weights, axes, base classes, shapes.

What belongs here: facts about one class, by its config alone. What does not: anything that looks at
a second layer or at the tensors of a file.
"""
