import dataclasses
import io
import json
import re
import signal

import numpy as np
import pytest
import torch

from fasthash import data, methods, training
from fasthash.evaluation import mean_average_precision
from fasthash.networks import HashNetwork, linear_head
from fasthash.training import Config, Lines, Silent, fit, load

SMALL = {
    "bits": 12,
    "network": {"widths": (16,), "dropout": 0.2},
    "perturbation": {"noise": 0.1},
    "epochs": 2,
    "batch_size": 32,
    "labelled": 8,
}


@pytest.fixture(scope="module")
def digits():
    images, labels = data.load_digits()
    split = data.make_split("digits-semi", labels)
    return images, labels, split, data.TrainingSet.from_split(images, labels, split)


@pytest.fixture(scope="module")
def run(digits, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "small"
    return fit(methods.create("pts3h", **SMALL), digits[3], Config(str(folder)), progress=Silent())


def test_encode_gives_packed_codes_of_the_same_kind(digits, run):
    images = digits[0]
    hasher = load(run)
    codes = hasher.encode(images)
    assert (codes.shape, codes.dtype, hasher.bits) == ((1797, 2), torch.uint8, 12)
    assert not (codes & 0x0F)[:, 1].any()
    assert torch.equal(hasher.encode(images, batch_size=1797), codes)
    assert np.array_equal(hasher.encode(images.numpy()), codes)
    backwards = images.numpy()[::-1]
    backwards.flags.writeable = False
    assert np.array_equal(hasher.encode(backwards, batch_size=100), codes.flip(0))
    assert hasher.encode(images[:0]).shape == (0, 2)
    assert isinstance(hasher.encode(images.numpy()[:0]), np.ndarray)
    for wrong in (torch.zeros(3, 64, dtype=torch.int64), np.zeros((3, 64), np.int8), [[0.0]]):
        with pytest.raises(TypeError, match=r"Hasher\.encode: x must be a floating or uint8 tensor or array"):
            hasher.encode(wrong)


def test_load_by_path_and_with_the_students_weights(digits, run):
    images = digits[0]
    assert torch.equal(load(str(run.path)).encode(images), load(run).encode(images))
    student = load(run, method=dataclasses.replace(run.method(), encode_with="student"))
    teacher = load(run)
    assert isinstance(student.network, HashNetwork)
    assert not torch.equal(student.network.head[0].weight, teacher.network.model.head[0].weight)
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    load(run)
    assert torch.equal(torch.rand(3), expected)


def test_run_folder_says_what_was_done(digits, run):
    config = json.loads((run.path / "config.json").read_text())
    assert config["method"] == "pts3h"
    assert config["items"].pop("digest") == digits[3].digest()
    assert config["items"] == {
        "shape": [1, 8, 8],
        "classes": 10,
        "modalities": [],
        "labelled": 100,
        "unlabelled": 1197,
    }
    assert run.method() == methods.create("pts3h", **SMALL)
    assert {path.name for path in run.path.iterdir()} == {
        "config.json",
        "environment.json",
        "metrics.jsonl",
        "checkpoints",
    }
    last = run.metrics()[-1]
    assert last["steps"] == last["step"] == 100
    assert set(last) == {"steps", "seconds", "stage", "rounds", "step", "dpsh", "quantization", "pair"}


def test_same_seed_same_weights(digits, run, tmp_path):
    again = fit(run.method(), digits[3], Config(str(tmp_path / "again")), progress=Silent())
    other = fit(run.method(), digits[3], Config(str(tmp_path / "other"), seed=1), progress=Silent())
    codes = [load(r).encode(digits[0]) for r in (run, again, other)]
    assert torch.equal(codes[0], codes[1])
    assert not torch.equal(codes[0], codes[2])


def test_folders_are_not_overwritten_and_resume_must_fit(digits, run):
    method, items, folder = run.method(), digits[3], str(run.path)
    with pytest.raises(FileExistsError, match=r"fit: config\.folder .* holds a run .*resume=True"):
        fit(method, items, Config(folder), progress=Silent())
    with pytest.raises(ValueError, match=r"fit: to resume .*, options\.w_max must be None, got 3\.0"):
        fit(dataclasses.replace(method, w_max=3.0), items, Config(folder, resume=True), progress=Silent())
    with pytest.raises(ValueError, match=r"training\.seed must be 0, got 1"):
        fit(method, items, Config(folder, seed=1, resume=True), progress=Silent())
    before = len(run.metrics())
    assert fit(method, items, Config(folder, resume=True), progress=Silent()).finished
    assert len(run.metrics()) == before


def test_a_network_of_the_callers(digits, tmp_path):
    def network():
        return HashNetwork(torch.nn.Flatten(), linear_head(64, 12))

    own = network()
    run = fit(methods.create("dpsh", **SMALL), digits[3], Config(str(tmp_path / "run")), network=own, progress=Silent())
    loaded = load(run, network=network())
    assert torch.equal(loaded.network.head[0].weight, own.head[0].weight)
    with pytest.raises(ValueError, match="load: network must be given"):
        load(run)
    with pytest.raises(ValueError, match=r"fit: network must turn one item into \(1, 8\), got \(1, 12\)"):
        fit(methods.create("dpsh", bits=8), digits[3], Config(str(tmp_path / "narrow")), network=network())
    assert not (tmp_path / "narrow").exists()


def test_no_run_no_hasher(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"Run: folder must hold a config\.json"):
        load(str(tmp_path))


def test_precisions(digits, tmp_path):
    method = methods.create("pts3h", **{**SMALL, "epochs": 0.2})
    run = fit(
        method, digits[3], Config(str(tmp_path / "run"), precision="bf16-mixed", accelerator="cpu"), progress=Silent()
    )
    assert load(run).network.model.head[0].weight.dtype == torch.float32
    with pytest.raises(ValueError, match="precision on a CPU must be '32' or 'bf16-mixed', got '16-mixed'"):
        fit(method, digits[3], Config(str(tmp_path / "half"), precision="16-mixed", accelerator="cpu"))
    assert not (tmp_path / "half").exists()
    with pytest.raises(ValueError, match=r"Config: precision must be .* got 'fp8'"):
        Config("x", precision="fp8")
    with pytest.raises(ValueError, match="Config: checkpoint_every must be >= 1, got 0"):
        Config("x", checkpoint_every=0)


def test_a_loss_that_is_no_number_ends_the_run(digits, tmp_path):
    images, labels, split, _ = digits
    items = data.TrainingSet.from_split(torch.full_like(images, float("nan")), labels, split)
    with pytest.raises(FloatingPointError, match="fit: loss 'dpsh' of stage 'train' is nan at step 1"):
        fit(methods.create("dpsh", **SMALL), items, Config(str(tmp_path / "run"), log_every=1), progress=Silent())
    assert not (tmp_path / "run").exists()


def test_lines_off_a_terminal(digits, tmp_path):
    out = io.StringIO()
    fit(
        methods.create("dpsh", **SMALL),
        digits[3],
        Config(str(tmp_path / "run"), log_every=10),
        progress=Lines("digits", out, seconds=0.0),
    )
    lines = out.getvalue().splitlines()
    assert lines[0] == "digits: 100 steps"
    assert lines[20].startswith("digits: step 20/100 after ")
    assert re.search(r"after \d+\.\d s, about \d+ s left train dpsh 0\.", lines[20])
    assert "left" not in lines[-1]
    assert len(lines) == 101  # the first, and one a step: the last step is not told twice


def test_a_bar_with_a_name(digits, tmp_path):
    out = io.StringIO()
    bar = training.Bar("my method", out)
    fit(methods.create("dpsh", **SMALL), digits[3], Config(str(tmp_path / "run")), progress=bar)
    last = out.getvalue().split("\r")[-1]
    assert last.startswith("my method: 100%")
    assert "100/100" in last


@pytest.mark.parametrize("name", ["dpsh", "pts3h"])
def test_digits_are_learnt_in_seconds(digits, tmp_path, name):
    images, labels, split, items = digits
    method = methods.create(name, bits=32, network={"widths": (128,)}, epochs=30, perturbation={"noise": 0.2})
    hasher = load(fit(method, items, Config(str(tmp_path / "run")), progress=Silent()))
    queries, database = hasher.encode(images[split.validation]), hasher.encode(images[split.database])
    score = mean_average_precision(queries, database, labels[split.validation], labels[split.database], bits=32)
    # Chance is 0.1: ten classes of like size.
    assert score > 0.5


def test_pts3h_stopped_and_resumed_is_the_same_run(digits, run, tmp_path):
    """Teacher, AdamW, cosine and the streams of views go on where they stood; resume=True also starts a run."""

    class CtrlC(Silent):
        steps = 0

        def advance(self, stage):
            self.steps += 1
            if self.steps == 37:
                signal.raise_signal(signal.SIGINT)

    config = Config(str(tmp_path / "run"), resume=True)
    with pytest.raises(KeyboardInterrupt):
        fit(run.method(), digits[3], config, progress=CtrlC())
    assert not training.Run(config.folder).finished
    parts = fit(run.method(), digits[3], config, progress=Silent())
    assert parts.metrics()[-1]["pair"] == run.metrics()[-1]["pair"]
    for who in ("student", "teacher"):
        method = dataclasses.replace(run.method(), encode_with=who)
        one, other = (load(r, method=method).network.state_dict() for r in (run, parts))
        assert all(torch.equal(one[key], other[key]) for key in one)
