"""The shapes of the tensors between layers.

What belongs here: what a layer or operation gives for the shapes it takes. What does not: shapes of
weights (`graph.classes`).
"""
