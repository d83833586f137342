"""Numbers only: exact counts, schedules, patterns and reference masks, without a framework.

What belongs here: arithmetic on arrays and steps, with its source. What does not: layers, models
and files.
"""
