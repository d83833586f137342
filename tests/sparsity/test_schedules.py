import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphprune.sparsity.positions import Position, Run
from graphprune.sparsity.schedules import CURVES, Schedule


def steps(value):
    return Position(value, "step")


def due_steps(timetable, last):
    return [step for step in range(last + 1) if timetable.is_due(after=step - 1, step=step)]


@st.composite
def schedules(draw):
    begin = draw(st.integers(0, 50))
    curve = draw(st.sampled_from(list(CURVES)))
    every = draw(st.none() | st.integers(1, 60))
    if curve == "points":
        places = sorted(draw(st.sets(st.integers(0, 200), min_size=1, max_size=4)))
        shares = sorted(
            draw(st.lists(st.floats(0, 0.99), min_size=len(places), max_size=len(places)))
        )
        return Schedule(
            curve,
            every=None if every is None else steps(every),
            points=tuple(zip(map(steps, places), shares, strict=True)),
        )
    end = (
        draw(st.integers(begin, 200))
        if CURVES[curve].ramp is not None
        else draw(st.none() | st.integers(begin, 200))
    )
    return Schedule(
        curve,
        steps(begin),
        None if end is None else steps(end),
        None if every is None else steps(every),
        initial=draw(st.sampled_from([0.0, 0.25, 0.5])),
        power=draw(st.sampled_from([1.0, 2.0, 3.0])),
        name=draw(st.none() | st.just("ramp")),
    )


@given(schedules())
def test_config_round_trips(schedule):
    again = Schedule.from_config(schedule.to_config())
    if not schedule.is_ramp:
        assert (again.curve, again.begin, again.end, again.every, again.name) == (
            schedule.curve,
            schedule.begin,
            schedule.end,
            schedule.every,
            schedule.name,
        )
    else:
        assert again == schedule


@given(schedules(), st.floats(0.5, 0.99))
def test_sparsity_never_falls_and_reaches_the_target(schedule, target):
    table = schedule.to_timetable(Run())
    values = [table.sparsity_at(step, target) for step in range(260)]
    assert values == sorted(values)
    assert values[-1] == target


@given(schedules())
def test_updates_fall_at_begin_and_at_end(schedule):
    table = schedule.to_timetable(Run())
    due = due_steps(table, 260)
    assert due[0] == table.begin
    assert {place for place, _ in table.points} <= set(due)
    if table.end is not None:
        assert due[-1] == table.end
    if table.every is not None and table.end is not None:
        assert set(range(table.begin, table.end, table.every)) <= set(due)


def points(*pairs, every=None):
    return Schedule("points", every=every, points=tuple(pairs))


def test_a_points_schedule_jumps_at_its_points_and_stays_between_them():
    table = points((steps(3), 0.5), (Position(1, "epoch"), 0.8), (steps(20), 0.9)).to_timetable(
        Run(steps_per_epoch=10)
    )
    assert due_steps(table, 50) == [3, 10, 20]
    assert [table.sparsity_at(step, 0.9) for step in (0, 2, 3, 9, 10, 19, 20, 50)] == [
        0.0,
        0.0,
        0.5,
        0.5,
        0.8,
        0.8,
        0.9,
        0.9,
    ]


def test_a_points_schedule_chooses_masks_anew_between_its_points_where_it_is_told_to():
    assert due_steps(
        points((steps(3), 0.5), (steps(20), 0.8), every=steps(6)).to_timetable(Run()), 50
    ) == [3, 9, 15, 20]


def test_a_target_of_its_own_takes_its_part_of_each_point():
    table = points((steps(0), 0.4), (steps(10), 0.8)).to_timetable(Run())
    assert [table.sparsity_at(step, 0.6) for step in (0, 10)] == pytest.approx([0.3, 0.6])


def test_an_exponential_schedule_takes_the_same_share_of_what_is_left_in_every_stretch():
    table = Schedule("exponential", steps(0), steps(40)).to_timetable(Run())
    assert [1 - table.sparsity_at(step, 0.9375) for step in (0, 10, 20, 30, 40)] == [
        1,
        0.5,
        0.25,
        0.125,
        0.0625,
    ]


