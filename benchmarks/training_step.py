"""What the semi-supervised methods add to a training step beside the networks themselves.

Baseline: the student forward and backward on the whole batch in one piece, and the teacher forward. The step: losses,
gradients and what follows the optimiser, as the training loop calls them. Both take turns; figures are medians. The
optimiser's own step, which every method has, is timed beside them. Before anything is timed the step is taken apart,
networks, then losses on their outputs, then networks backward, and has to give the same losses and gradients.

    OMP_NUM_THREADS=1 taskset -c 0 chrt -f 20 .venv/bin/python benchmarks/training_step.py
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from machine import card
from timing import seconds_of, summary
from torch import Tensor

from fasthash import methods
from fasthash.data import Perturbation, TrainingSet
from fasthash.methods import Cursor, State
from fasthash.networks import NetworkConfig, build_network

RESULT = Path(__file__).parent / "results" / "training_step.json"
FEATURES, HIDDEN, BITS, BATCH, LABELLED, CLASSES = 1280, 512, 48, 256, 64, 10
BAR = 0.25

CASES: dict[str, dict[str, Any]] = {
    "ssdh": {},
    "ssdh, graph of codes": {"graph": "codes"},
    "ssdh, bank": {"graph_scope": "bank"},
    "ssdh, preset": {"preset": "cifar10-features-500"},
    "pts3h": {},
    "pts3h, preset": {"preset": "cifar10-features-500"},
    "pts3h, pairs and pseudo-pairs": {"g_graph": 1.0, "graph_loss": "likelihood"},
    "pts3h, pairs, pseudo-pairs and profiles": {"g_graph": 1.0, "graph_loss": "likelihood", "g_nb": 1.0},
    "pts3h, bank": {"g_graph": 1.0, "graph_loss": "likelihood", "graph_scope": "bank"},
}


class Step:
    """One step of a method on one batch, whole and in parts."""

    def __init__(self, name: str, options: dict[str, Any]) -> None:
        kind = name.split(",")[0]
        share = {"labelled_fraction": LABELLED / BATCH} if kind == "ssdh" else {"labelled": LABELLED}
        config = NetworkConfig("mlp", (HIDDEN,))
        # Views are drawn before the networks in every method: they are none of the step's own cost.
        common = {"network": config, "batch_size": BATCH, "perturbation": Perturbation()}
        self.method: Any = methods.create(kind, bits=BITS, **{**common, **share, **options})
        generator = torch.Generator().manual_seed(0)
        x = torch.rand(20_000, FEATURES, generator=generator)
        labels = torch.randint(CLASSES, (20_000,), generator=generator)
        self.data = TrainingSet(x, labels, range(500), range(500, 20_000))
        torch.manual_seed(0)
        self.modules = self.method.modules(build_network(config, self.data.shape, BITS), self.data.spec)
        self.state = State(self.data, self.modules)
        (stage,) = self.method.plan(self.data, seed=0)
        self.batch = next(stage.reads(self.state, Cursor((0,))))
        self.optimiser = stage.optimisers["student"](self.state)
        self.trained = [p for group in self.optimiser.param_groups for p in group["params"]]
        self.steps = 0

    def losses(self, state: State) -> Tensor:
        total = sum(self.method.losses(state, self.batch, 0.5 * self.method.epochs).values())
        assert isinstance(total, Tensor)
        return total

    def whole(self) -> None:
        """Losses, gradients and what follows the optimiser."""
        self.optimiser.zero_grad()
        self.losses(self.state).backward(inputs=self.trained)
        self.steps += 1
        self.method.after_step(self.state, self.steps, self.data.unlabelled / (BATCH - LABELLED))

    def networks(self) -> None:
        """The student forward and backward on the whole batch, and the teacher forward."""
        student = self.modules["student"]
        self.optimiser.zero_grad()
        if "classifier" in self.modules:
            features = student.features(self.batch.x)
            outputs = [student.head(features), self.modules["classifier"](features)]
        else:
            outputs = [student(self.batch.x)]
        if "teacher" in self.modules:
            self.modules["teacher"](self.batch.x)
        if "mean_student" in self.modules:
            with torch.no_grad():
                self.modules["mean_classifier"](self.modules["mean_student"].model.features(self.batch.x))
        torch.autograd.backward(outputs, [torch.ones_like(x) for x in outputs], inputs=self.trained)

    def parts(self) -> dict[str, Callable[[], object]]:
        """Losses on outputs that are there already, and what follows the optimiser, each alone.

        Raises:
            AssertionError: the parts do not make the losses and gradients of the whole.
        """
        originals = {name: getattr(self.method, name, None) for name in ("outputs", "forward", "mean_classes")}
        calls: list[tuple[list[Tensor], list[Tensor], Any]] = []

        def patch(make: Callable[[Any], Any]) -> None:
            for name, original in originals.items():
                if original is not None:
                    object.__setattr__(self.method, name, make(original))

        def restore() -> None:
            for name, original in originals.items():
                if original is not None:
                    object.__delattr__(self.method, name)

        def recording(original: Any) -> Any:
            return lambda *arguments, **options: record(original, *arguments, **options)

        def record(original: Any, *arguments: Any, **options: Any) -> Any:
            made = original(*arguments, **options)
            inside = list(made.values()) if isinstance(made, dict) else [made]
            leaves = [x.detach().requires_grad_(x.requires_grad) for x in inside]
            calls.append(
                (inside, leaves, dict(zip(made, leaves, strict=True)) if isinstance(made, dict) else leaves[0])
            )
            return calls[-1][2]

        fresh = State(self.data, self.modules)
        total = self.losses(fresh)
        self.optimiser.zero_grad()
        total.backward(inputs=self.trained)
        gradients = [p.grad for p in self.trained]

        patch(recording)
        apart = self.losses(State(self.data, self.modules))
        apart.backward()
        joints = [
            (x, leaf) for made, leaves, _ in calls for x, leaf in zip(made, leaves, strict=True) if x.requires_grad
        ]
        self.optimiser.zero_grad()
        torch.autograd.backward([x for x, _ in joints], [leaf.grad for _, leaf in joints], inputs=self.trained)
        torch.testing.assert_close(apart, total)
        torch.testing.assert_close([p.grad for p in self.trained], gradients)

        given = [handed for _, _, handed in calls]

        def losses() -> None:
            answers = iter(given)
            patch(lambda original: lambda *arguments, **options: next(answers))
            try:
                self.losses(self.state).backward()
            finally:
                restore()

        def after() -> None:
            self.method.after_step(self.state, self.steps + 1, self.data.unlabelled / (BATCH - LABELLED))

        restore()
        return {"losses": losses, "after the optimiser": after, "optimiser": self.optimiser.step}


def measure(name: str, options: dict[str, Any], repeats: int) -> dict[str, Any]:
    """Times of one method, in seconds, and its overhead."""
    step = Step(name, options)
    calls = {"networks": step.networks, "step": step.whole, **step.parts()}
    for call in calls.values():
        call()
    seconds: dict[str, list[float]] = {part: [] for part in calls}
    for _ in range(repeats):
        for part, call in calls.items():
            step.optimiser.step()  # what stands before a step in training, and leaves the caches alike for all
            seconds[part].append(seconds_of(call))
    times = {part: summary(own) for part, own in seconds.items()}
    ratios = sorted(whole / bare - 1 for whole, bare in zip(seconds["step"], seconds["networks"], strict=True))
    overhead = times["step"]["median"] / times["networks"]["median"] - 1
    return {"times": times, "overhead": overhead, "quartiles": [ratios[repeats // 4], ratios[3 * repeats // 4]]}


def table(results: dict[str, Any]) -> str:
    """Milliseconds of each part and the overhead, as Markdown."""
    parts = ["networks", "step", "losses", "after the optimiser", "optimiser"]
    lines = [f"| | {' | '.join(parts)} | added |", "|---|" + "---:|" * (len(parts) + 1)]
    for name, result in results.items():
        times = [f"{1e3 * result['times'][part]['median']:.2f}" for part in parts]
        first, third = result["quartiles"]
        lines.append(f"| {name} | {' | '.join(times)} | {result['overhead']:.0%} ({first:.0%} to {third:.0%}) |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--repeats", type=int, default=200)
    parser.add_argument("--cases", nargs="*", default=list(CASES), choices=list(CASES))
    parser.add_argument("--output", type=Path, default=RESULT)
    arguments = parser.parse_args()
    results = {}
    for name in arguments.cases:
        results[name] = measure(name, CASES[name], arguments.repeats)
        print(table({name: results[name]}).splitlines()[-1], flush=True)
    arguments.output.write_text(json.dumps({"machine": card(), "bar": BAR, "results": results}, indent=1) + "\n")
    print(table(results))
    for name, result in results.items():
        print(f"{name}: {'within' if result['overhead'] <= BAR else 'above'} {BAR:.0%}")


if __name__ == "__main__":
    main()
