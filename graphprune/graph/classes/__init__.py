"""The layer classes of Keras as tables: weights, axes, base classes, shapes."""
