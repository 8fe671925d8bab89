import pytest
import torch

from fasthash.methods import Cursor, Repeat, Stage, State, walk


def closed(name):
    return Stage(name, run=lambda state, cursor: None)


def test_walk_gives_ascending_paths_through_nested_repeats():
    plan = [closed("a"), Repeat([closed("b"), Repeat([closed("c")], times=2)], times=2), closed("d")]
    walked = list(walk(plan))
    assert "".join(stage.name for _, stage in walked) == "abccbccd"
    paths = [path for path, _ in walked]
    assert paths == sorted(set(paths))
    assert paths[3] == (1, 0, 1, 1, 0)
    assert [Cursor(path).rounds for path in paths[:4]] == [(), (0,), (0, 0), (0, 1)]


def test_repeat_zero_times_is_nothing():
    assert [stage.name for _, stage in walk([Repeat([closed("a")], times=0), closed("b")])] == ["b"]


STEPS = {"length": 2, "reads": lambda s, c: iter([]), "step": lambda s, b, c: {}, "optimisers": {"a": lambda s: None}}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "must have either step or run"),
        ({**STEPS, "run": lambda s, c: None}, "must have either step or run"),
        ({**STEPS, "length": 0}, "must have length > 0, reads and optimisers"),
        ({**STEPS, "reads": None}, "must have length > 0, reads and optimisers"),
        ({**STEPS, "optimisers": {}}, "must have length > 0, reads and optimisers"),
        ({**STEPS, "quick": True}, "must have run to be quick"),
        ({**STEPS, "keeps_weights": True}, "must have run to be quick or to keep weights"),
    ],
)
def test_half_stages_are_refused(fields, message):
    with pytest.raises(ValueError, match=f"Stage: 's' {message}"):
        Stage("s", **fields)


def test_state_streams_depend_on_seed_and_name_only():
    def draws(seed, *names):
        state = State(None, {}, seed)
        return {name: torch.rand(3, generator=state.generator(name)).tolist() for name in names}

    assert draws(0, "a", "b")["b"] == draws(0, "b")["b"]
    assert draws(0, "a")["a"] != draws(0, "b")["b"]
    assert draws(0, "a") != draws(1, "a")


def test_drawing_from_a_stream_leaves_the_default_generator_alone():
    state = State(None, {}, 0)
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    dropout = torch.nn.Dropout(0.5)
    with state.drawing_from("a"):
        first = dropout(torch.ones(50))
    with state.drawing_from("a"):
        second = dropout(torch.ones(50))
    assert torch.equal(torch.rand(3), expected)
    assert not torch.equal(first, second)
