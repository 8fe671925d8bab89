import copy
import dataclasses
import itertools
import math
import subprocess
import sys
import warnings

import pytest
import torch
from by_hand import start
from run_helpers import StopAfter, final_state

from fasthash import methods
from fasthash.data import TrainingSet
from fasthash.losses import signed_pairs
from fasthash.methods import Cursor, DistillHash
from fasthash.networks import HashNetwork, NetworkConfig, linear_head
from fasthash.teachers import (
    distil_pairs,
    histogram_threshold,
    neighbour_agreement,
    noisy_signs,
    pair_accuracy,
    pair_distances,
)
from fasthash.training import Config, Silent, Validation, fit, load

OPTIONS = {
    "bits": 12,
    "network": {"widths": (16,), "dropout": 0.3},
    "perturbation": {"noise": 0.1},
    "noisy": "quantile",
    "share": 0.3,
    "n_neighbors": 6,
    "noisy_epochs": 12,
    "epochs": 3,
    "batch_size": 20,
    "optimiser": {"lr": 0.01, "weight_decay": 0.0, "schedule": "constant"},
}


def distillhash(**options):
    return methods.create("distillhash", **{**OPTIONS, **options})


def clusters(labelled=0, hidden=None):
    """60 items around three points, none of them labelled, or some and with these true classes of the others."""
    generator = torch.Generator().manual_seed(0)
    x = (2 * torch.randn(3, 6, generator=generator))[torch.arange(60) % 3] + torch.randn(60, 6, generator=generator)
    if hidden is None:
        return TrainingSet(x, None, [], range(60))
    labels = torch.arange(60) % 3
    labels[labelled:] = hidden
    return TrainingSet(x, labels, range(labelled), range(labelled, 60))


def trained(tmp_path, method, data=None):
    """The run, and its tensors."""
    run = fit(
        method, clusters() if data is None else data, Config(str(tmp_path / "run"), log_every=1), progress=Silent()
    )
    return run, run.tensors()


def state_after(method, *stages, data=None):
    """The state after closed-form stages, by hand."""
    data = clusters() if data is None else data
    state = start(method, data)
    for place, stage in enumerate(method.plan(data, seed=0)):
        if stage.name in stages:
            stage.run(state, Cursor((place,)))
    return state, method.plan(data, seed=0)


@pytest.mark.parametrize("diagonal", ["as_is", "drop"])
def test_noisy_labels_are_those_of_the_worked_example(diagonal):
    x = torch.tensor([[1.0, 0.0], [0.8, 0.6], [0.0, 1.0]])
    method = distillhash(noisy="cosine", n_neighbors=1, skip_pos=0, bits=2, diagonal=diagonal)
    data = TrainingSet(3 * x, None, [], range(3))
    state, _ = state_after(method, "features", data=data)
    target = method.on_diagonal(method.noisy_pairs(state, torch.tensor([2, 0, 1])))
    expected = torch.tensor([[1, -1, 1], [-1, 1, 1], [1, 1, 1]], dtype=torch.int8)
    assert torch.equal(target, expected - (diagonal == "drop") * torch.eye(3, dtype=torch.int8))


def test_a_quantile_makes_that_share_of_the_pairs_similar():
    state, _ = state_after(distillhash(share=0.2), "features")
    similar = distillhash().noisy_pairs(state, torch.arange(60)) > 0
    assert int(similar.sum() - 60) == 2 * round(0.2 * 60 * 59 / 2)


def test_the_histogram_of_distances_sets_the_threshold():
    state, _ = state_after(distillhash(noisy="ssdh18"), "features")
    f = torch.nn.functional.normalize(clusters().take(torch.arange(60)))
    assert float(state.tensors["threshold"]) == pytest.approx(histogram_threshold(pair_distances(f)))


def test_pixels_are_the_features_of_images():
    flat = clusters().take(torch.arange(60))
    images = TrainingSet(flat.reshape(60, 1, 2, 3), None, [], range(60))
    method = distillhash(network={"backbone": "identity"})
    state, _ = state_after(method, "features", "distil", data=images)
    expected, _ = state_after(method, "features")
    assert torch.equal(state.tensors["neighbours"], expected.tensors["neighbours"])
    index = torch.tensor([5, 2, 40])
    assert torch.equal(method.noisy_pairs(state, index), method.noisy_pairs(expected, index))
    assert state.tensors["outputs"].shape == (60, 12)


