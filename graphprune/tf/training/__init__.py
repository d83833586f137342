"""Training runs: data, the loop, checkpoints, and going on from one."""
