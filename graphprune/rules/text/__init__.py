"""The text of rule files below the level of keys: YAML with positions, scalars, mappings.

What belongs here: files and encodings, YAML, regular expressions, and the pydantic types that
several sections use. What does not: the meaning of keys, whose shapes are in `matchers` and
`building` beside what is built from them.
"""
