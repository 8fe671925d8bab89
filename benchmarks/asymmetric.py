"""One outer iteration of MAH beside the plain dense formulation: S of all pairs in memory, squares over all items.

59,000 items in ten classes, 1,280 features, three heads, the default network. Both start from the same codes of -1 and
+1, draw the same items and read the same batches. Before anything is timed, the outputs have to agree, and the codes
that both find from the same outputs in float64 have to be equal, all of them; bits that differ after a whole iteration
in float32, where an argument lies within rounding of 0, are counted and may be one in 100,000. The network alone,
which both need, is timed beside them.

    .venv/bin/python benchmarks/asymmetric.py
"""

from __future__ import annotations

import argparse
import copy
import json
from pathlib import Path
from typing import Any

import torch
from machine import card
from timing import seconds_of, summary
from torch import Tensor

from fasthash import methods
from fasthash.data import TrainingSet
from fasthash.losses import label_similarity, update_codes
from fasthash.methods import Cursor, State, walk
from fasthash.networks import build_network

RESULT = Path(__file__).parent / "results" / "asymmetric.json"
BAR = 5.0


class Turn:
    """A run of MAH that stands before an outer iteration."""

    def __init__(self, items: int, bits: int) -> None:
        generator = torch.Generator().manual_seed(0)
        self.labels = torch.randint(10, (items,), generator=generator)
        centres = torch.randn(10, 1280, generator=generator)
        x = centres[self.labels] + 2 * torch.randn(items, 1280, generator=generator)
        self.data = TrainingSet(x, self.labels, range(items), [])
        self.method: Any = methods.create("mah", bits=bits, outer_iters=1)
        torch.manual_seed(0)
        network = build_network(self.method.network, self.data.shape, bits)
        self.modules = self.method.modules(network, self.data.spec)
        self.stages = list(walk(self.method.plan(self.data, seed=0)))
        self.codes = {
            length: (torch.randint(2, (items, length), generator=generator) * 2 - 1).to(torch.int8)
            for length in self.method.code_lengths
        }

    def fresh(self) -> State:
        """The state before the iteration, with the same codes, weights and streams each time."""
        state = State(self.data, copy.deepcopy(self.modules))
        self.method.start(state, Cursor((0,)))
        state.tensors |= {f"codes_{length}": codes.clone() for length, codes in self.codes.items()}
        return state

    def package(self, state: State) -> None:
        """As the training loop runs it."""
        for path, stage in self.stages[1:]:
            if stage.run is not None:
                stage.run(state, Cursor(path))
                continue
            optimiser = stage.optimisers["student"](state)
            for step, batch in enumerate(stage.reads(state, Cursor(path))):
                losses = stage.step(state, batch, Cursor(path, step))
                optimiser.zero_grad()
                torch.stack(list(losses.values())).sum().backward()
                optimiser.step()

    def network(self, state: State) -> None:
        """The network alone, forward and backward, with the draw of the items and its optimiser."""
        self.method.sample(state, Cursor((1, 0, 0)))
        path, stage = self.stages[2]
        optimiser = stage.optimisers["student"](state)
        for batch in stage.reads(state, Cursor(path)):
            optimiser.zero_grad()
            torch.stack([u.square().sum() for u in self.method.outputs(state, batch)]).sum().backward()
            optimiser.step()

    def dense(self, state: State) -> None:
        """As a formula is written down: S is m x n, each step reads a block of it and all codes in float."""
        items, tensors = len(self.data), state.tensors
        drawn = torch.randperm(items, generator=state.generator("sample"))[: self.method.num_samples]
        similar = label_similarity(self.labels[drawn], self.labels)[0].float()
        s = torch.where(similar > 0, 1.0, -similar.sum() / (1 - similar).sum())
        codes = {length: tensors[f"codes_{length}"].float() for length in self.method.code_lengths}
        outputs = {length: torch.zeros(len(drawn), length) for length in codes}
        optimiser = self.method.student_optimiser(state)
        for _ in range(self.method.inner_epochs):
            for rows in torch.arange(len(drawn)).split(self.method.batch_size):
                losses = []
                us = self.method.outputs(state, state.batch(drawn[rows], 0))
                for (length, v), u, weight in zip(codes.items(), us, self.method.weights, strict=True):
                    outputs[length][rows] = u.detach()
                    pairs = (u @ v.T - length * s[rows]).square().sum()
                    rounding = self.method.gamma * (u - v[drawn[rows]]).square().sum()
                    losses.append(weight * (pairs + rounding) / (items * len(rows)))
                optimiser.zero_grad()
                torch.stack(losses).sum().backward()
                optimiser.step()
        for length, v in codes.items():
            tensors[f"outputs_{length}"] = outputs[length]
            tensors[f"codes_{length}"] = _dense_update(v, outputs[length], s, drawn, self.method.gamma).to(torch.int8)

    def check(self, package: State, dense: State) -> int:
        """How many bits differ after an iteration of both in float32; from equal outputs in float64 none may."""
        block, differing = self.method.block(package), 0
        similar = label_similarity(self.labels[block.index], self.labels)[0].double()
        s = torch.where(similar > 0, 1.0, -block.ratio)
        for length, before in self.codes.items():
            u, other = (state.tensors[f"outputs_{length}"] for state in (package, dense))
            torch.testing.assert_close(u, other, rtol=1e-3, atol=1e-4)
            found = update_codes(before, u.double(), block, gamma=self.method.gamma)
            expected = _dense_update(before.double(), u.double(), s, block.index, self.method.gamma)
            assert torch.equal(found.double(), expected)
            assert not torch.equal(found, before)
            one, two = (state.tensors[f"codes_{length}"] for state in (package, dense))
            differing += int((one != two).sum())
        assert differing <= max(2, 1e-5 * sum(codes.numel() for codes in self.codes.values()))
        return differing


