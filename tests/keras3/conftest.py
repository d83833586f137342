"""Keeps the scripts of the child processes out of the search for doctests: they import Keras 3."""

collect_ignore = ["loop_cases.py", "models.py", "saving_cases.py", "training_cases.py"]
