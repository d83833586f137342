import pytest

from graphprune.sparsity.positions import Position, Run, parse_position


@pytest.mark.parametrize(
    ("text", "position", "shown"),
    [
        ("4 epochs", Position(4, "epoch"), "4 epochs"),
        ("1 epoch", Position(1, "epoch"), "1 epoch"),
        ("1.5 epochs", Position(1.5, "epoch"), "1.5 epochs"),
        ("2000 steps", Position(2000, "step"), "2000 steps"),
        ("3000000 steps", Position(3_000_000, "step"), "3000000 steps"),
        ("60%", Position(60, "percent"), "60%"),
    ],
)
def test_text_and_position_are_one(text, position, shown):
    assert parse_position(text) == position
    assert str(position) == shown
    assert Position.from_config(position.to_config()) == position


@pytest.mark.parametrize("text", ["4", "4 weeks", "", "-1 steps", "epochs", "4 epochs or so"])
def test_a_position_without_a_known_unit_is_refused(text):
    with pytest.raises(
        ValueError,
        match=r"a position needs a unit: '4 epochs', '2000 steps' or '60%' of the run; got ",
    ):
        parse_position(text)


def test_units_become_steps_when_the_run_is_known():
    run = Run(steps_per_epoch=45, epochs=10)
    assert [parse_position(text).to_step(run) for text in ("2 epochs", "7 steps", "60%")] == [
        90,
        7,
        270,
    ]
    assert [
        parse_position(text).to_step(Run(steps_per_epoch=45))
        for text in ("2 epochs", "7 steps", "60%")
    ] == [90, 7, None]


@pytest.mark.parametrize("config", [{}, {"epoch": 1, "step": 2}, {"week": 1}])
def test_a_damaged_config_is_refused(config):
    with pytest.raises(ValueError, match=r"^a position is "):
        Position.from_config(config)
