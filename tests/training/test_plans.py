"""Plans that are wrong, and plans without a step."""

from __future__ import annotations

import itertools

import pytest
import torch
from run_helpers import final_state

from fasthash.methods import Repeat, Stage
from fasthash.training import Config, Run, Silent, fit


def stage(toy, **changes):
    fields = {
        "length": 2,
        "reads": lambda state, cursor: itertools.repeat(state.data.batch(torch.arange(2))),
        "step": lambda state, batch, cursor: {"y": state.modules["student"](batch.x).mean()},
        "optimisers": {"student": lambda state: torch.optim.SGD(state.modules["student"].parameters(), lr=0.1)},
    }
    return Stage("wrong", **{**fields, **changes})


def one_batch(state, cursor):
    return iter([state.data.batch(torch.arange(2))])


@pytest.mark.parametrize(
    ("changes", "kind", "message"),
    [
        ({"reads": one_batch}, ValueError, "reads must give 2 batches, got 1"),
        ({"reads": lambda s, c: iter([1])}, TypeError, r"reads must give batches \(data\.Batch\), got int"),
        ({"step": lambda s, b, c: None}, TypeError, "step must return a mapping of named losses, got NoneType"),
        ({"step": lambda s, b, c: {}}, TypeError, "step must return a mapping of named losses, got an empty one"),
        ({"step": lambda s, b, c: {"y": b.x}}, TypeError, r"must return scalar tensors, got shape \(2, 4\) for 'y'"),
        ({"step": lambda s, b, c: {"y": 1.0}}, TypeError, "step must return scalar tensors, got float for 'y'"),
        ({"step": lambda s, b, c: {"y": b.x.sum()}}, ValueError, "depends on what optimiser 'student' moves"),
    ],
)
def test_a_wrong_plan_is_named_and_leaves_no_folder(toy, tmp_path, monkeypatch, changes, kind, message):
    monkeypatch.setattr(toy.Toy, "plan", lambda self, data, seed: [stage(toy, **changes)])
    with pytest.raises(kind, match=rf"Stage 'wrong': .*{message}"):
        fit(toy.Toy(), toy.items(), Config(str(tmp_path / "run")), progress=Silent())
    assert (tmp_path / "run").exists() == (message == "reads must give 2 batches, got 1")


def test_closed_forms_alone_are_saved_one_after_another(toy, tmp_path, monkeypatch):
    done, fail = [], [True]

    def closed(name):
        def run(state, cursor):
            if name == "c" and fail:
                raise RuntimeError("power cut")
            done.append(name)
            state.tensors[name] = torch.rand(3)

        return Stage(name, run=run)

    monkeypatch.setattr(toy.Toy, "plan", lambda self, data, seed: [closed(name) for name in "abcd"])
    folder = str(tmp_path / "run")
    with pytest.raises(RuntimeError, match="power cut"):
        fit(toy.Toy(), toy.items(), Config(folder), progress=Silent())
    fail.clear()
    parts = fit(toy.Toy(), toy.items(), Config(folder, resume=True), progress=Silent())
    assert done == ["a", "b", "c", "d"]
    whole = fit(toy.Toy(), toy.items(), Config(str(tmp_path / "whole")), progress=Silent())
    (tensors, _), (expected, _) = final_state(parts), final_state(whole)
    assert all(torch.equal(tensors[f"tensor/{name}"], expected[f"tensor/{name}"]) for name in "abcd")
    assert parts.tensors().keys() == set("abcd")
    assert all(torch.equal(parts.tensors()[name], tensors[f"tensor/{name}"]) for name in "abcd")
    with pytest.raises(FileNotFoundError, match=r"Run\.tensors: folder must hold a checkpoint, got"):
        Run(tmp_path).tensors()
    with pytest.raises(ValueError, match="ema must be None for toy, whose last stage 'd' has no steps"):
        fit(toy.Toy(), toy.items(), Config(str(tmp_path / "ema"), ema=0.5), progress=Silent())
    assert not (tmp_path / "ema").exists()


def test_no_checkpoint_follows_a_quick_closed_form(toy, tmp_path, monkeypatch):
    runs = {}
    for quick in (False, True):

        def plan(self, data, seed, quick=quick):
            draw = Stage("draw", run=lambda state, cursor: None, quick=quick)
            return [Repeat([draw, stage(toy)], times=3)]

        monkeypatch.setattr(toy.Toy, "plan", plan)
        runs[quick] = fit(toy.Toy(), toy.items(), Config(str(tmp_path / str(quick))), progress=Silent())
    assert {quick: [path.name for path in run.checkpoints.iterdir()] for quick, run in runs.items()} == {
        False: ["000004"],
        True: ["000001"],
    }
