"""One record for each layer class of Keras: weights, axes, layers inside, shapes, argument names.

What belongs here: facts about one class, by its config alone, in one module a family. What does
not: anything that looks at a second layer or at the tensors of a file.
"""
