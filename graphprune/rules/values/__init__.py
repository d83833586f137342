"""What rules say, as values: rules, actions, checks, custom layers. Nothing here knows a file; what
matchers say stands in `matchers`.
"""
