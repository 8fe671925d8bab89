"""Directions between modalities: who asks, who is found, who is left out."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fasthash.evaluation import evaluate, evaluate_directions


@pytest.fixture
def modalities():
    """30 objects with labels: 24 have an image, 25 a text, all a sound; rows in different orders."""
    rng = np.random.default_rng(0)
    labels = (rng.random((30, 5)) < 0.3).astype(np.int64)
    centres = rng.standard_normal((5, 16))

    def side(objects):
        return labels[objects] @ centres + rng.standard_normal((len(objects), 16)), labels[objects], objects

    return {
        "image": side(rng.permutation(30)[:24]),
        "text": side(np.arange(5, 30)),
        "sound": side(rng.permutation(30)),
    }


def same_scores(report, other):
    assert set(report.scores) == set(other.scores)
    for name, score in other.scores.items():
        assert np.array_equal(report[name].per_query, score.per_query, equal_nan=True), name


def test_every_direction_is_an_evaluation(modalities):
    reports = evaluate_directions(modalities, k=(5,))
    assert set(reports) == {f"{a}->{b}" for a in modalities for b in modalities if a != b}
    assert len(reports) == 6
    for direction in reports:
        (queries, query_labels, _), (items, labels, _) = (modalities[name] for name in direction.split("->"))
        same_scores(reports[direction], evaluate(queries, items, query_labels, labels, k=(5,)))
    assert reports.notes == ["6 of 30 queries lack image", "5 of 30 queries lack text"]
    assert reports.alarms == []


def test_nobody_meets_himself_in_his_own_modality(modalities):
    reports = evaluate_directions(modalities, same=True, k=(5,))
    assert len(reports) == 9
    for name, (codes, labels, _) in modalities.items():
        same_scores(reports[f"{name}->{name}"], evaluate(codes, codes, labels, labels, k=(5,)))


def test_pairs_stay_or_go(modalities):
    kept, gone = (evaluate_directions(modalities, exclude_pairs=x, k=(5,)) for x in (False, True))
    (queries, query_labels, ids), (items, labels, item_ids) = modalities["image"], modalities["text"]
    for i in range(len(queries)):
        others = item_ids != ids[i]
        alone = evaluate(queries[[i]], items[others], query_labels[[i]], labels[others], k=(5,))
        for name, score in alone.scores.items():
            assert gone["image->text"][name].per_query[i] == pytest.approx(score.per_query[0], abs=1e-13), name
    assert gone["image->text"].cost.pairs == 24 * 25 - np.isin(ids, item_ids).sum()
    assert kept["image->text"].cost.pairs == 24 * 25


@pytest.mark.parametrize("relevance", ["share", "identical"])
def test_all_modalities_joined(modalities, relevance):
    reports = evaluate_directions(modalities, joined=True, k=(5,), relevance=relevance)
    together = [np.concatenate([modality[part] for modality in modalities.values()]) for part in range(2)]
    first = {"image": 0, "text": 24, "sound": 49}
    for name, (codes, labels, _) in modalities.items():
        own = np.arange(len(codes)) + first[name]
        expected = evaluate(codes, together[0], labels, together[1], exclude=own, k=(5,), relevance=relevance)
        same_scores(reports[f"{name}->*"], expected)


def test_a_database_of_its_own(modalities):
    queries = {name: tuple(x[:10] for x in modality) for name, modality in modalities.items()}
    database = {name: (codes[10:], labels[10:], ids[10:] + 100) for name, (codes, labels, ids) in modalities.items()}
    reports = evaluate_directions(queries, database, same=True, joined=True, k=(5,))
    assert len(reports) == 12
    for direction in ("image->text", "text->text"):
        (codes, query_labels, _), (items, labels, _) = (
            side[name] for side, name in zip((queries, database), direction.split("->"), strict=True)
        )
        same_scores(reports[direction], evaluate(codes, items, query_labels, labels, k=(5,)))
    assert len(reports.notes) == 6
    assert "13 of 23 queries lack image" in reports.notes
    leaky = {**database, "text": (*database["text"][:2], np.append(database["text"][2][1:], queries["image"][2][0]))}
    with pytest.raises(
        ValueError, match="database: expected no id of the queries, got 1 of 10 ids of 'image' in 'text'"
    ):
        evaluate_directions(queries, leaky)


def test_texts_as_ids_and_tensors_as_codes(modalities):
    names = {
        name: (torch.from_numpy(codes), torch.from_numpy(labels), [f"object {i}" for i in ids])
        for name, (codes, labels, ids) in modalities.items()
    }
    expected = evaluate_directions(modalities, same=True, joined=True, k=(5,))
    reports = evaluate_directions(names, same=True, joined=True, k=(5,))
    for direction in expected:
        same_scores(reports[direction], expected[direction])


def test_rows_are_ids_where_all_have_as_many(modalities):
    codes, labels, _ = modalities["sound"]
    noisy = codes + 0.1
    pair = {"a": (codes, labels, None), "b": (noisy, labels, None)}
    same_scores(
        evaluate_directions(pair, exclude_pairs=True, k=())["a->b"],
        evaluate(codes, noisy, labels, labels, exclude=np.arange(30), k=()),
    )
    with pytest.raises(ValueError, match="queries: expected ids, or as many rows in every modality"):
        evaluate_directions({**pair, "image": (*modalities["image"][:2], None)})


def test_constant_codes_raise_the_alarm_of_all_directions(modalities):
    flat = {name: (np.zeros_like(codes), labels, ids) for name, (codes, labels, ids) in modalities.items()}
    labels = np.ones((30, 1), int)
    flat = {name: (codes, labels[: len(codes)], ids) for name, (codes, _, ids) in flat.items()}
    reports = evaluate_directions(flat, k=())
    assert [alarm.name for alarm in reports.alarms] == ["equal directions"]
    assert "equal directions" in str(reports)


def test_the_table_names_every_direction(modalities):
    reports = evaluate_directions(modalities, k=(5,))
    for direction in reports:
        line = next(line for line in str(reports).splitlines() if line.startswith(direction))
        assert f"{reports[direction]['mAP@all']:.4f}" in line


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda m: {"image": m["image"]}, ValueError, "queries: expected two modalities or more, got 1"),
        (
            lambda m: {**m, "text": m["text"][:2]},
            TypeError,
            "queries: expected .codes, labels, ids. for 'text', got tuple",
        ),
        (lambda m: {**m, "text": (*m["text"][:2], [1, 2])}, ValueError, "queries: expected 25 ids for 'text', got 2"),
        (lambda m: {**m, "text": (*m["text"][:2], np.zeros(25))}, ValueError, "ids of 'text' that occur once"),
    ],
)
def test_bad_modalities(modalities, change, error, message):
    with pytest.raises(error, match=f"^evaluate_directions: .*{message}"):
        evaluate_directions(change(modalities))


def test_pairs_cannot_be_left_out_of_a_joined_database(modalities):
    with pytest.raises(ValueError, match="exclude_pairs: expected False with joined=True"):
        evaluate_directions(modalities, joined=True, exclude_pairs=True)
