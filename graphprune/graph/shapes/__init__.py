"""The shapes of the tensors between layers."""
