"""Runtimes, compilers and processors that models are served on, and how they use zeros.

What belongs here: the table of targets, and what it says of a plan. What does not: running models
(`serving`), and texts for the terminal (`report`).
"""
