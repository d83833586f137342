import pytest

from graphprune.errors import Diagnostic, Where
from graphprune.plan.diagnostic_json import diagnostic_from_fields, diagnostic_to_config
from graphprune.plan.fields import Fields


@pytest.mark.parametrize(
    "diagnostic",
    [
        Diagnostic("rule/no-match", "nothing", Where("p.yaml", 3, 9), "help", severity="warning"),
        Diagnostic("a/b", "c", Where("p.yaml")),
        Diagnostic(
            "a/b", "c", related=((Where("p.yaml", 1, 2), "x"), (Where("q.yaml", 3, 4), "y"))
        ),
    ],
)
def test_diagnostics_come_back(diagnostic):
    assert (
        diagnostic_from_fields(Fields(diagnostic_to_config(diagnostic), "plan.json")) == diagnostic
    )
