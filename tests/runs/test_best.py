import pytest

from graphprune.errors import TrainingError
from graphprune.runs.best import Best, Ranking, parse_ranking


def made(value, *, at_target=True, step=10):
    return Best("m", value, 1, step, at_target)


@pytest.mark.parametrize(
    ("text", "metric", "rises"),
    [
        ("val_accuracy", "val_accuracy", True),
        ("val_loss", "val_loss", False),
        ("auc_1", "auc_1", True),
        ("val_heads_mae", "val_heads_mae", False),
        ("psnr:max", "psnr", True),
        (" val_accuracy:min ", "val_accuracy", False),
    ],
)
def test_the_name_or_the_user_says_what_is_better(text, metric, rises):
    assert parse_ranking(text) == Ranking(metric, rises)


@pytest.mark.parametrize("text", ["", "val_loss:up", "a:b:min", "val loss"])
def test_what_is_no_metric_is_refused(text):
    with pytest.raises(TrainingError) as caught:
        parse_ranking(text)
    assert str(caught.value) == (
        f"keep best: must be METRIC, METRIC:min or METRIC:max, got {text!r}; write 'val_accuracy'"
        " or 'val_loss'"
    )


@pytest.mark.parametrize("rises", [True, False])
def test_only_a_better_epoch_takes_the_place_of_the_best(rises):
    ranking, sign = Ranking("m", rises), 1 if rises else -1
    assert ranking.is_better(made(0.5), None)
    assert ranking.is_better(made(0.5 + 0.1 * sign), made(0.5))
    assert not ranking.is_better(made(0.5), made(0.5))
    assert not ranking.is_better(made(0.5 - 0.1 * sign), made(0.5))
    assert not ranking.is_better(made(float("nan")), None)


def test_an_epoch_at_the_target_sparsity_is_better_than_all_before():
    ranking, dense = Ranking("m", rises=True), made(0.9, at_target=False)
    assert ranking.is_better(made(0.1), dense)
    assert not ranking.is_better(dense, made(0.1))
    assert ranking.is_better(made(0.95, at_target=False), dense)


def test_an_unknown_metric_is_refused_with_those_there_are():
    Ranking("loss", rises=False).check_known(["loss", "val_loss"])
    with pytest.raises(TrainingError) as caught:
        Ranking("val_acuracy", rises=True).check_known(["loss", "val_accuracy"])
    assert str(caught.value) == (
        "keep best: got 'val_acuracy', which is no metric of this run; closest:"
        " 'val_accuracy'; available: loss, val_accuracy"
    )