def test_points_whose_step_nobody_knows_are_named():
    with pytest.raises(
        ValueError,
        match=r"^points\[1\] is 1 epoch, and the number of steps in an epoch is not known$",
    ):
        points((steps(0), 0.1), (Position(1, "epoch"), 0.2), (steps(30), 0.3)).to_timetable(Run())


def test_a_step_schedule_updates_once():
    assert due_steps(Schedule("step", steps(7)).to_timetable(Run()), 400) == [7]


def test_a_constant_schedule_updates_every_hundred_steps_for_ever():
    assert due_steps(Schedule("constant", steps(5)).to_timetable(Run()), 400) == [5, 105, 205, 305]


def test_a_jump_over_an_update_still_makes_it_due():
    table = Schedule("linear", steps(0), steps(100), steps(30)).to_timetable(Run())
    assert table.is_due(after=28, step=36)
    assert not table.is_due(after=30, step=36)
    assert table.is_due(after=95, step=400)
    assert not table.is_due(after=100, step=400)


def test_epochs_become_steps_with_the_run():
    schedule = Schedule("polynomial", Position(1, "epoch"), Position(50, "percent"), steps(10))
    table = schedule.to_timetable(Run(steps_per_epoch=45, epochs=10))
    assert (table.begin, table.end, table.every) == (45, 225, 10)


@pytest.mark.parametrize(
    ("build", "text"),
    [
        (lambda: Schedule("cubic"), f"curve must be one of {', '.join(CURVES)}, got 'cubic'"),
        (lambda: Schedule("linear"), "a linear schedule needs an end"),
        (
            lambda: Schedule("linear", steps(9), steps(3)),
            r"end \(3 steps\) comes before begin \(9 steps\)",
        ),
        (
            lambda: Schedule("linear", steps(0), steps(3), initial=1.0),
            "from must be at least 0 and below 1, got 1.0",
        ),
        (
            lambda: Schedule("linear", steps(0), steps(3), steps(0)),
            "every must be above 0, got 0 steps",
        ),
        (
            lambda: Schedule("polynomial", steps(0), steps(3), power=0),
            "power must be above 0, got 0",
        ),
        (lambda: Schedule("points"), "a points schedule needs points"),
        (
            lambda: Schedule("constant", points=((steps(1), 0.5),)),
            "a constant schedule has no points, got 1",
        ),
        (
            lambda: points((steps(1), 1.0)),
            "the sparsity of a point must be at least 0 and below 1, got 1",
        ),
        (
            lambda: points((steps(5), 0.5), (steps(5), 0.6)),
            "points must be in the order of the run, got 5 steps after 5 steps",
        ),
        (
            lambda: points((steps(5), 0.5), (steps(6), 0.4)),
            "sparsity must not fall from point to point, got 0.4 at 6 steps after 0.5 at 5 steps",
        ),
        (
            lambda: points(
                (steps(9), 0.5), (Position(1, "epoch"), 0.6), (steps(12), 0.7)
            ).to_timetable(Run(5)),
            (
                r"points must be in the order of the run, got 1 epoch \(step 5\) after 9 steps"
                r" \(step 9\)"
            ),
        ),
        (
            lambda: Schedule("linear", end=Position(3, "epoch")).to_timetable(Run()),
            "end is 3 epochs, and the number of steps in an epoch is not known",
        ),
        (
            lambda: Schedule("linear", steps(99), Position(1, "epoch")).to_timetable(Run(10)),
            r"end \(1 epoch, step 10\) comes before begin \(99 steps, step 99\)",
        ),
    ],
)
def test_impossible_schedules_are_refused(build, text):
    with pytest.raises(ValueError, match=f"^{text}$"):
        build()


def test_a_negative_step_is_refused():
    with pytest.raises(ValueError, match=r"^step must be at least 0, got -1$"):
        Schedule("constant").to_timetable(Run()).sparsity_at(-1, 0.5)
