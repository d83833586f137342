"""Training runs on disk: the run folder, checkpoints as files, progress. Nothing here names a
Keras.
"""