@pytest.mark.parametrize(("threshold", "which"), [(0.0, "none"), (2.0, "all")])
def test_a_threshold_that_parts_no_pairs_warns(threshold, which):
    x = clusters().take(torch.arange(60)).abs()
    data = TrainingSet(x, None, [], range(60))
    with pytest.warns(UserWarning, match=f"distance of {threshold:.4g} {which} of the sampled pairs are similar"):
        state_after(distillhash(noisy="cosine", threshold=threshold), "features", data=data)


def test_without_distilling_the_final_network_learns_the_noisy_pairs(tmp_path):
    method = distillhash(pairs="noisy", network={"widths": (16,)}, perturbation={})
    assert [stage.name for stage in method.plan(clusters(), seed=0)] == ["features", "final"]
    state, (_, final) = state_after(method, "features")
    index = torch.arange(7, 27)
    loss = final.step(state, state.data.batch(index), Cursor((1,)))["likelihood"]
    outputs = state.modules["student"](state.data.take(index))
    torch.testing.assert_close(loss, signed_pairs(outputs, method.noisy_pairs(state, index)))
    # Beside a distilled run: its weights at first, its batches, its labels.
    beside, plan = state_after(distillhash(network={"widths": (16,)}, perturbation={}), "features")
    ours, theirs = state.modules["student"].state_dict(), beside.modules["student"].state_dict()
    assert all(torch.equal(value, theirs[key]) for key, value in ours.items())
    pairs = zip(final.reads(state, Cursor((1,))), plan[3].reads(beside, Cursor((3,))), strict=True)
    assert all(torch.equal(one.index, other.index) for one, other in pairs)
    run, tensors = trained(tmp_path, method)
    assert {line["stage"] for line in run.metrics()} == {"final"}
    assert list(method.accuracy(tensors, clusters(), torch.arange(60) % 3)) == ["noisy"]


def test_steps_see_noisy_pairs_first_and_kept_pairs_at_last(tmp_path):
    method = distillhash(network={"widths": (16,)}, perturbation={})
    _, tensors = trained(tmp_path, method)
    state, plan = state_after(method, "features")
    (_, noisy, _, final), network = plan, state.modules["student"]
    index = torch.arange(5, 29)
    batch = state.data.batch(index)
    x = state.data.take(index)
    loss = noisy.step(state, batch, Cursor((1,)))["l2"]
    f = torch.nn.functional.normalize(x)
    signs = torch.where(1 - f @ f.T < state.tensors["threshold"], 1, -1)
    torch.testing.assert_close(loss, signed_pairs(network(x), signs, kind="l2"))
    state.tensors = tensors
    distilled = torch.cat(list(method.distilled(tensors)))
    assert {-1, 0, 1} == set(distilled.unique().tolist())
    loss = final.step(state, batch, Cursor((3,)))["likelihood"]
    torch.testing.assert_close(loss, signed_pairs(network(x), distilled[index][:, index]))


def test_every_pass_sees_all_items_in_an_order_of_its_own():
    method = distillhash(noisy_batch_size=20)
    state, (_, noisy, _, final) = state_after(method)
    assert (noisy.length, final.length) == (36, 9)
    batches = [torch.stack([b.index for b in stage.reads(state, Cursor((1,)))]) for stage in (noisy, final)]
    for passes in batches:
        assert all(torch.equal(part.flatten().sort().values, torch.arange(60)) for part in passes.split(3))
    assert len({str(part.tolist()) for passes in batches for part in passes.split(3)}) == 15


