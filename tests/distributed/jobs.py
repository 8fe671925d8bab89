"""What torchrun starts in these tests. Arguments: a folder for the runs, and a name of `JOBS`."""

from __future__ import annotations

import dataclasses
import os
import signal
import sys
from functools import partial

import torch
from torch import Tensor, nn

from fasthash import methods
from fasthash.data import Batch, Modalities, TrainingSet, as_source
from fasthash.methods import DPSH, Cursor, Plan, State
from fasthash.training import Config, Run, Silent, Validation, fit

SMALL = {"bits": 12, "network": {"widths": (16,)}, "epochs": 4, "batch_size": 16, "labelled": 8}
SSDH = {"labelled_fraction": 0.5, **{key: value for key, value in SMALL.items() if key != "labelled"}}
DISTILLHASH = {
    "bits": 12,
    "network": {"widths": (16,)},
    "noisy": "quantile",
    "share": 0.3,
    "n_neighbors": 6,
    "noisy_epochs": 4,
    "noisy_batch_size": 16,
    "epochs": 2,
    "batch_size": 16,
    "optimiser": {"lr": 0.01},
}
TERMS = {"w_max": 5.0, "ramp": 0.2, "g_point": 0.5, "g_graph": 1.0, "graph_loss": "likelihood"}
MAH = {"bits": 4, "network": {"widths": (16,)}, "batch_size": 8, "outer_iters": 5, "inner_epochs": 2}
SKDCH = {
    "bits": 12,
    "network": {"hidden": 16},
    "lr": 0.1,
    "batch_size": 16,
    "epochs": 1,
    "adversarial_rounds": 1,
    "selector_epochs": 1,
    "selector_queries": 4,
    "selector_share": 0.3,
    "refine_rounds": 1,
}
RANDOM = {"network": {"widths": (16,), "dropout": 0.3}, "perturbation": {"noise": 0.2}}


@dataclasses.dataclass(frozen=True)
class Descent(DPSH):
    """Two optimisers of plain descent, whose steps show a wrong factor in a gradient, as those of Adam do not.

    The student's loss passes a gather and has a penalty that does not; the critic stands behind the gather.
    """

    name = "descent"

    def modules(self, network, items):
        return {"student": network, "critic": nn.Linear(self.bits, 1)}

    def plan(self, data: TrainingSet, seed: int) -> Plan:
        def sgd(name):
            return lambda state: torch.optim.SGD(state.modules[name].parameters(), lr=0.3)

        def step(state: State, batch: Batch, cursor: object) -> dict[str, dict[str, Tensor]]:
            parts = [batch.labelled_x(), batch.unlabelled_x()]
            u = torch.cat([state.gather(state.modules["student"](x)) for x in parts])
            judged = state.modules["critic"](u).square().mean()
            penalty = sum(p.square().sum() for p in state.modules["student"].parameters())
            supervised = self.supervised(u[: batch.labelled], batch.labels[: batch.labelled])
            return {
                "student": {**supervised, "fool": -judged, "penalty": 0.01 * penalty},
                "critic": {"judge": judged - state.modules["critic"].bias.sum()},
            }

        (stage,) = super().plan(data, seed)
        return [dataclasses.replace(stage, step=step, optimisers={n: sgd(n) for n in ("student", "critic")})]


def train(folder: str, method: methods.Method, progress: Silent | None = None, **options: object) -> Run:
    x = torch.randn(72, 10, generator=torch.Generator().manual_seed(0))
    source = as_source(x)
    if method.name == "skdch":
        source = Modalities({"left": x[:, :6], "right": x[:, 4:]}, present={"right": torch.arange(72) % 5 > 0})
    labels = torch.arange(72) % 3
    data = TrainingSet(source.select(range(60)), labels[:60], labelled=range(20), unlabelled=range(20, 60))
    config = Config(folder, accelerator="cpu", log_every=3, validate_every=7, **options)
    validation = Validation(source.select(range(60, 72)), labels[60:], source.select(range(20)), labels[:20])
    return fit(method, data, config, validation=validation, progress=progress or Silent())


DESCENT = Descent(**vars(methods.create("dpsh", **SMALL)))
RUNS = {
    "descent": partial(train, method=DESCENT),
    "clipped": partial(train, method=DESCENT, clip=0.5, ema=0.9),
    "dpsh": partial(train, method=methods.create("dpsh", **SMALL)),
    "pts3h": partial(train, method=methods.create("pts3h", **SMALL, **TERMS)),
    "ssdh": partial(train, method=methods.create("ssdh", **SSDH)),
    "distillhash": partial(train, method=methods.create("distillhash", **DISTILLHASH)),
    "hashnet": partial(train, method=methods.create("hashnet", **SMALL)),
    "skdch": partial(train, method=methods.create("skdch", **SKDCH)),
    "mah": partial(train, method=methods.create("mah", **MAH)),
}


def equality(folder: str) -> None:
    for name, run in RUNS.items():
        run(f"{folder}/{name}")


def resume(folder: str) -> None:
    """Ctrl-C in one process stops all; both then go on as if nothing had been."""
    random = methods.create("pts3h", **{**SMALL, **RANDOM}, **TERMS)
    train(f"{folder}/whole", random)
    original, rank = State.batch, int(os.environ["RANK"])

    def batch(self: State, index: Tensor, place: Cursor) -> Batch:
        if place.step == 10 and rank == 1:
            signal.raise_signal(signal.SIGINT)
        return original(self, index, place)

    State.batch = batch
    try:
        train(f"{folder}/parts", random)
    except KeyboardInterrupt as stopped:
        # In one write: `print` makes several, and the other process may come between.
        os.write(1, f"rank {rank} {stopped}\n".encode())
    State.batch = original
    train(f"{folder}/parts", random, resume=True)


def failure(folder: str) -> None:
    """One process fails where the others wait for it."""
    original = State.batch

    def batch(self: State, index: Tensor, place: Cursor) -> Batch:
        if place.step == 5 and self.rank == 1:
            raise RuntimeError("this process fails")
        return original(self, index, place)

    State.batch = batch
    RUNS["dpsh"](f"{folder}/failed")


JOBS = {"equality": equality, "resume": resume, "failure": failure}

if __name__ == "__main__":
    torch.set_num_threads(1)
    for job in sys.argv[2:]:
        JOBS[job](sys.argv[1])
