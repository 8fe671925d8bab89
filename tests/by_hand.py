"""A method's one stage run by hand on a few items, so that every batch and every loss can be looked at."""

import torch

from fasthash.data import TrainingSet
from fasthash.methods import Cursor, State
from fasthash.networks import build_network


def items(hidden=0, *, multi_hot=False, labelled=15):
    """60 items of three classes in six dimensions; `hidden` is the true class of the unlabelled ones."""
    x = torch.randn(60, 6, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(60) % 3
    labels[labelled:] = hidden
    if multi_hot:
        labels = torch.nn.functional.one_hot(labels, 3) | torch.nn.functional.one_hot(labels // 2, 3)
    return TrainingSet(x, labels, range(labelled), range(labelled, 60))


def start(method, data):
    """The state before the first step."""
    torch.manual_seed(0)
    return State(data, method.modules(build_network(method.network, data.shape, method.bits), data.spec))


def run(method, data, steps=None):
    """The state after so many steps (None = all), the batches, and the losses by name."""
    state = start(method, data)
    (stage,) = method.plan(data, seed=0)
    optimiser = stage.optimisers["student"](state)
    batches, history = [], []
    for step, batch in zip(range(steps or stage.length), stage.reads(state, Cursor((0,))), strict=False):
        losses = stage.step(state, batch, Cursor((0,), step))
        optimiser.zero_grad()
        sum(losses.values()).backward()
        optimiser.step()
        stage.after_step(state, Cursor((0,), step + 1))
        batches.append(batch)
        history.append({name: float(value.detach()) for name, value in losses.items()})
    return state, batches, history


def first_batch(method, data):
    """The state before the first step, and its batch."""
    state = start(method, data)
    (stage,) = method.plan(data, seed=0)
    return state, next(stage.reads(state, Cursor((0,))))


def parameters(module):
    """All parameters as one vector."""
    return torch.cat([p.detach().flatten() for p in module.parameters()])