@pytest.mark.parametrize("estimator", ["tanh", "sign"])
def test_the_planes_hold_what_distilling_gives(tmp_path, estimator):
    method = distillhash(estimator=estimator, calibrate=True, balance=0.5)
    _, tensors = trained(tmp_path, method)
    table, h = tensors["neighbours"], tensors["outputs"]
    if estimator == "sign":
        h = torch.where(h > 0, 1.0, -1.0)
    one, other = tensors["calibration"].tolist()
    assert other == pytest.approx([one[0], one[1] + 0.5 * math.log(0.7 / 0.3)], abs=0.01)
    assert one[0] != 1
    whole = torch.cat(
        list(distil_pairs(h, table, (2, 8), (0, 6), calibration=tuple(one), negative_calibration=tuple(other)))
    )
    state, _ = state_after(method)
    state.tensors = tensors
    for index in (torch.arange(60), torch.tensor([59, 3, 8, 7])):
        assert torch.equal(method.kept_pairs(state, index), whole[index][:, index])
    assert tensors["positive"].dtype == torch.uint8
    assert tensors["positive"].shape == tensors["negative"].shape == (60, 8)


@pytest.mark.parametrize("reinit", [True, False])
def test_the_final_stage_starts_from_the_first_weights_or_goes_on(reinit):
    method = distillhash(reinit=reinit)
    state, (_, noisy, distil, _) = state_after(method, "features")
    first, student = state.modules["first"], state.modules["student"]
    start = copy.deepcopy(student.state_dict())
    assert all(torch.equal(value, start[key]) for key, value in first.state_dict().items())
    optimiser = noisy.optimisers["first"](state)
    for batch in itertools.islice(noisy.reads(state, Cursor((1,))), 30):
        optimiser.zero_grad()
        noisy.step(state, batch, Cursor((1,)))["l2"].backward()
        optimiser.step()
    learnt = copy.deepcopy(first.state_dict())
    assert not torch.equal(start["head.0.weight"], learnt["head.0.weight"])
    distil.run(state, Cursor((2,)))
    expected = start if reinit else learnt
    assert all(torch.equal(value, expected[key]) for key, value in student.state_dict().items())
    assert first.training
    # Outputs are those of the first network, without its dropout.
    first.eval()
    torch.testing.assert_close(state.tensors["outputs"], first(state.data.take(torch.arange(60))))


@pytest.mark.parametrize("classes", [(20, 0), (20, 2), (60, 1)])
def test_labels_shuffled_or_removed_change_nothing(tmp_path, classes):
    method = distillhash()
    run, tensors = trained(tmp_path / "without", method)
    other, others = trained(tmp_path / "with", method, clusters(*classes))
    assert tensors.keys() == others.keys()
    assert all(torch.equal(tensors[name], others[name]) for name in tensors)
    x = clusters().take(torch.arange(60))
    assert torch.equal(load(run).encode(x), load(other).encode(x))


def test_labelled_items_stand_first_and_only_their_order_counts(tmp_path):
    """A training set puts them first: the codes are those of unlabelled items in that order, and not in another."""
    x, labels = clusters().take(torch.arange(60)), torch.arange(60) % 3
    rows = [*range(40, 60), *range(40)]
    sets = {
        "labelled": TrainingSet(x, labels, rows[:20], rows[20:]),
        "same order": TrainingSet(x, None, [], rows),
        "other order": TrainingSet(x, None, [], range(60)),
    }
    runs = {name: trained(tmp_path / name, distillhash(), data) for name, data in sets.items()}
    (run, tensors), (other, others) = runs["labelled"], runs["same order"]
    assert tensors.keys() == others.keys()
    assert all(torch.equal(tensors[name], others[name]) for name in tensors)
    assert torch.equal(load(run).encode(x), load(other).encode(x))
    assert not torch.equal(load(run).encode(x), load(runs["other order"][0]).encode(x))


def test_features_of_the_backbone_are_those_it_started_with(tmp_path):
    method = distillhash(features="backbone")
    state, _ = state_after(method)
    student = state.modules["student"].eval()
    expected = torch.nn.functional.normalize(student.features(state.data.take(torch.arange(60))))
    torch.manual_seed(0)
    network = method.modules(copy.deepcopy(student).train(), state.data.spec)["student"]
    config = Config(str(tmp_path / "run"))
    tensors = fit(method, clusters(), config, progress=Silent(), network=network).tensors()
    torch.testing.assert_close(tensors["features"], expected.detach())
    assert "features" not in state_after(distillhash(), "features")[0].tensors
    pretrained = dataclasses.replace(method, features=None, network=NetworkConfig(weights="a.safetensors"))
    assert pretrained.of_backbone
    assert not distillhash().of_backbone


