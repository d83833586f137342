"""The public names: a table in graphprune/__init__.py, resolved on first use."""

import pytest

import graphprune

HOME_OF = {name: home for home, names in graphprune._HOMES.items() for name in names}


def test_the_table_of_homes_and_the_list_of_names_agree():
    assert sorted(HOME_OF) == graphprune.__all__ == dir(graphprune)


@pytest.mark.parametrize(
    "name", [name for name, home in HOME_OF.items() if not home.startswith("tf.")]
)
def test_a_light_name_resolves(name):
    assert getattr(graphprune, name).__name__ == name


@pytest.mark.tf
@pytest.mark.parametrize("name", [name for name, home in HOME_OF.items() if home.startswith("tf.")])
def test_a_name_that_needs_tensorflow_resolves(name):
    assert getattr(graphprune, name).__name__ == name


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match=r"^module 'graphprune' has no attribute 'prune_all'$"):
        graphprune.prune_all  # noqa: B018
