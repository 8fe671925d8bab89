"""Stopped runs of the semi-supervised methods go on exactly, with their banks, teachers and random streams."""

import pytest
import torch
from by_hand import items
from run_helpers import StopAfter, final_state

from fasthash import methods
from fasthash.training import Config, Silent, fit

SMALL = {
    "bits": 12,
    "network": {"widths": (16,), "dropout": 0.3},
    "perturbation": {"noise": 0.1},
    "epochs": 3,
    "batch_size": 20,
}


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("ssdh", {}),
        ("ssdh", {"graph_scope": "bank", "graph": "codes"}),
        ("pts3h", {"labelled": 8, "g_graph": 1.0, "g_nb": 1.0}),
        ("pts3h", {"labelled": 8, "g_graph": 1.0, "g_nb": 1.0, "graph_scope": "bank", "graph": "knn"}),
    ],
)
@pytest.mark.parametrize("stop", [2, 7])
def test_resumed_run_equals_the_uninterrupted_one_bit_for_bit(name, options, stop, tmp_path):
    method = methods.create(name, **SMALL, **options)

    def config(folder, **more):
        return Config(str(tmp_path / folder), log_every=1, **more)

    whole = fit(method, items(), config("whole"), progress=Silent())
    with pytest.raises(KeyboardInterrupt):
        fit(method, items(), config("parts"), progress=StopAfter(stop))
    parts = fit(method, items(), config("parts", resume=True), progress=Silent())
    (one, _), (other, _) = final_state(whole), final_state(parts)
    assert one.keys() == other.keys()
    assert all(torch.equal(one[key], other[key]) for key in one)