def test_accuracy_is_that_of_the_whole_matrices(tmp_path):
    method, data = distillhash(), clusters()
    _, tensors = trained(tmp_path, method)
    labels = torch.arange(60) % 3
    found = method.accuracy(tensors, data, labels, (3, 2))
    f = torch.nn.functional.normalize(data.take(torch.arange(60)))
    everything = torch.ones(60, 60, dtype=torch.bool)
    expected = {"noisy": pair_accuracy(1 - f @ f.T < tensors["threshold"], everything, labels)}
    for name, count in (("distilled", 6), ("distilled, 3 neighbours", 3), ("distilled, 2 neighbours", 2)):
        distilled = torch.cat(list(distil_pairs(tensors["outputs"], tensors["neighbours"], (2, 2 + count), (0, count))))
        expected[name] = pair_accuracy(distilled > 0, distilled != 0, labels)
    assert str(found) == str(expected)
    assert found["distilled"].decided > found["distilled, 2 neighbours"].decided
    with pytest.raises(ValueError, match=r"DistillHash.distilled: n_neighbors must lie in \[1, 6\], got 7"):
        method.accuracy(tensors, data, labels[:5], (7,))


def test_agreement_is_that_of_neighbouring_noisy_labels(tmp_path):
    method, data = distillhash(), clusters()
    _, tensors = trained(tmp_path, method)
    f = torch.nn.functional.normalize(data.take(torch.arange(60)))
    blocks = {"noisy": noisy_signs(f, f, tensors["threshold"])}
    blocks |= {"distilled": torch.cat(list(method.distilled(tensors)))}
    blocks |= {"distilled, 3 neighbours": torch.cat(list(method.distilled(tensors, 3)))}
    expected = neighbour_agreement(
        {name: [signs] for name, signs in blocks.items()}, f, tensors["neighbours"][:, 1:5], tensors["threshold"]
    )
    assert str(method.agreement(tensors, data, (3,), nearest=4)) == str(expected)
    with pytest.raises(ValueError, match=r"DistillHash.agreement: nearest must lie in \[1, 7\], got 8"):
        method.agreement(tensors, data, nearest=8)


