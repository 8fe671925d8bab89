import itertools

import pytest
import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins import MixedPrecision
from run_helpers import StopAfter, final_state, without_times

from fasthash.methods import Cursor, Stage, State
from fasthash.training import Config, Silent, fit
from fasthash.training.loop import Loop, make_optimisers


def test_stages_run_in_order_with_their_hooks(toy, tmp_path):
    run = fit(toy.Toy(), toy.items(), Config(str(tmp_path / "run"), log_every=1), progress=Silent())
    tensors, rest = final_state(run)
    round_of = [[100, r, 0, 101, r, 3, 102, r, 3] for r in (0, 1)]
    assert tensors["tensor/trace"].tolist() == [*itertools.chain(*round_of), 103, 0]
    assert rest["cursor"] is None
    assert run.finished
    lines = run.metrics()
    assert [line["stage"] for line in lines] == (["both"] * 3 + ["alone"] * 3) * 2
    assert [line["steps"] for line in lines] == list(range(1, 13))
    assert [line["rounds"] for line in lines] == [[0]] * 6 + [[1]] * 6
    assert {"student/fool", "critic/judge", "critic/bias"} <= set(lines[0])
    assert "codes" in lines[3]


@pytest.mark.parametrize("stop", range(1, 12))
def test_resumed_run_equals_the_uninterrupted_one_bit_for_bit(toy, tmp_path, stop):
    def config(folder, **more):
        return Config(str(tmp_path / folder), seed=3, log_every=1, **more)

    whole = fit(toy.Toy(), toy.items(), config("whole"), progress=Silent())
    with pytest.raises(KeyboardInterrupt, match=f"stopped after {stop} steps.*resume=True"):
        fit(toy.Toy(), toy.items(), config("parts"), progress=StopAfter(stop))
    torch.rand(stop)  # other numbers drawn meanwhile do not matter
    parts = fit(toy.Toy(), toy.items(), config("parts", resume=True), progress=Silent())
    (expected, rest), (tensors, rest_of_parts) = final_state(whole), final_state(parts)
    assert expected.keys() == tensors.keys()
    for name, tensor in expected.items():
        assert torch.equal(tensors[name], tensor), name
    assert rest["optimisers"] == rest_of_parts["optimisers"]
    assert rest["random"] == rest_of_parts["random"]
    assert without_times(whole) == without_times(parts)


def test_steps_after_the_last_checkpoint_run_and_are_logged_once(toy, tmp_path):
    """A run that is killed, not stopped: the lines after its last checkpoint go."""

    class Killed(Silent):
        steps = 0

        def advance(self, stage):
            self.steps += 1
            if self.steps == 11:
                raise RuntimeError("power cut")

    def config(folder, **more):
        return Config(str(tmp_path / folder), log_every=1, checkpoint_every=4, **more)

    whole = fit(toy.Toy(), toy.items(), config("whole"), progress=Silent())
    with pytest.raises(RuntimeError, match="power cut"):
        fit(toy.Toy(), toy.items(), config("parts"), progress=Killed())
    resumed = fit(toy.Toy(), toy.items(), config("parts", resume=True), progress=Silent())
    assert without_times(whole) == without_times(resumed)
    assert torch.equal(
        final_state(whole)[0]["module/student/head.0.weight"], final_state(resumed)[0]["module/student/head.0.weight"]
    )


def loop_of(plan, state, fabric=None, **options):
    quiet = {"on_step": lambda stage, cursor, losses: None, "on_pause": lambda cursor, closed: None}
    fabric = fabric or Fabric(accelerator="cpu", devices=1)
    return Loop(fabric, plan, state, make_optimisers(plan, state), **{**quiet, **options})


