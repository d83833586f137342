"""Training runs on disk: the run folder, checkpoints as files, progress. Nothing here names a
Keras.

What belongs here: files of a run, their locks and hashes, and data files. What does not: training
itself, and what a checkpoint's model holds (`tf`).
"""