def near_twins(groups, spread):
    """60 items in some groups of near twins."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(groups, 6, generator=generator)[torch.arange(60) % groups]
    return TrainingSet(x + spread * torch.randn(60, 6, generator=generator), None, [], range(60))


@pytest.mark.parametrize(
    ("data", "way_out", "kept"),
    [
        ((3, 1e-4), {"skip_pos": 20, "skip_neg": 20}, {"negative"}),
        ((1, 0.3), {"noisy": "quantile", "calibrate": True}, {"positive", "negative"}),
    ],
)
@pytest.mark.filterwarnings("ignore:DistillHash. below a distance")
def test_near_twins_of_which_no_pair_is_kept_raise_and_what_is_said_helps(tmp_path, data, way_out, kept):
    data = near_twins(*data)
    with pytest.raises(ValueError, match="distil: expected pairs to keep, got none of either sign") as raised:
        trained(tmp_path / "none", distillhash(noisy="cosine", network={"widths": (16,)}, perturbation={}), data)
    assert all(option in str(raised.value) for option in way_out)
    method = distillhash(**{"noisy": "cosine", "network": {"widths": (16,)}, "perturbation": {}, **way_out})
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        _, tensors = trained(tmp_path / "some", method, data)
    assert {name for name in ("positive", "negative") if tensors[name].any()} == kept
    assert any("no positive pair was kept" in str(warning.message) for warning in caught) == ("positive" not in kept)


@pytest.mark.parametrize("reinit", [True, False])
def test_only_the_network_that_makes_the_codes_is_scored(tmp_path, reinit):
    x, labels = clusters().take(torch.arange(60)), torch.arange(60) % 3
    validation = Validation(x[:20], labels[:20], x[20:], labels[20:])
    method = distillhash(reinit=reinit)
    # Stage `noisy` has 30 steps, `final` 9.
    for name, patience in (("best", None), ("patient", 2)):
        config = Config(str(tmp_path / name), log_every=1, validate_every=1, patience=patience)
        run = fit(method, clusters(), config, validation=validation, progress=Silent())
        scored = [line["steps"] for line in run.metrics() if "validation_mAP" in line]
        assert scored[0] == 31
        assert scored == list(range(31, scored[-1] + 1))
        assert run.best["steps"] > 30
        assert scored[-1] == (39 if patience is None else min(39, run.best["steps"] + patience))


@pytest.mark.parametrize("stop", [13, 34])
@pytest.mark.parametrize(
    "options", [{}, {"estimator": "sign", "calibrate": True, "balance": 0.5, "reinit": False, "order": 2}]
)
def test_a_run_stopped_in_either_stage_goes_on_bit_for_bit(options, stop, tmp_path):
    method = distillhash(**options)

    def config(folder, **more):
        return Config(str(tmp_path / folder), log_every=1, **more)

    whole = fit(method, clusters(), config("whole"), progress=Silent())
    assert [line["stage"] for line in whole.metrics()].count("noisy") == 30
    with pytest.raises(KeyboardInterrupt):
        fit(method, clusters(), config("parts"), progress=StopAfter(stop))
    parts = fit(method, clusters(), config("parts", resume=True), progress=Silent())
    (one, _), (other, _) = final_state(whole), final_state(parts)
    assert one.keys() == other.keys()
    assert all(torch.equal(one[key], other[key]) for key in one)


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"noisy": "vgg"}, ValueError, "noisy must be one of"),
        ({"estimator": "codes"}, ValueError, "estimator must be one of"),
        ({"pairs": "all"}, ValueError, "pairs must be one of"),
        ({"loss_final": "dsh"}, ValueError, "loss_final must be one of"),
        ({"threshold": 2.5}, ValueError, r"threshold must lie in \[0, 2\], got 2.5"),
        ({"share": 0.0}, ValueError, r"share must lie in \(0, 1\), got 0.0"),
        ({"n_neighbors": 0}, ValueError, "n_neighbors must be >= 1, got 0"),
        ({"skip_neg": -1}, ValueError, "skip_neg must be >= 0, got -1"),
        ({"n_neighbors": 2, "order": 5}, ValueError, r"order must be <= n_neighbors\^2, .* 4, got 5"),
        ({"calibrate": 1}, TypeError, "calibrate must be True or False, got 1"),
        ({"balance": 0.5}, ValueError, "balance must be 0 without calibrate, got 0.5"),
        ({"calibrate": True, "balance": 2.0}, ValueError, r"balance must lie in \[0, 1\], got 2.0"),
        ({"batch_size": 1}, ValueError, "batch_size must be >= 2, got 1"),
        ({"noisy_epochs": 0.0}, ValueError, r"noisy_epochs must lie in \(0, inf\), got 0.0"),
        ({"network": NetworkConfig(relaxation="none")}, ValueError, "network.relaxation must be \"tanh\", got 'none'"),
    ],
)
def test_wrong_options_are_named(options, kind, message):
    with pytest.raises(kind, match=f"DistillHash: {message}"):
        DistillHash(**options)


def test_networks_and_data_that_do_not_fit_are_named():
    method = distillhash()
    with pytest.raises(ValueError, match=r"data must have at least 8 items, .* got 7"):
        method.plan(TrainingSet(torch.zeros(7, 6), None, [], range(7)), seed=0)
    relaxed = HashNetwork(torch.nn.Flatten(), linear_head(6, 12), relaxation="sigmoid")
    with pytest.raises(ValueError, match="network must have relaxation \"tanh\", got 'sigmoid'"):
        method.modules(relaxed, clusters().spec)
    with pytest.raises(TypeError, match='network must be a HashNetwork with features="backbone", got Linear'):
        distillhash(features="backbone").modules(torch.nn.Linear(6, 12), clusters().spec)


def test_distilling_50_000_items_holds_no_matrix_of_all_pairs():
    """One block of rows, in a process of its own: the matrix would be 10 GB in float32."""
    code = """
import resource, torch
from fasthash.teachers import distil_pairs
n = 50_000
h, table = torch.rand(n, 16) * 2 - 1, torch.randint(n, (n, 22))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
assert next(distil_pairs(h, table, rows=16)).shape == (16, n)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=280)
    assert result.returncode == 0, result.stderr
    assert float(result.stdout) < 200
