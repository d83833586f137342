"""Which rule decides for which layer, and everything that is wrong between the rules and the model."""
