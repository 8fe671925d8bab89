"""SKDCH: whole runs on small data, its stages and its options."""

import dataclasses
import math

import pytest
import torch
from run_helpers import same_weights
from skdch_helpers import items, skdch, start
from torch import nn

from fasthash import methods
from fasthash.data import Modalities, TrainingSet
from fasthash.methods import Cursor, walk
from fasthash.networks import HashNetwork, ModalNetwork, linear_head
from fasthash.training import Config, Silent, Validation, fit, load


def trained(tmp_path, folder, method, data, **more):
    return fit(method, data, Config(str(tmp_path / folder), accelerator="cpu"), progress=Silent(), **more)


@pytest.mark.parametrize("multi_hot", [False, True])
def test_hidden_labels_change_nothing(multi_hot, tmp_path):
    method = skdch()
    runs = [trained(tmp_path, str(hidden), method, items(hidden=hidden, multi_hot=multi_hot)) for hidden in (0, 2)]
    assert same_weights(*runs)


@pytest.mark.parametrize("options", [{"joint": True}, {"pairs": "mean", "knn_space": "binary", "vote": "last"}])
def test_three_modalities_one_of_which_is_often_missing(options, tmp_path):
    names = ("image", "text", "sound")
    data = items(names, missing=True)
    queries = items(names).source.select(range(10))
    validation = Validation(queries, torch.arange(10) % 3, data.source.select(range(15)), torch.arange(15) % 3)
    run = trained(tmp_path, "run", skdch(**options), data, validation=validation)
    stages = {line["stage"] for line in run.metrics()}
    assert stages == {"teacher", "selector", "adversarial", "student", "refine"}
    assert run.best["score"] > 0
    hasher = load(run)
    for name in names:
        codes = hasher.encode(queries, modality=name)
        assert torch.equal(codes, hasher.encode(queries.modality(name).take(torch.arange(10)), modality=name))
        assert codes.shape == (10, 1)
    with pytest.raises(ValueError, match="modality must be one of 'image', 'text', 'sound', got None"):
        hasher.encode(torch.zeros(2, 5))


def test_stages_and_what_makes_the_codes(tmp_path):
    data = items()
    names = [stage.name for _, stage in walk(skdch().plan(data, 0))]
    assert names == ["teacher", *["selector", "adversarial"] * 2, "vote", "student", "refine", "refine"]
    lengths = {stage.name: stage.length for _, stage in walk(skdch(student_epochs=3).plan(data, 0))}
    assert lengths["teacher"] == 2 * 2 * math.ceil(15 * 4 / 16)
    assert lengths["student"] == 3 * 2 * math.ceil(40 * 4 / 16)
    alone = skdch(distil=False, adversarial=False)
    assert [stage.name for _, stage in walk(alone.plan(data, 0))] == ["teacher"]
    assert start(alone, data).modules.keys() == {"teacher"}
    run = trained(tmp_path, "run", skdch(), data)
    x = data.take(torch.arange(40), "text")
    teacher = dataclasses.replace(run.method(), encode_with="teacher")
    assert not torch.equal(load(run).encode(x, modality="text"), load(run, method=teacher).encode(x, modality="text"))


def test_patience_waits_for_the_student(tmp_path):
    data, others = items(), items().source.select(range(10))
    validation = Validation(others, torch.arange(10) % 3, others, torch.arange(10) % 3)
    config = Config(str(tmp_path / "run"), accelerator="cpu", patience=1, validate_every=2)
    run = fit(skdch(), data, config, validation=validation, progress=Silent())
    scored = {line["stage"] for line in run.metrics() if "validation_mAP" in line}
    assert "student" in scored
    assert scored <= {"student", "refine"}


def test_a_list_is_as_long_as_a_class_is_in_the_pool():
    assert skdch().neighbours(items()) == [round(40 / 3)] * 2
    assert skdch().neighbours(items(multi_hot=True))[0] > round(40 / 3)
    assert skdch().neighbours(items(missing=True)) == [round(40 / 3), round(20 / 3)]
    assert skdch(knn_pool="labelled").neighbours(items()) == [5, 5]
    assert skdch(knn_pool="labelled").neighbours(items(missing=True)) == [5, round(7 / 3)]
    assert skdch(knn_k=9).neighbours(items()) == [9, 9]
    assert methods.create("skdch", preset="released_code").vote == "last"


def test_lists_of_labelled_items_do_not_end_in_the_most_frequent_label():
    generator = torch.Generator().manual_seed(0)
    labels = torch.cat([torch.tensor([0] * 20 + [1] * 5 + [2] * 5), torch.arange(90) % 3])
    centres = 4 * torch.randn(3, 5, generator=generator)
    x = {name: centres[labels] + torch.randn(120, 5, generator=generator) for name in ("image", "text")}
    data = TrainingSet(Modalities(x), labels, range(30), range(30, 120), standardise=True)
    method = skdch(init="fan_in", knn_pool="labelled")
    state = start(method, data)
    method.vote_labels(state, Cursor((0,)))
    assert (state.tensors["labels"] == labels).float().mean() > 0.8


