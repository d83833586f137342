"""Rule files and the files beside them as text: where they are, how they are encoded, and the place
of every value.

What belongs here: YAML, encodings, globs and regular expressions. What does not: what a key means.
"""
