"""The names that Keras 3 gives the prunable variables of its layer classes; others have none."""

KERNEL, RECURRENT = frozenset({"kernel"}), frozenset({"kernel", "recurrent_kernel"})
CELLS = "SimpleRNN LSTM GRU SimpleRNNCell LSTMCell GRUCell StackedRNNCells Bidirectional"
PRUNABLE = {
    "Embedding": {"embeddings"},
    "ReversibleEmbedding": {"embeddings", "reverse_embeddings"},
    **dict.fromkeys(("Dense", "EinsumDense", "TimeDistributed", "SpectralNormalization"), KERNEL),
    **dict.fromkeys(("MultiHeadAttention", "GroupQueryAttention"), KERNEL),
    **{f"Conv{rank}D": KERNEL for rank in (1, 2, 3)},
    **{f"Conv{rank}DTranspose": KERNEL for rank in (1, 2, 3)},
    **{f"SeparableConv{rank}D": {"depthwise_kernel", "pointwise_kernel"} for rank in (1, 2)},
    **{f"DepthwiseConv{rank}D": KERNEL for rank in (1, 2)},
    **{f"ConvLSTM{rank}D": RECURRENT for rank in (1, 2, 3)},
    **dict.fromkeys(CELLS.split(), RECURRENT),
}
