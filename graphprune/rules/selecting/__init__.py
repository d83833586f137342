"""Which layers of a model a matcher selects, and why it leaves a layer."""
