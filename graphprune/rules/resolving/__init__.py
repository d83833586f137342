"""Which rule decides for which layer, and what is wrong between the rules and the model."""
