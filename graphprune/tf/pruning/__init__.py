"""The wrapper, the pruner that moves its masks, and the wrapping and stripping of live models.

What belongs here: masks and schedules on live variables. What does not: data, epochs and
checkpoints (`tf.training`).
"""
