"""Training runs on disk: the run folder, checkpoint files, arguments and data, without Keras.

What belongs here: files of a run, their locks and hashes, and data files. What does not: training
itself, and what a checkpoint's model holds (`tf`).
"""
