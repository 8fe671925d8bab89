"""The report: its numbers are those of the functions, and it says what was changed or left out."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from fasthash import evaluation
from fasthash.evaluation import evaluate


def functions(problem, ks, radius, graded, **options):
    """Short name -> score, each from its own function."""
    scores = {"mAP@all": evaluation.mean_average_precision(*problem, **options)}
    untied = {name: value for name, value in options.items() if name != "ties"}
    no_empty = {name: value for name, value in options.items() if name != "empty"}
    for k in ks:
        scores[f"mAP@{k}"] = evaluation.mean_average_precision(*problem, k=k, **options)
        scores[f"mAP@{k}[min]"] = evaluation.mean_average_precision(*problem, k=k, divisor="min", **options)
        scores[f"P@{k}"] = evaluation.precision_at(*problem, k, **no_empty)
        scores[f"R@{k}"] = evaluation.recall_at(*problem, k, **options)
    scores[f"precision within radius {radius}"] = evaluation.precision_within_radius(*problem, radius, **untied)
    scores[f"recall within radius {radius}"] = evaluation.recall_within_radius(*problem, radius, **untied)
    scores[f"mAP within radius {radius}"] = evaluation.mean_average_precision_within_radius(*problem, radius, **options)
    if graded:
        scores["NDCG@all"] = evaluation.ndcg_at(*problem, **options)
        scores["WAP@all"] = evaluation.weighted_average_precision(*problem, **options)
        for k in ks:
            scores[f"NDCG@{k}"] = evaluation.ndcg_at(*problem, k, **options)
            scores[f"ACG@{k}"] = evaluation.acg_at(*problem, k, **no_empty)
            scores[f"WAP@{k}"] = evaluation.weighted_average_precision(*problem, k, **options)
    return scores


@pytest.mark.parametrize("multi", [False, True])
@pytest.mark.parametrize("ties", ["expected", "index", "best", "worst"])
@pytest.mark.parametrize("empty", ["zero", "skip"])
def test_numbers_are_those_of_the_functions(random_problem, multi, ties, empty):
    problem = random_problem(0, multi=multi)
    options = {"ties": ties, "empty": empty}
    report = evaluate(*problem, k=(40, 7), radius=4, **options)
    expected = functions(problem, (7, 40), 4, multi, **options)
    assert set(report.scores) == set(expected)
    for name, score in expected.items():
        assert report[name].per_query == pytest.approx(score.per_query, abs=1e-13, nan_ok=True), name
        assert float(report[name]) == pytest.approx(float(score), abs=1e-13), name
        assert (report[name].convention, report[name].empty) == (score.convention, score.empty)
        assert (report[name].best, report[name].worst) == pytest.approx((score.best, score.worst), abs=1e-13)
    for average in ("macro", "micro"):
        for by in ("radius", "rank"):
            curve = evaluation.precision_recall_curve(*problem, by=by, average=average, empty=empty)
            assert report.curves[f"{by}, {average}"].precision == pytest.approx(curve.precision, nan_ok=True)
            assert report.curves[f"{by}, {average}"].recall == pytest.approx(curve.recall, nan_ok=True)
            assert report.curves[f"{by}, {average}"].convention == curve.convention


def test_pairs_and_bits(random_problem):
    queries, items, query_labels, labels = random_problem(1)
    report = evaluate(queries, items, query_labels, labels)
    distance = np.bitwise_count(queries[:, None] ^ items[None]).sum(axis=2, dtype=np.int64)
    relevant = (query_labels[:, None] == labels) & (query_labels[:, None] >= 0)
    assert report.distances.relevant.tolist() == np.bincount(distance[relevant], minlength=17).tolist()
    assert report.distances.irrelevant.tolist() == np.bincount(distance[~relevant], minlength=17).tolist()
    assert (report.queries, report.items, report.bits, report.cost.pairs) == (12, 200, 16, 2400)
    assert report.cost.seconds > 0
    bits = np.unpackbits(items, axis=1)
    assert report.database_bits.mean == pytest.approx(bits.mean(axis=0))
    codes, times = np.unique(bits, axis=0, return_counts=True)
    assert (report.database_bits.distinct, report.database_bits.codes) == (len(codes), 200)
    assert report.database_bits.largest_share == times.max() / 200
    assert report.database_bits.duplicate_rate == pytest.approx(1 - len(codes) / 200)


def test_self_exclusion_is_seen_by_all_numbers(random_problem):
    _, items, _, labels = random_problem(2, items=50, multi=True)
    report = evaluate(items, items, labels, labels, k=(5, 50))
    by_hand = evaluate(items, items.copy(), labels, labels, k=(5, 50), exclude=np.arange(50))
    for name, score in by_hand.scores.items():
        assert np.array_equal(report[name].per_query, score.per_query), name
    assert report.cost.pairs == 50 * 49
    assert "P@50" not in report.scores
    assert "P@50, R@50 and ACG@50 are left out: a query meets 49 items" in report.notes
    assert "50 queries do not meet a row of their own" in report.notes
    assert report.settings["excluded rows"] == 50


def test_windows_beyond_the_database_are_clipped_or_left_out(random_problem):
    report = evaluate(*random_problem(3))
    assert report["mAP@5000"].convention.endswith("relevance=share, clipped from k=5000]")
    assert float(report["mAP@5000"]) == pytest.approx(float(report["mAP@all"]))
    assert "P@1000" not in report.scores
    assert "P@5000, R@5000 are left out: a query meets 200 items" in report.notes


def test_items_without_labels_are_noted(random_problem):
    queries, items, query_labels, labels = random_problem(3)
    report = evaluate(queries, items, query_labels, labels, k=())
    without = [int((x == -1).sum()) for x in (query_labels, labels)]
    assert f"{without[0]} of 12 queries have no label: they are relevant to nothing" in report.notes
    assert f"{without[1]} of 200 database items have no label: they are relevant to nothing" in report.notes


def test_the_table_holds_every_number(random_problem):
    report = evaluate(*random_problem(4, multi=True), k=(5,))
    for text in (str(report), report.to_markdown()):
        for score in report.scores.values():
            line = next(line for line in text.splitlines() if score.convention in line)
            assert f"{float(score):.4f}" in line
            if score.best is not None:
                assert f"{score.best:.4f}" in line
                assert f"{score.worst:.4f}" in line
        for alarm in report.alarms:
            assert str(alarm) in text
        for note in report.notes:
            assert note in text
        assert "12 queries, 200 items, 16 bits; 2,400 pairs" in text


@pytest.mark.parametrize("empty", ["zero", "skip"])
def test_json_holds_everything_and_no_nan(random_problem, tmp_path, empty):
    queries, items, query_labels, labels = random_problem(5, multi=True)
    report = evaluate(queries, items, query_labels, labels, k=(5, 500), empty=empty)
    text = report.to_json(tmp_path / "report.json")
    assert (tmp_path / "report.json").read_text() == text + "\n"
    data = json.loads(text, parse_constant=pytest.fail)
    assert set(data["scores"]) == set(report.scores)
    for name, score in report.scores.items():
        assert data["scores"][name]["value"] == (float(score) if np.isfinite(score) else None)
        assert data["scores"][name]["convention"] == score.convention
    assert data["settings"]["empty"] == empty
    assert len(data["curves"]["radius, macro"]["precision"]) == 17
    assert [alarm["name"] for alarm in data["alarms"]] == [alarm.name for alarm in report.alarms]


def test_pictures_are_saved_with_their_numbers(random_problem, tmp_path):
    paths = evaluate(*random_problem(6, multi=True), k=(5,)).save_plots(tmp_path / "new" / "folder")
    names = ["precision_recall_by_radius", "precision_recall_by_rank", "precision_at", "distances", "bit_balance"]
    assert [path.stem for path in paths] == names
    for path in paths:
        assert path.read_bytes().startswith(b"\x89PNG")
        assert path.with_suffix(".csv").read_text().count("\n") > 3


@pytest.mark.parametrize("multi", [False, True])
def test_tensors_agree_with_arrays(random_problem, multi):
    problem = random_problem(7, multi=multi)
    report = evaluate(*problem, k=(5,))
    tensors = evaluate(*(torch.from_numpy(x) for x in problem), k=(5,))
    for name, score in report.scores.items():
        assert np.array_equal(tensors[name].per_query, score.per_query), name
    assert [alarm.name for alarm in tensors.alarms] == [alarm.name for alarm in report.alarms]
    assert tensors.digest == report.digest


def test_short_codes_in_whole_bytes_raise_no_alarm():
    rng = np.random.default_rng(0)
    bits = rng.random((600, 12)) < 0.5
    labels = rng.integers(0, 3, 600)
    centres = rng.random((3, 12)) < 0.5
    bits = np.where(rng.random((600, 12)) < 0.7, centres[labels], bits)
    codes = np.packbits(bits, axis=1)
    report = evaluate(codes[:100], codes[100:], labels[:100], labels[100:], bits=12, k=(10,))
    names = {alarm.name for alarm in report.alarms}
    assert not names & {"constant bits", "unbalanced bits"}
    assert len(report.database_bits.mean) == 12
    assert len(report.curves["radius, macro"].points) == 13
    unpacked = evaluate(bits[:100], bits[100:], labels[:100], labels[100:], k=(10,))
    assert [float(score) for score in unpacked.scores.values()] == [float(score) for score in report.scores.values()]
    assert names == {alarm.name for alarm in unpacked.alarms}
    with pytest.raises(ValueError, match="evaluate: query_codes: expected zeros in the 4 spare low bits"):
        evaluate(codes[:100] | 1, codes[100:], labels[:100], labels[100:], bits=12)


def test_identical_label_sets_leave_graded_metrics_out(random_problem):
    queries, items, query_labels, labels = random_problem(8, multi=True)
    report = evaluate(queries, items, query_labels, labels, k=(5,), relevance="identical")
    sets = {tuple(row): i for i, row in enumerate(np.unique(np.concatenate([query_labels, labels]), axis=0).tolist())}
    ids = [np.array([sets[tuple(row)] if row.any() else -1 for row in side]) for side in (query_labels, labels)]
    by_ids = evaluate(queries, items, *ids, k=(5,))
    assert set(report.scores) == set(by_ids.scores)
    for name, score in by_ids.scores.items():
        assert np.array_equal(report[name].per_query, score.per_query), name
    assert "relevance=identical" in report["mAP@all"].convention


def test_ids_of_queries_in_the_database_are_an_error(random_problem):
    problem = random_problem(9, queries=12, items=200)
    with pytest.raises(ValueError, match="evaluate: query_ids: expected no id of the database, got 3 of 12"):
        evaluate(*problem, query_ids=np.arange(12), database_ids=np.arange(9, 209))
    names = [f"image {i}" for i in range(212)]
    evaluate(*problem, query_ids=names[:12], database_ids=names[12:])
    evaluate(*problem, query_ids=names[:12], database_ids=names[:200], exclude=np.arange(12))
    with pytest.raises(ValueError, match="evaluate: database_ids: expected 200 ids, one a code, got 3"):
        evaluate(*problem, database_ids=[1, 2, 3])


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"k": (0,)}, ValueError, "k: expected at least 1, got 0"),
        ({"k": (1.5,)}, TypeError, "k: expected a whole number, got float"),
        ({"radius": -1}, ValueError, "radius: expected at least 0"),
        ({"ties": "random"}, ValueError, "ties: expected one of expected, index, best, worst, got 'random'"),
        ({"gain": "square"}, ValueError, "gain: expected one of"),
        ({"empty": "drop"}, ValueError, "empty: expected one of"),
        ({"relevance": "same"}, ValueError, "relevance: expected one of share, identical, got 'same'"),
        ({"bits": 3}, ValueError, "query_codes: expected 1 bytes a code for bits=3, got 2"),
    ],
)
def test_bad_options(random_problem, options, error, message):
    with pytest.raises(error, match=f"^evaluate: {message}"):
        evaluate(*random_problem(0), **options)


def test_no_queries_and_no_items():
    codes, labels = np.zeros((5, 2), np.uint8), np.zeros((5, 3), int)
    for queries, items in ((codes[:0], codes), (codes, codes[:0]), (codes[:0], codes[:0])):
        report = evaluate(queries, items, labels[: len(queries)], labels[: len(items)])
        assert np.isnan(report["mAP@all"]) == (len(queries) == 0)
        assert json.loads(report.to_json())["cost"]["pairs"] == 0
        assert "mAP@all" in str(report)
