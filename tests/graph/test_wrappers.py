import pytest

from graphprune.graph.wrappers import read_toolkit_pruning, toolkit_state_names

RAMP = {
    "class_name": "PolynomialDecay",
    "config": {
        "initial_sparsity": 0.2,
        "final_sparsity": 0.8,
        "power": 3,
        "begin_step": 2,
        "end_step": 8,
        "frequency": 2,
    },
}
CONSTANT = {
    "class_name": "ConstantSparsity",
    "config": {"target_sparsity": 0.5, "begin_step": 1, "end_step": -1, "frequency": 4},
}


def config(kind, schedule, **more):
    return {
        "layer": {"class_name": kind, "config": {"name": "x", **more.pop("settings", {})}},
        "pruning_schedule": schedule,
        "block_size": [1, 1],
        **more,
    }


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (config("Dense", RAMP), "80% polynomial 2 steps..8 steps unstructured ('kernel',)"),
        (config("Dense", CONSTANT), "50% constant 1 step unstructured ('kernel',)"),
        (
            config("Dense", RAMP, block_size=[4, 1], block_pooling_type="MAX"),
            "80% polynomial 2 steps..8 steps block in 4 x out 1, max ('kernel',)",
        ),
        (
            config("Conv2D", RAMP, block_size=[4, 1], settings={"kernel_size": [3, 3]}),
            "80% polynomial 2 steps..8 steps unstructured ('kernel',)",
        ),
        (
            config("SeparableConv2D", CONSTANT),
            "50% constant 1 step unstructured ('pointwise_kernel',)",
        ),
        (config("DepthwiseConv2D", CONSTANT), "50% constant 1 step unstructured ()"),
        (config("Flatten", CONSTANT), "50% constant 1 step unstructured ()"),
    ],
)
def test_the_toolkits_words_are_read(given, text):
    pruning = read_toolkit_pruning(given)
    assert f"{pruning.sparsity:.0%} {pruning.schedule} {pruning.pattern} {pruning.weights}" == text


@pytest.mark.parametrize(
    "given", [config("Dense", {"class_name": "Own", "config": {}}), config("My>Layer", RAMP)]
)
def test_what_only_the_users_classes_say_is_left_open(given):
    assert read_toolkit_pruning(given) is None


def test_masks_go_by_the_weights_that_they_mask():
    names = toolkit_state_names(
        ["mask", "threshold", "mask", "threshold", "pruning_step"],
        read_toolkit_pruning(config("LSTM", RAMP)),
    )
    assert names == [
        "mask_kernel",
        "threshold_kernel",
        "mask_recurrent_kernel",
        "threshold_recurrent_kernel",
        "pruning_step",
    ]
