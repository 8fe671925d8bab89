"""Options of a run: what each does to the weights, and that a wrong one costs nothing."""

from __future__ import annotations

import dataclasses
import json
import re
import signal
from dataclasses import replace

import pytest
import torch
from run_helpers import StopAfter, final_state, same_weights
from torch import nn

from fasthash import methods
from fasthash.data import TrainingSet
from fasthash.methods import Repeat, Stage
from fasthash.networks import HashNetwork, linear_head
from fasthash.training import Config, Run, Silent, fit, load
from fasthash.training.log import Log

SMALL = {"bits": 12, "network": {"widths": (16,)}, "epochs": 2, "batch_size": 16, "labelled": 8}


def items():
    x = torch.randn(60, 10, generator=torch.Generator().manual_seed(0))
    return TrainingSet(x, torch.arange(60) % 3, labelled=range(20), unlabelled=range(20, 60))


def run_of(folder, name="dpsh", *, options=None, progress=None, network=None, **config):
    method = methods.create(name, **{**SMALL, **(options or {})})
    config = Config(str(folder), **{"accelerator": "cpu", **config})
    return fit(method, items(), config, progress=progress or Silent(), network=network)


class Normalised(nn.Module):
    """A backbone with statistics, which a running mean must not average."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(10)

    def forward(self, x):
        return self.norm(x)


def network():
    torch.manual_seed(1)
    return HashNetwork(Normalised(), linear_head(10, 12))


class Watch(Silent):
    """Keeps a copy of the weights after each step."""

    def __init__(self, network):
        self.network = network
        self.seen = [self.weights()]

    def weights(self):
        return self.network.head[0].weight.detach().clone()

    def advance(self, stage):
        self.seen.append(self.weights())


def test_the_running_mean_makes_the_codes(tmp_path):
    trained = network()
    watch = Watch(trained)
    run = run_of(tmp_path / "run", network=trained, progress=watch, ema=0.7)
    mean = watch.seen[0]
    for step, weights in enumerate(watch.seen[1:], start=1):
        decay = min(1 - 1 / (step + 1), 0.7)
        mean = decay * mean + (1 - decay) * weights
    hasher = load(run, network=network())
    assert torch.allclose(hasher.network.head[0].weight, mean, atol=1e-6)
    assert not torch.allclose(watch.seen[-1], mean, atol=1e-6)
    assert torch.equal(hasher.network.backbone.norm.running_mean, trained.backbone.norm.running_mean)
    student = load(run, network=network(), method=run.method())
    assert torch.equal(student.network.head[0].weight, watch.seen[-1])


def test_the_running_mean_leaves_the_training_alone_and_resumes(tmp_path):
    plain, whole = run_of(tmp_path / "plain"), run_of(tmp_path / "whole", ema=0.9)
    one, two = final_state(plain)[0], final_state(whole)[0]
    assert all(torch.equal(two[key], one[key]) for key in one if key.startswith("module/"))
    with pytest.raises(KeyboardInterrupt):
        run_of(tmp_path / "parts", ema=0.9, progress=StopAfter(4))
    assert same_weights(whole, run_of(tmp_path / "parts", ema=0.9, resume=True))


@pytest.mark.parametrize("hook", ["run", "end", "last"])
def test_the_running_mean_goes_on_from_weights_that_are_set(tmp_path, monkeypatch, hook):
    """By a closed form or an `end` hook in each of two rounds, and by one after the last step."""
    trained, kind = network(), type(methods.create("dpsh", bits=12))
    plan_of = kind.plan

    def set_weights(state, cursor):
        with torch.no_grad():
            for p in state.modules["student"].parameters():
                p.fill_(5 + sum(cursor.rounds))
        watch.seen.append(watch.weights())

    def plan(self, data, seed):
        (train,) = plan_of(self, data, seed)
        train = dataclasses.replace(train, length=2)
        if hook == "run":
            return [Repeat([train, Stage("closed", run=set_weights)], 2), train]
        repeated = Repeat([dataclasses.replace(train, end=set_weights)], 2)
        return [repeated] if hook == "last" else [repeated, train]

    watch = Watch(trained)
    monkeypatch.setattr(kind, "plan", plan)
    run = run_of(tmp_path / "run", network=trained, progress=watch, ema=0.7)
    mean, step = watch.seen[0], 0
    for number, weights in enumerate(watch.seen[1:], start=1):
        if number % 3 == 0:  # two steps, then the hook
            assert torch.equal(weights, torch.full_like(weights, 4 + number // 3))
            mean = weights
            continue
        step += 1
        decay = min(1 - 1 / (step + 1), 0.7)
        mean = decay * mean + (1 - decay) * weights
    assert len(watch.seen) == (7 if hook == "last" else 9)
    assert torch.allclose(load(run, network=network()).network.head[0].weight, mean, atol=1e-5)


def test_a_running_mean_of_a_running_mean_is_refused(tmp_path):
    with pytest.raises(
        ValueError, match=r"ema must be None for pts3h, whose encoder is a running mean already, got 0\.9"
    ):
        run_of(tmp_path / "run", "pts3h", ema=0.9)
    assert run_of(tmp_path / "student", "pts3h", options={"encode_with": "student"}, ema=0.9).finished


def test_clipped_gradients(tmp_path):
    """One step of plain descent from gradients of norm above and below the limit."""

    def step_of(folder, clip):
        torch.manual_seed(0)
        trained = HashNetwork(nn.Flatten(), linear_head(10, 12))
        before = [p.detach().clone() for p in trained.parameters()]
        optimiser = {"kind": "sgd", "lr": 1.0, "momentum": 0.0, "weight_decay": 0.0}
        options = {"epochs": 0.1, "optimiser": optimiser}
        run_of(tmp_path / folder, options=options, network=trained, clip=clip)
        moves = torch.cat([(p.detach() - b).flatten() for p, b in zip(trained.parameters(), before, strict=True)])
        return moves

    free = step_of("free", None)
    clipped = step_of("clipped", float(free.norm()) / 3)
    assert clipped.norm() == pytest.approx(float(free.norm()) / 3, rel=1e-4)
    assert torch.allclose(clipped * 3, free, rtol=1e-3, atol=1e-6)
    assert torch.equal(step_of("wide", float(free.norm()) * 3), free)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"precision": "fp8"}, "Config: precision must be one of '32', 'bf16-mixed', '16-mixed', got 'fp8'"),
        ({"accelerator": "tpu"}, "Config: accelerator must be one of"),
        ({"checkpoint_every": 0}, "Config: checkpoint_every must be >= 1, got 0"),
        ({"patience": 0}, "Config: patience must be >= 1, got 0"),
        ({"seed": -1}, "Config: seed must be >= 0, got -1"),
        ({"clip": 0.0}, r"Config: clip must lie in \(0, inf\), got 0.0"),
        ({"ema": 1.0}, r"Config: ema must lie in \(0, 1\), got 1.0"),
    ],
)
def test_options_out_of_range(wrong, message):
    with pytest.raises(ValueError, match=message):
        Config("runs/x", **wrong)


def test_switches_are_true_or_false():
    for name in ("resume", "tensorboard"):
        with pytest.raises(TypeError, match=f"Config: {name} must be True or False, got 'no'"):
            Config("runs/x", **{name: "no"})


def test_a_run_of_other_options_is_not_resumed(tmp_path):
    run_of(tmp_path / "run", ema=0.9)
    for changed, name in (({"ema": 0.8}, "ema"), ({"ema": 0.9, "clip": 1.0}, "clip")):
        with pytest.raises(ValueError, match=rf"fit: to resume .*, training\.{name} must be"):
            run_of(tmp_path / "run", resume=True, **changed)
    assert run_of(tmp_path / "run", ema=0.9, resume=True, log_every=3).finished


def test_another_number_of_threads_is_told(tmp_path, torch_threads):
    with pytest.raises(KeyboardInterrupt):
        run_of(tmp_path / "run", progress=StopAfter(2))
    before = torch.get_num_threads()
    torch.set_num_threads(before + 1)
    with pytest.warns(UserWarning, match=f"the run had {before} torch threads and goes on with {before + 1}"):
        run_of(tmp_path / "run", resume=True)


def test_other_versions_are_told(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run_of(tmp_path / "run", progress=StopAfter(2))
    path = tmp_path / "run" / "config.json"
    config = json.loads(path.read_text())
    now = config["versions"]["torch"]
    config["versions"] |= {"torch": "2.0.1", "python": "3.0"}
    path.write_text(json.dumps(config))
    with pytest.warns(
        UserWarning, match=f"fit: the run had torch 2.0.1 and goes on with torch {re.escape(now)}, which"
    ):
        run_of(tmp_path / "run", resume=True)


def test_ctrl_c_says_how_to_go_on(tmp_path):
    notes, progress = [], StopAfter(2)
    progress.note = notes.append
    method, config = methods.create("dpsh", **SMALL), Config(str(tmp_path / "run"), accelerator="cpu")
    with pytest.raises(KeyboardInterrupt, match=r"stopped after 2 steps, all saved in .*/run'; type this"):
        fit(method, items(), config, progress=progress, resume_hint="type this")
    assert len(notes) == 1
    assert notes[0].endswith("; type this")


def test_the_folder_says_where_it_ran(tmp_path):
    run = run_of(tmp_path / "run")
    (start,) = run.environment()
    assert start["threads"] == torch.get_num_threads()
    assert start["versions"]["torch"].startswith(torch.__version__.split("+")[0])
    assert {"started", "command", "machine", "git", "ranks"} <= set(start)
    run_of(tmp_path / "run", resume=True)  # finished: nothing starts
    assert len(run.environment()) == 1


def test_half_a_line_of_metrics_is_no_line(tmp_path):
    """What a killed process leaves: read without its last line, and cut off by the run that goes on."""
    whole = run_of(tmp_path / "whole", log_every=1)
    with pytest.raises(KeyboardInterrupt):
        run_of(tmp_path / "parts", log_every=1, progress=StopAfter(3))
    parts = Run(tmp_path / "parts")
    with (parts.path / "metrics.jsonl").open("a") as file:
        file.write('{"steps": 4, "seco')
    assert [line["steps"] for line in parts.metrics()] == [1, 2, 3]
    run_of(tmp_path / "parts", log_every=1, resume=True)
    assert [line["dpsh"] for line in parts.metrics()] == [line["dpsh"] for line in whole.metrics()]


def test_a_shorter_file_of_metrics_is_not_filled_up(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"a": 1}\n')
    log = Log(path, size=1000)
    log.write({"steps": 1}, {"b": 2.0})
    assert log.sync() == len(path.read_bytes())
    log.close()
    assert [json.loads(line) for line in path.read_text().splitlines()] == [{"a": 1}, {"steps": 1, "b": 2.0}]


def test_tensorboard(tmp_path):
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator", reason="no tensorboard")
    run = run_of(tmp_path / "run", tensorboard=True, log_every=4)
    accumulator = events.EventAccumulator(str(run.path / "tensorboard"))
    accumulator.Reload()
    found = {event.step: event.value for event in accumulator.Scalars("train/dpsh")}
    assert found == pytest.approx({line["steps"]: line["dpsh"] for line in run.metrics()})


def test_tensorboard_that_is_missing_is_told_before_anything_starts(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "torch.utils.tensorboard", None)
    with pytest.raises(ImportError, match=r"Config: tensorboard .*pip install 'fasthash\[tensorboard\]'"):
        run_of(tmp_path / "run", tensorboard=True)
    assert not (tmp_path / "run").exists()


def test_ctrl_c_in_a_closed_form_that_is_all_is_told(tmp_path, monkeypatch):
    solve = methods.LSH.solve
    monkeypatch.setattr(methods.LSH, "solve", lambda *given: (signal.raise_signal(signal.SIGINT), solve(*given)))
    notes, progress = [], Silent()
    progress.note = notes.append
    with pytest.raises(KeyboardInterrupt, match=r"stopped at the end; the run in .*/run' is complete"):
        fit(methods.create("lsh", bits=12), items(), Config(str(tmp_path / "run")), progress=progress)
    assert len(notes) == 1
    assert notes[0].startswith("stopped at the end")
    assert Run(tmp_path / "run").finished


def test_a_run_that_came_to_no_checkpoint_says_how_it_starts_again(tmp_path):
    x = torch.full((60, 10), torch.nan)
    nothing = TrainingSet(x, torch.arange(60) % 3, labelled=range(20), unlabelled=range(20, 60))
    method, config = methods.create("dpsh", **SMALL), Config(str(tmp_path / "run"), accelerator="cpu", log_every=2)
    with pytest.raises(FloatingPointError, match="is nan at step 2"):
        fit(method, nothing, config, progress=Silent())
    message = (
        r"holds a run, with no checkpoint yet, which starts again if resumed \(there is .*\); choose another, or type"
    )
    with pytest.raises(FileExistsError, match=message):
        fit(method, nothing, config, progress=Silent(), resume_hint="type this")
    with pytest.raises(FloatingPointError, match="is nan at step 2"):
        fit(method, nothing, replace(config, resume=True), progress=Silent())


def test_a_run_needs_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"fit: config\.folder must name a folder, got ''"):
        run_of("")
    assert not any(tmp_path.iterdir())


def test_a_run_kept_to_the_cpu_encodes_there(tmp_path, monkeypatch):
    run = run_of(tmp_path / "run", accelerator="cpu")
    other = run_of(tmp_path / "other", accelerator="auto")
    monkeypatch.setattr("fasthash.training.run.found_accelerator", lambda: "cuda")
    assert (run.accelerator(), other.accelerator()) == ("cpu", "cuda")