def test_weights_are_drawn_as_released_or_by_fan_in():
    wide = start(skdch(network={"hidden": 200}), items()).modules
    weights = [layer.head[0].weight for layer in wide["student"].branches]
    assert all(w.abs().max() <= 0.2 and 0.08 < w.std() < 0.1 for w in weights)
    assert not torch.equal(wide["student"].branch("text").head[0].weight, wide["teacher"].branch("text").head[0].weight)
    assert (wide["student"].branch("text").head[0].bias == 0).all()
    # A teacher starts as supervision on labelled items alone does.
    alone = start(skdch(network={"hidden": 200}, distil=False, adversarial=False), items()).modules["teacher"]
    assert all(map(torch.equal, alone.parameters(), wide["teacher"].parameters()))
    narrow = start(skdch(init="fan_in", network={"hidden": 200}), items()).modules["student"]
    assert narrow.branch("text").head[2].weight.abs().max() <= 1 / math.sqrt(200)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"vote": "first"}, "vote must be one of 'majority', 'per_class', 'last', got 'first'"),
        ({"distil": False, "encode_with": "student"}, "encode_with must be one of 'teacher', None, got 'student'"),
        ({"network": {"relaxation": "tanh"}}, "network.relaxation must be \"sigmoid\", got 'tanh'"),
        ({"selector_share": 0.0}, r"selector_share must lie in \(0, 1\], got 0"),
        ({"epochs": 0}, "epochs must be >= 1, got 0"),
        ({"triplets": 1}, "triplets must be >= 2 with adversarial, got 1"),
    ],
)
def test_options_are_checked_when_the_method_is_made(options, message):
    with pytest.raises(ValueError, match=message):
        skdch(**options)


def test_data_that_do_not_fit_are_refused(tmp_path):
    one = TrainingSet(torch.randn(20, 5), torch.arange(20) % 2, range(5), range(5, 20))
    with pytest.raises(ValueError, match=r"SKDCH: data must be data\.Modalities of two or more, got 0"):
        trained(tmp_path, "run", skdch(), one)
    with pytest.raises(ValueError, match='vote must be "majority" or "last" with class ids, got "per_class"'):
        trained(tmp_path, "run", skdch(vote="per_class"), items())
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("joint", [False, True])
@pytest.mark.parametrize(
    ("labels", "labelled"),
    [
        (torch.zeros(40, dtype=torch.int64), range(15)),
        (torch.arange(40) % 3, range(1)),
        (torch.tensor([[1, 0], [1, 1]]).repeat(20, 1), range(15)),
    ],
)
def test_labels_that_give_no_triplet_are_refused(labels, labelled, joint):
    data = TrainingSet(items().source, labels, labelled, range(15, 40))
    state = torch.random.get_rng_state()
    with pytest.raises(ValueError, match="of two classes or more, got no query with both"):
        skdch(joint=joint).plan(data, 0)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_networks_that_do_not_fit_are_refused():
    data = items()

    def network(head, relaxation):
        return ModalNetwork(
            {name: HashNetwork(nn.Identity(), head, relaxation=relaxation) for name in data.source.names}
        )

    with pytest.raises(TypeError, match="network must be a ModalNetwork, got Linear"):
        skdch().modules(nn.Linear(5, 8), data.spec)
    with pytest.raises(ValueError, match="network must have relaxation \"sigmoid\", got 'tanh' for 'image'"):
        skdch().modules(network(linear_head(5, 8), "tanh"), data.spec)
    with pytest.raises(TypeError, match=r"nn\.Sequential heads ending in nn\.Linear, got Linear"):
        skdch().modules(network(nn.Linear(5, 8), "sigmoid"), data.spec)
    assert skdch().modules(network(linear_head(5, 8), "sigmoid"), data.spec)["classes"][0].in_features == 5


def test_a_student_finds_more_than_a_teacher_of_a_tenth_of_the_labels(tmp_path):
    generator = torch.Generator().manual_seed(1)
    labels = torch.arange(500) % 5
    source = Modalities(
        {
            name: torch.randn(5, size, generator=generator)[labels] + 2.2 * torch.randn(500, size, generator=generator)
            for name, size in (("image", 30), ("text", 20))
        }
    )
    data = TrainingSet(source, labels, range(40), range(40, 400), standardise=True)
    sides = (source.select(range(400, 500)), labels[400:], source.select(range(400)), labels[:400])
    options = {"bits": 16, "network": {"hidden": 64}, "epochs": 20, "lr": 0.1, "refine_rounds": 5, "refine_lr": 1e-2}
    method = methods.create("skdch", **options, adversarial=False)
    run = trained(tmp_path, "run", method, data)
    score = {}
    for name in ("teacher", "student"):
        hasher = load(run, method=dataclasses.replace(method, encode_with=name))
        score[name] = Validation(*sides).score(hasher.network, 16, hasher.standardisation)
    assert 0.2 < score["teacher"] < score["student"] - 0.03
