"""Numbers only: exact counts, schedules, patterns and reference masks, without a framework."""
