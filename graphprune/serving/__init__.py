"""Exported models: conversion to TensorFlow Lite and ONNX, and the check of what a file computes.

What belongs here: what starts from an exported SavedModel or the bytes of a file. What does not:
anything that names a Keras; `tf` and `keras3` export their models and call this.
"""
