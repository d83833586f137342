"""HDF5 files: `.h5` models, and the weights inside of `.keras` files.

What belongs here: groups, attributes and data sets, read without following links or trusting
sizes. What does not: the zip around them (`archive.keras_zip`), and which data set is which weight
(`graph`).
"""
