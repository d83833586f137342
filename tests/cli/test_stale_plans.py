"""A plan that depends on weights is stale for other weights of the same layers; one that does not
depend on them is not.
"""

import io
import json
import zipfile

import h5py
import pytest
from commands import run_command

from graphprune.cli.inputs import open_model
from graphprune.cli.options import RuleOptions
from graphprune.cli.planning import plan_for
from graphprune.shipped import shipped_file

MODEL = shipped_file("fixtures/digits-cnn.keras")
STEP = "schedule: {curve: step, begin: 0 steps}"
RULES = {
    "magnitude": (
        "budgets: {net: {sparsity: 80%, allocate: magnitude}}\n"
        f"rules: [{{id: a, match: {{name: [conv_2, hidden]}}, prune: {{budget: net, {STEP}}}}}]\n"
    ),
    "sparsity": (
        "rules: [{id: a, match: {type: Conv2D, weight: {sparsity: {lt: 10%}}}, prune:"
        f" {{sparsity: 80%, {STEP}}}}}]\n"
    ),
    "selector": (
        "selectors: {dense: {weight: {sparsity: 0}}}\n"
        f"rules: [{{id: a, match: {{use: dense}}, prune: {{sparsity: 80%, {STEP}}}}}]\n"
    ),
    "check": (
        "require: [{id: c, every: '*', satisfies: {weight: {sparsity: {lt: 10%}}}}]\n"
        f"rules: [{{id: a, match: '*', prune: {{sparsity: 80%, {STEP}}}}}]\n"
    ),
    "none": f"rules: [{{id: a, match: {{type: Conv2D}}, prune: {{sparsity: 80%, {STEP}}}}}]\n",
}
NO_RULES = RuleOptions((), {}, (), (), {})
STALE = """\
error[plan/stale]: the plan was made from other weights of 'conv_2', and it depends on them
  --> plan.json
  help: make the plan again for this model: graphprune plan MODEL -r RULES -o PLAN.json
"""


def save_with_other_weights(path, name):
    """Write the model with the weights of one layer doubled, which leaves its graph and its zeros
    as they are.
    """
    with zipfile.ZipFile(MODEL) as source, zipfile.ZipFile(path, "w") as target:
        for entry in source.namelist():
            content = source.read(entry)
            if entry.endswith(".h5"):
                buffer = io.BytesIO(content)
                with h5py.File(buffer, "r+") as weights:
                    kernel = weights[f"layers/{name}/vars/0"]
                    kernel[...] = kernel[...] * 2
                content = buffer.getvalue()
            target.writestr(entry, content)


@pytest.mark.parametrize("kind", RULES)
def test_other_weights_make_a_plan_stale_where_it_depends_on_them(tmp_path, monkeypatch, kind):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "p.yaml").write_text(f"version: 1\n{RULES[kind]}")
    save_with_other_weights("other.keras", "conv2d_1")
    assert run_command("plan", MODEL, "-r", "p.yaml", "-o", "plan.json").code == 0
    plan = json.loads((tmp_path / "plan.json").read_text())
    assert plan["depends_on_weights"] is (kind != "none")
    assert (plan["model"]["weights_sha256"] is None) is (kind == "none")
    if kind == "none":
        assert plan_for(open_model("other.keras"), NO_RULES, "plan.json").changes
    else:
        done = run_command("apply", "other.keras", "--plan", "plan.json", "-o", "out.keras")
        assert (done.code, done.err) == (1, STALE)
