"""Operations that Keras 3 writes for implicit masks."""

from graphprune.archive.implied_masks import without_implied_masks


def entry(name, kind, *calls, **config):
    module = "keras.src.ops.numpy" if kind == "NotEqual" else "keras.layers"
    return {
        "class_name": kind,
        "module": module,
        "name": name,
        "config": {"name": name, **config},
        "inbound_nodes": list(calls),
    }


def mask_of(source):
    return entry(f"mask_{source}", "NotEqual", [[source, 0, 0, {"arg_1": 0}]])


def test_the_masks_of_each_call_of_an_embedding_are_implied():
    shared = [
        [["e", call, 0, {"mask": [f"mask_{source}", 0, 0]}]] for call, source in enumerate("ab")
    ]
    layers = [
        entry("a", "InputLayer"),
        entry("b", "InputLayer"),
        entry("e", "Embedding", [["a", 0, 0, {}]], [["b", 0, 0, {}]], mask_zero=True),
        mask_of("a"),
        mask_of("b"),
        entry("rnn", "LSTM", *shared),
    ]
    found = without_implied_masks(layers, [["rnn", 0, 0], ["rnn", 1, 0]])
    assert [each["name"] for each in found] == ["a", "b", "e", "rnn"]
    assert found[-1]["inbound_nodes"] == [[["e", call, 0, {}]] for call in (0, 1)]


def test_a_comparison_of_something_else_is_kept():
    layers = [
        entry("a", "InputLayer"),
        entry("b", "InputLayer"),
        entry("e", "Embedding", [["a", 0, 0, {}]], mask_zero=True),
        mask_of("b"),
        entry("rnn", "LSTM", [["e", 0, 0, {"mask": ["mask_b", 0, 0]}]]),
    ]
    assert without_implied_masks(layers, [["rnn", 0, 0]]) == layers
