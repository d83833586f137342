"""Configs of one Keras rewritten for the other: tf_keras (Keras 2) and Keras 3.

What belongs here: which classes, settings, calls and operations of one Keras are which of the
other. Pure functions on configs; the classes of the Keras that reads the result are asked through
a function that the caller gives.

What does not: building and saving models (`tf`, `keras3`) and reading files (`archive`).
"""
