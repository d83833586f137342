"""The text of rule files, below the level of keys: YAML with places, scalars, mappings.

What belongs here: files and encodings, YAML, regular expressions, and the pydantic types that
several sections use. What does not: what a key means; its shape stands beside what is built from
it, in `matchers` and `building`.
"""
