import os
import shutil

import pytest
import torch

from fasthash.methods import Cursor, State
from fasthash.training import checkpoint
from fasthash.training.checkpoint import latest_checkpoint, load_checkpoint, save_checkpoint
from fasthash.training.seeds import Streams, streams


def run_state(value=0.0):
    module = torch.nn.BatchNorm1d(3)
    torch.nn.init.constant_(module.weight, value)
    state = State(None, {"net": module}, tensors={"codes": torch.full((2,), value)})
    optimiser = torch.optim.Adam(module.parameters(), lr=0.1)
    module(torch.randn(4, 3)).square().sum().backward()
    optimiser.step()
    return state, {"net": optimiser}


def test_everything_comes_back(tmp_path):
    state, optimisers = run_state(2.0)
    drawn_before = torch.rand(3, generator=state.generator("view"))
    save_checkpoint(tmp_path, state, optimisers, Cursor((1, 0, 2), 7), {"steps": 9})
    expected = (torch.rand(3), torch.rand(3, generator=state.generator("view")))
    other, other_optimisers = run_state()
    cursor, rest = load_checkpoint(latest_checkpoint(tmp_path), other, other_optimisers)
    assert (cursor, rest["steps"]) == (Cursor((1, 0, 2), 7), 9)
    assert torch.equal(torch.rand(3), expected[0])
    assert torch.equal(torch.rand(3, generator=other.generator("view")), expected[1])
    assert not torch.equal(drawn_before, expected[1])
    assert torch.equal(other.tensors["codes"], state.tensors["codes"])
    for key, value in state.modules["net"].state_dict().items():
        assert torch.equal(other.modules["net"].state_dict()[key], value)
    ours, theirs = optimisers["net"].state_dict(), other_optimisers["net"].state_dict()
    assert all(torch.equal(ours["state"][0][k], theirs["state"][0][k]) for k in ("step", "exp_avg", "exp_avg_sq"))


def test_python_and_numpy_numbers_go_on(tmp_path):
    import random

    import numpy as np

    state, optimisers = run_state()
    save_checkpoint(tmp_path, state, optimisers, None, {})
    expected = random.random(), np.random.rand()  # noqa: NPY002
    assert load_checkpoint(latest_checkpoint(tmp_path), state, optimisers)[0] is None
    assert (random.random(), np.random.rand()) == expected  # noqa: NPY002


@pytest.mark.parametrize("kinds", [("cuda", "cpu"), ("cpu", "cuda")])
def test_a_run_of_another_kind_of_device_is_refused_and_nothing_set(tmp_path, kinds):
    state, optimisers = run_state(2.0)
    state.generator("view")
    found = streams(state)
    if kinds[0] == "cuda":
        states = {"cpu": found.torch["cpu"], "cuda": torch.zeros(16, dtype=torch.uint8)}
        found = Streams({"view": states["cuda"]}, states, found.others)
    save_checkpoint(tmp_path, state, optimisers, Cursor((0,), 7), {}, everywhere=[found])
    other, other_optimisers = run_state()
    other.device = torch.device(kinds[1])
    before = torch.get_rng_state()
    with pytest.raises(ValueError, match=f"config.accelerator must be '{kinds[0]}', got '{kinds[1]}'"):
        load_checkpoint(latest_checkpoint(tmp_path), other, other_optimisers)
    assert other.modules["net"].weight.abs().max() < 1
    assert other.tensors["codes"].tolist() == [0, 0]
    assert torch.equal(torch.get_rng_state(), before)


def test_a_new_checkpoint_takes_the_place_of_the_old(tmp_path):
    state, optimisers = run_state()
    paths = [save_checkpoint(tmp_path, state, optimisers, Cursor((0,), step), {}) for step in (1, 2)]
    assert [path.name for path in tmp_path.iterdir()] == [paths[1].name]


@pytest.mark.parametrize("where", ["tensors", "json", "flush", "rename"])
def test_an_interrupted_write_leaves_the_old_one(tmp_path, monkeypatch, where):
    state, optimisers = run_state(1.0)
    old = save_checkpoint(tmp_path, state, optimisers, Cursor((0,), 5), {})

    def fail(*_, **__):
        raise OSError("disk full")

    def half(tensors, path):
        path.write_bytes(b"half")
        fail()

    with monkeypatch.context() as broken:
        if where == "tensors":
            broken.setattr(checkpoint, "save_file", half)
        elif where == "json":
            broken.setattr(checkpoint.json, "dumps", fail)
        elif where == "flush":
            broken.setattr(os, "fsync", fail)
        else:
            broken.setattr(checkpoint.Path, "rename", fail)
        with pytest.raises(OSError, match="disk full"):
            save_checkpoint(tmp_path, state, optimisers, Cursor((0,), 6), {})
    assert latest_checkpoint(tmp_path) == old
    assert load_checkpoint(old, *run_state())[0] == Cursor((0,), 5)
    # The next write is not in the way of the wreck.
    new = save_checkpoint(tmp_path, state, optimisers, Cursor((0,), 7), {})
    assert [path.name for path in tmp_path.iterdir()] == [new.name]


def test_stopped_between_rename_and_delete_the_newer_counts(tmp_path):
    state, optimisers = run_state()
    old = save_checkpoint(tmp_path, state, optimisers, Cursor((0,), 1), {})
    shutil.copytree(old, tmp_path / "copy")
    new = save_checkpoint(tmp_path, state, optimisers, Cursor((0,), 2), {})
    (tmp_path / "copy").rename(old)
    assert latest_checkpoint(tmp_path) == new
    assert latest_checkpoint(tmp_path / "nowhere") is None
