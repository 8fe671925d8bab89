"""A small method that uses all that a plan can say."""

import dataclasses

import torch

from fasthash.data import TrainingSet
from fasthash.methods import Method, Repeat, Stage


def items():
    generator = torch.Generator().manual_seed(0)
    return TrainingSet(torch.randn(24, 4, generator=generator), torch.arange(24) % 2, range(8), range(8, 24))


@dataclasses.dataclass(frozen=True)
class Toy(Method):
    """Two rounds of: a closed-form stage, a stage with two optimisers, and a stage with one; then a closed form."""

    name = "toy"
    bits: int = 8
    steps: int = 3

    def modules(self, network, items):
        return {"student": network, "critic": torch.nn.Linear(self.bits, 1)}

    def encoder(self, modules):
        return modules["student"]

    def plan(self, data, seed):
        def reads(state, cursor):
            # Depends on the round, so that a wrong cursor would show.
            for step in range(cursor.step, 100):
                rows = torch.arange(6) + 3 * step + 5 * cursor.rounds[0]
                yield state.data.batch(rows % len(state.data))

        def both(state, batch, cursor):
            u = state.modules["student"](batch.x) + torch.randn(6, self.bits)
            judged = state.modules["critic"](u)
            return {
                "student": {"fool": judged.mean()},
                "critic": {"judge": judged.square().mean(), "bias": -judged.mean()},
            }

        def alone(state, batch, cursor):
            u = state.modules["student"](batch.x)
            return {"codes": (u - state.tensors["codes"][batch.index]).square().mean()}

        def sample(state, cursor):
            drawn = torch.rand(len(state.data), self.bits, generator=state.generator("sample"))
            state.tensors["codes"] = drawn + state.tensors.get("codes", 0)

        def log(name):
            def end(state, cursor):
                trace = state.tensors.get("trace", torch.empty(0, dtype=torch.int64))
                state.tensors["trace"] = torch.cat([trace, torch.tensor([hash_of(name), *cursor.rounds, cursor.step])])

            return end

        def sgd(name):
            return lambda state: torch.optim.SGD(state.modules[name].parameters(), lr=0.1, momentum=0.9)

        student, critic = sgd("student"), sgd("critic")
        return [
            Repeat(
                [
                    Stage("sample", run=sample, end=log("sample")),
                    Stage(
                        "both",
                        length=self.steps,
                        reads=reads,
                        step=both,
                        optimisers={"student": student, "critic": critic},
                        end=log("both"),
                    ),
                    Stage(
                        "alone",
                        length=self.steps,
                        reads=reads,
                        step=alone,
                        optimisers={"student": student},
                        rate=lambda cursor: 0.5 ** (cursor.rounds[0] + cursor.step),
                        end=log("alone"),
                    ),
                ],
                times=2,
            ),
            Stage("last", run=sample, end=log("last")),
        ]


def hash_of(name):
    return ["sample", "both", "alone", "last"].index(name) + 100
