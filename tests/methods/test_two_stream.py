"""Batches of the methods that read labelled and unlabelled items side by side."""

import itertools

import torch

from fasthash import methods
from fasthash.data import StoredViews, TrainingSet
from fasthash.methods import Cursor, Repeat, State, walk


def items():
    x = torch.arange(60.0)[:, None]
    return TrainingSet(StoredViews([x, x + 100, x + 200]), torch.arange(60) % 3, range(20), range(20, 60))


def read(plan, path, step=0):
    """The whole of the batches of the stage at a path, from a step on."""
    state = State(items(), {}, seed=3)
    stage = dict(walk(plan))[path]
    found = itertools.islice(stage.reads(state, Cursor(path, step)), 10 - step)
    return [(batch.index, *batch.views) for batch in found]


def same(some, others):
    return [all(map(torch.equal, one, other)) for one, other in zip(some, others, strict=True)]


def test_each_round_reads_other_batches_and_views():
    method = methods.create("dpsh", bits=8, batch_size=16, labelled=8, epochs=4)
    plan = method.plan(items(), seed=3)
    assert same(read(plan, (0,), 4), read(plan, (0,))[4:]) == [True] * 6
    repeated = [Repeat([*plan, *plan], times=2)]
    paths = [(0, turn, place) for turn in (0, 1) for place in (0, 1)]
    rounds = {path: read(repeated, path) for path in paths}
    for path in paths:
        assert same(read(repeated, path, 4), rounds[path][4:]) == [True] * 6
    for one, other in itertools.combinations(paths, 2):
        assert not any(same(rounds[one], rounds[other])), (one, other)
        indices = [torch.equal(a[0], b[0]) for a, b in zip(rounds[one], rounds[other], strict=True)]
        # Two stages of one round read the same items in views of their own.
        assert all(indices) if one[1] == other[1] else not any(indices)


def test_without_rounds_the_cursor_counts_by_its_step():
    data, index = items(), torch.arange(6)
    state = State(data, {}, seed=3)
    batches = [state.batch(index, at).views for at in (2, Cursor((0,), 2), Cursor((4,), 2))]
    batches.append(data.batch(index, step=2, seed=3).views)
    assert all(torch.equal(a, b) for views in batches[1:] for a, b in zip(views, batches[0], strict=True))
    assert not torch.equal(state.batch(index, Cursor((0, 0, 0), 2)).views[0], batches[0][0])
