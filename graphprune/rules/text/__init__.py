"""Rule files and the files beside them as text: where they are, how they are encoded, and the place
of every value.
"""
