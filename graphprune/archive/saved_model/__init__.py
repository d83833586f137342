"""SavedModel folders: Keras's metadata, and the tensor bundle with the weights.

What belongs here: protocol buffers, tables of keys and their checksums, and which tensor stands
below which layer. What does not: anything that runs the graph of the model.
"""
