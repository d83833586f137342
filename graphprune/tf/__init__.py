"""TensorFlow: the only package that names it. Wrapper, pruner, surgery, training and serving
export; imported when first used.
"""
