"""Which keys and values a rule file may hold, as pydantic models; and what is said of those that it
may not.

What belongs here: the base of those models, and forms of values that several keys share. What does
not: the fields of one key, which stand beside what builds them.
"""
