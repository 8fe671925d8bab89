"""Each method there is: trained twice, once with a break, it ends with the same weights and codes."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from run_helpers import StopAfter, final_state, same_weights

from fasthash import methods
from fasthash.data import Modalities, TrainingSet, as_source
from fasthash.training import Config, Silent, Validation, fit, load

SMALL = {
    "bits": 8,
    "network": {"widths": (16,), "hidden": 16, "dropout": 0.2},
    "perturbation": {"noise": 0.1},
    "epochs": 3,
    "outer_iters": 8,
    "batch_size": 20,
    "labelled": 10,
    "noisy": "quantile",
    "share": 0.3,
    "noisy_epochs": 30,
    "adversarial_rounds": 2,
    "selector_epochs": 1,
    "refine_rounds": 3,
}
ACROSS = {"skdch"}  # methods whose items come in several modalities


def small(name):
    """The method with as many of these options as it has."""
    known = {field.name for field in dataclasses.fields(methods.create(name))}
    return methods.create(name, **{key: value for key, value in SMALL.items() if key in known})


@pytest.mark.parametrize("name", methods.available())
def test_stopped_and_resumed_is_the_same_run(name, tmp_path):
    x = torch.randn(72, 16, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(72) % 3
    if name in ACROSS:
        there = torch.arange(72) % 5 > 0
        x = Modalities({"left": x[:, :10], "right": x[:, 6:]}, present={"right": there})
    source = as_source(x)
    items = TrainingSet(source.select(range(60)), labels[:60], range(20), range(20, 60))
    queries, database = source.select(range(60, 72)), source.select(range(20))
    validation = Validation(queries, labels[60:], database, labels[:20])

    def run(folder, progress, resume=False):
        config = Config(str(tmp_path / folder), accelerator="cpu", log_every=1, validate_every=3, resume=resume)
        return fit(small(name), items, config, validation=validation, progress=progress)

    whole = run("whole", Silent())
    steps = final_state(whole)[1]["steps"]
    if steps:
        with pytest.raises(KeyboardInterrupt):
            run("parts", StopAfter(steps // 2))
    parts = run("parts", Silent(), resume=True)
    assert same_weights(whole, parts)
    (tensors, _), (expected, _) = final_state(parts), final_state(whole)
    assert tensors.keys() == expected.keys()
    assert all(torch.equal(tensors[key], expected[key]) for key in expected)
    assert whole.best == parts.best
    assert whole.best["score"] > 0
    for which in ("best", "last"):
        for modality in source.names if name in ACROSS else (None,):
            codes = load(whole, which=which).encode(x, modality=modality)
            assert torch.equal(codes, load(parts, which=which).encode(x, modality=modality))
            assert len(codes.unique(dim=0)) > 2
