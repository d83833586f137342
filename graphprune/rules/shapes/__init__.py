"""What the mappings and scalars of rule files have in common, as pydantic models and types.

What belongs here: parts that several sections use. What does not: the shape of one section, which
stands beside what is built from it in `matchers` and `building`.
"""