def _dense_update(v: Tensor, u: Tensor, s: Tensor, drawn: Tensor, gamma: float) -> Tensor:
    own = torch.zeros_like(v)
    own[drawn] = u
    q, w = -2 * u.shape[1] * s.T @ u - 2 * gamma * own, u.T @ u
    w.fill_diagonal_(0)
    for c in range(u.shape[1]):
        v[:, c] = torch.where(q[:, c] + 2 * v @ w[:, c] < 0, 1.0, -1.0)
    return v


def measure(items: int, bits: int, repeats: int) -> dict[str, Any]:
    """Seconds of each formulation, and how many times faster the package is.

    Raises:
        AssertionError: outputs or codes differ.
    """
    turn = Turn(items, bits)
    contestants = {"package": turn.package, "dense": turn.dense, "network": turn.network}
    states = {name: turn.fresh() for name in ("package", "dense")}
    for name, state in states.items():
        contestants[name](state)
    differing = turn.check(*states.values())
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(repeats):
        for name, call in contestants.items():
            state = turn.fresh()
            seconds[name].append(seconds_of(lambda call=call, state=state: call(state)))  # type: ignore[misc]
    times = {name: summary(own) for name, own in seconds.items()}
    return {
        "items": items,
        "lengths": turn.method.code_lengths,
        "threads": torch.get_num_threads(),
        "bits": sum(turn.method.code_lengths) * items,
        "differing": differing,
        "times": times,
        "faster": times["dense"]["median"] / times["package"]["median"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--items", type=int, default=59_000)
    parser.add_argument("--bits", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--output", type=Path, default=RESULT)
    arguments = parser.parse_args()
    result = measure(arguments.items, arguments.bits, arguments.repeats)
    for name, time in result["times"].items():
        print(f"{name:8}{time['median']:8.2f} s ({time['least']:.2f} to {time['most']:.2f})")
    print(f"{result['differing']} of {result['bits']:,} bits differ by rounding, none in float64")
    print(f"{result['faster']:.1f} times faster, the bar is {BAR:g}")
    arguments.output.write_text(json.dumps({"machine": card(), "bar": BAR, "result": result}, indent=1) + "\n")


if __name__ == "__main__":
    main()
