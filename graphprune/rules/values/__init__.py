"""What rules say, as values: matchers, checks, rules. Nothing here knows a file or a model."""