def test_each_optimiser_minimises_its_own_losses_only(toy):
    """One step of plain descent against gradients taken by hand, with losses that share all parameters."""
    torch.manual_seed(0)
    state = State(toy.items(), {"a": torch.nn.Linear(4, 1), "b": torch.nn.Linear(1, 1)})
    before = {name: [p.detach().clone() for p in module.parameters()] for name, module in state.modules.items()}

    def losses(x):
        y = state.modules["b"](state.modules["a"](x))
        return {"a": {"up": y.mean()}, "b": {"down": -y.mean(), "small": y.square().mean()}}

    batch = state.data.batch(torch.arange(5))
    expected = {
        name: torch.autograd.grad(sum(losses(batch.x)[name].values()), list(state.modules[name].parameters()))
        for name in ("a", "b")
    }
    stage = Stage(
        "s",
        length=1,
        reads=lambda state, cursor: iter([batch]),
        step=lambda state, batch, cursor: losses(batch.x),
        optimisers={n: lambda s, n=n: torch.optim.SGD(s.modules[n].parameters(), lr=0.5) for n in ("a", "b")},
    )
    loop_of([stage], state).run(Cursor((0,)))
    for name, module in state.modules.items():
        for p, old, gradient in zip(module.parameters(), before[name], expected[name], strict=True):
            assert torch.allclose(p, old - 0.5 * gradient)


@pytest.mark.parametrize("clip", [None, 0.05, 1e3])
def test_scaled_gradients_move_every_optimiser_as_plain_ones_do(toy, clip):
    """The scale doubles after each step, so that an update between two optimisers would show."""

    def moves_with(fabric):
        torch.manual_seed(0)
        modules = {"a": torch.nn.Linear(4, 1), "b": torch.nn.Linear(4, 1)}
        before = [p.detach().clone() for m in modules.values() for p in m.parameters()]
        state = State(toy.items(), modules)
        stage = Stage(
            "s",
            length=2,
            reads=lambda state, cursor: itertools.repeat(state.data.batch(torch.arange(5))),
            step=lambda state, batch, cursor: {
                name: {"y": module(batch.x).square().mean()} for name, module in modules.items()
            },
            optimisers={n: lambda s, n=n: torch.optim.SGD(s.modules[n].parameters(), lr=0.1) for n in ("a", "b")},
        )
        loop_of([stage], state, fabric=fabric, clip=clip).run(Cursor((0,)))
        after = [p.detach() for m in modules.values() for p in m.parameters()]
        return torch.cat([(a - b).flatten() for a, b in zip(after, before, strict=True)])

    scaler = torch.amp.GradScaler("cpu", init_scale=64.0, growth_interval=1)
    scaled = moves_with(Fabric(accelerator="cpu", plugins=[MixedPrecision("16-mixed", "cpu", scaler)]))
    assert scaler.get_scale() == 256
    # The step computes in float16, so to its precision.
    torch.testing.assert_close(scaled, moves_with(Fabric(accelerator="cpu", devices=1)), rtol=0.02, atol=1e-3)


def test_rates_follow_the_stage_and_come_back(toy):
    seen = []
    state = State(toy.items(), {"a": torch.nn.Linear(4, 1)})
    plan = [
        Stage(
            name,
            length=2,
            reads=lambda state, cursor: itertools.repeat(state.data.batch(torch.arange(2))),
            step=lambda state, batch, cursor: {"y": state.modules["a"](batch.x).mean()},
            optimisers={"a": FACTORY},
            rate=rate,
        )
        for name, rate in (("falling", lambda cursor: 0.5**cursor.step), ("steady", None))
    ]
    loop = loop_of(plan, state, on_step=lambda s, c, losses: seen.append(loop._optimisers["a"].param_groups[0]["lr"]))
    loop.run(Cursor((0,)))
    assert seen == [0.4, 0.2, 0.4, 0.4]


def FACTORY(state):
    return torch.optim.SGD(state.modules["a"].parameters(), lr=0.4)


def test_mistakes_of_a_plan_are_named(toy):
    state = State(toy.items(), {"a": torch.nn.Linear(4, 1)})
    fields = {"length": 1, "reads": lambda state, cursor: itertools.repeat(state.data.batch(torch.arange(2)))}
    y = {"y": state.modules["a"](torch.ones(1, 4)).sum()}
    two = [Stage(n, **fields, step=lambda s, b, c: y, optimisers={"a": lambda s: FACTORY(s)}) for n in "st"]
    with pytest.raises(ValueError, match="optimiser 'a' must be made by one factory"):
        make_optimisers(two, state)
    wrong = Stage("s", **fields, step=lambda s, b, c: {"a": y}, optimisers={"a": FACTORY, "b": FACTORY})
    with pytest.raises(ValueError, match=r"Stage 's': step must return losses for \['a', 'b'\], got \['a'\]"):
        loop_of([wrong], state).run(Cursor((0,)))
