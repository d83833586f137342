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
EARLIER = """\
error[plan/stale]: the plan was made for another model: its config differs (an earlier\
 graphprune wrote this plan, which cannot tell changed layers from settings that another Keras\
 wrote)
  --> earlier.json
  help: make the plan again for this model: graphprune plan MODEL -r RULES -o PLAN.json
"""
NO_RULES = RuleOptions((), {}, (), (), {})
STALE = """\
error[plan/stale]: the plan depends on the weights of 'conv_2', and those of this model differ
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


def save_as_older_keras(path):
    """Write the model as a Keras wrote it that did not know some settings."""
    with zipfile.ZipFile(MODEL) as source, zipfile.ZipFile(path, "w") as target:
        for entry in source.namelist():
            content = source.read(entry)
            if entry == "config.json":
                config = json.loads(content)
                for layer in config["config"]["layers"]:
                    for name in ("optional", "groups", "kernel_constraint", "trainable"):
                        layer["config"].pop(name, None)
                content = json.dumps(config).encode()
            target.writestr(entry, content)


@pytest.mark.parametrize(("planned", "given"), [("older", "newer"), ("newer", "older")])
@pytest.mark.parametrize("kind", RULES)
def test_a_plan_fits_the_model_that_another_keras_saved_again(
    tmp_path, monkeypatch, kind, planned, given
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "p.yaml").write_text(f"version: 1\n{RULES[kind]}")
    save_as_older_keras("older.keras")
    files = {"older": "older.keras", "newer": str(MODEL)}
    assert run_command("plan", files[planned], "-r", "p.yaml", "-o", "plan.json").code == 0
    assert open_model("older.keras").graph.sha256 != open_model(str(MODEL)).graph.sha256
    assert plan_for(open_model(files[given]), NO_RULES, "plan.json").changes


def test_a_plan_of_an_earlier_version_fits_the_file_that_it_was_made_for(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "p.yaml").write_text(f"version: 1\n{RULES['none']}")
    save_as_older_keras("older.keras")
    assert run_command("plan", "older.keras", "-r", "p.yaml", "-o", "plan.json").code == 0
    plan = json.loads((tmp_path / "plan.json").read_text())
    del plan["model"]["architecture_sha256"]
    (tmp_path / "earlier.json").write_text(json.dumps(plan))
    assert plan_for(open_model("older.keras"), NO_RULES, "earlier.json").changes
    done = run_command("apply", MODEL, "--plan", "earlier.json", "-o", "out.keras")
    assert (done.code, done.err) == (1, EARLIER)


def test_verify_measures_a_model_of_an_older_keras(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "p.yaml").write_text(f"version: 1\n{RULES['none']}")
    save_as_older_keras("older.keras")
    for planned, measured in ((MODEL, "older.keras"), ("older.keras", MODEL)):
        assert run_command("plan", planned, "-r", "p.yaml", "-o", "p.json", "--force").code == 0
        done = run_command("verify", measured, "--plan", "p.json", "--brief")
        assert (done.code, done.err) == (2, "")
        assert done.out.endswith("Drift: 3 of 3 tensors; 0 zeros of 14,976 planned.\n")


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
