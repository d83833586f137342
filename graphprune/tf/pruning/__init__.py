"""The wrapper, the pruner that moves its masks, and the wrapping and stripping of live models."""
