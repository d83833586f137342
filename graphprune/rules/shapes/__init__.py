"""Which keys and values a rule file may hold, as pydantic models; and what is said of those that it
may not.
"""
