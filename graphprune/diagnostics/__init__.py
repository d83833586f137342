"""Faults and warnings: what one is, what its slug means, and how it is shown.

What belongs here: the diagnostic, its place and order, the table of slugs, the lines of source
under a place, and the renderings as text, JSON and annotations on GitHub. What does not: what is
wrong with a file or a model (the package that finds it says that), exceptions (`errors`), and where
the text goes (`cli`).
"""
