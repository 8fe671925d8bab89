import dataclasses
import json

import numpy as np
import pytest

from fasthash.data import Split, load_digits, make_split


@pytest.fixture(scope="module")
def split():
    return make_split("digits-semi", load_digits()[1], seed=3)


def tiny(**changes):
    parts = {"queries": [4, 0], "validation": [5], "database": [1, 2, 3], "labelled": [2, 6], "unlabelled": []}
    return Split("mine", None, **{**parts, **changes})


def test_rows_are_ascending_int64_whatever_comes():
    split = tiny(labelled=np.array([6, 2], np.uint8), database=range(3, 0, -1))
    for part, rows in (("queries", [0, 4]), ("database", [1, 2, 3]), ("labelled", [2, 6]), ("unlabelled", [])):
        found = getattr(split, part)
        assert found.dtype == np.int64
        assert found.tolist() == rows


def test_training_items_in_the_database_are_reported():
    split = tiny(unlabelled=[1, 3])
    assert split.in_database() == {"labelled": 1, "unlabelled": 2}
    assert "labelled    2  1 of them in the database" in str(split)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("queries", "database"),
        ("queries", "labelled"),
        ("queries", "unlabelled"),
        ("queries", "validation"),
        ("validation", "database"),
        ("validation", "labelled"),
        ("validation", "unlabelled"),
        ("labelled", "unlabelled"),
    ],
)
def test_overlap_is_refused(split, one, other):
    shared = getattr(split, other)[:2]
    leaking = np.append(getattr(split, one), shared)
    with pytest.raises(ValueError, match=rf"Split: \w+ and \w+: expected no item in both, got 2, .* {shared[0]}"):
        dataclasses.replace(split, protocol="mine", **{one: leaking})


def test_validation_items_are_not_searched():
    with pytest.raises(ValueError, match="Split: validation and database: expected no item in both, got 1"):
        tiny(validation=[1])


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"database": [1, 2, 2, 2]}, ValueError, "database: expected each item once, got 2 repeats, the first of 2"),
        ({"labelled": [0.5]}, TypeError, "labelled: expected integer rows, got float64"),
        ({"labelled": [True]}, TypeError, "labelled: expected integer rows, got bool"),
        ({"labelled": [[2]]}, ValueError, r"labelled: expected shape \(items,\), got \(1, 1\)"),
        ({"labelled": [-1]}, ValueError, "labelled: expected rows >= 0, got -1"),
        ({"same_items": True}, ValueError, "same_items: expected queries and database to be the same rows"),
    ],
)
def test_rows_are_checked(changes, error, message):
    with pytest.raises(error, match=f"Split: {message}"):
        tiny(**changes)


def test_same_items_search_themselves():
    split = tiny(database=[0, 4], same_items=True)
    assert split.database.tolist() == split.queries.tolist()
    with pytest.raises(ValueError, match="queries and labelled"):
        tiny(database=[0, 4], labelled=[0], same_items=True)


@pytest.mark.parametrize("part", ["queries", "database", "labelled", "unlabelled", "validation"])
def test_a_protocols_name_stands_for_its_counts(split, part):
    fewer = {part: getattr(split, part)[1:]}
    with pytest.raises(ValueError, match=r"Split: \w+: expected \d+ items in digits-semi"):
        dataclasses.replace(split, **fewer)
    assert dataclasses.replace(split, protocol="mine", **fewer).counts()[part] == split.counts()[part] - 1


def test_a_protocols_name_stands_for_its_rows_and_sides(split):
    outside = np.append(split.database[~np.isin(split.database, split.labelled)], np.arange(1_797, 1_897))
    with pytest.raises(ValueError, match="database: expected all but queries in digits-semi, got 0 of 100 labelled"):
        dataclasses.replace(split, database=outside)
    cifar = {"queries": range(1_000), "validation": [], "labelled": range(1_000, 6_000), "unlabelled": []}
    Split("cifar10-54k", None, database=range(6_000, 60_000), **cifar)
    with pytest.raises(ValueError, match="expected all but queries and labelled in cifar10-54k, got 4504 of 5000"):
        Split("cifar10-54k", None, database=range(1_496, 55_496), **cifar)
    moved = split.queries.copy()
    moved[0] = 1_797
    with pytest.raises(ValueError, match="Split: rows: expected rows below 1797 in digits-semi, got 1797"):
        dataclasses.replace(split, queries=moved)
    with pytest.raises(ValueError, match="Split: same_items: expected True in wikipedia-693, got False"):
        Split("wikipedia-693", None, range(693), [], range(693, 1_386), range(693, 2_866), [])


def test_the_digest_is_of_the_rows_alone(split):
    assert dataclasses.replace(split, protocol="mine", seed=9).digest == split.digest
    assert tiny().digest == tiny(queries=[0, 4]).digest
    changed = [tiny(queries=[0]), tiny(queries=[0, 7]), tiny(labelled=[6], unlabelled=[2]), tiny(validation=[])]
    assert len({tiny().digest, *(other.digest for other in changed)}) == 5


def test_saves_and_loads(split, tmp_path):
    for original in (split, tiny(), tiny(database=[0, 4], same_items=True)):
        original.save(tmp_path / "split.npz")
        loaded = Split.load(tmp_path / "split.npz")
        assert loaded.provenance() == original.provenance()
        assert str(loaded) == str(original)
        for part in original.counts():
            assert np.array_equal(getattr(loaded, part), getattr(original, part))
    assert json.loads(json.dumps(split.provenance()))["counts"] == split.counts()


def test_a_changed_file_is_refused(split, tmp_path):
    path = tmp_path / "split.npz"
    split.save(path)
    with np.load(path) as file:
        held = dict(file)
    held["queries"], held["validation"] = (
        np.append(held["queries"][1:], held["validation"][0]),
        np.append(held["validation"][1:], held["queries"][0]),
    )
    np.savez(path, **held)
    with pytest.raises(ValueError, match=f"load: path: expected the rows of split {split.digest}, got those of"):
        Split.load(path)
    np.savez(path, queries=held["queries"])
    np.save(tmp_path / "rows.npy", held["queries"])
    for other in (path, tmp_path / "rows.npy"):
        with pytest.raises(ValueError, match=r"load: path: expected a file that Split\.save wrote, got .*\.np"):
            Split.load(other)
    with pytest.raises(ValueError, match=r"save: path: expected a name that ends in \.npz, got .*split\.json"):
        split.save(tmp_path / "split.json")
