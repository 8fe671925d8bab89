import numpy as np
import pytest
from split_labels import PROTOCOLS

from fasthash.data import read_split

CLASSES = 38


def hot(numbers, classes=CLASSES):
    return " ".join("1" if number in numbers else "0" for number in range(classes))


def image(number):
    return f"mirflickr/im{number}.jpg"


def write(path, lines):
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


@pytest.fixture
def lists(tmp_path):
    """The lists of mir38-b in the form of HashNet: names and multi-hot labels; every 100th image has none."""

    def lines(numbers):
        return [f"{image(i)} {hot({i % CLASSES, (i // 7) % CLASSES} if i % 100 else {})}" for i in numbers]

    return {
        "queries": write(tmp_path / "test.txt", lines(range(1_700))),
        "database": write(tmp_path / "database.txt", lines(range(24_999, 1_699, -1))),
    }


def change(path, line, text):
    lines = path.read_text().splitlines()
    lines[line] = text
    write(path, lines)


def test_rows_names_and_labels_belong_together(lists):
    split, names, labels = read_split("mir38-b", lists)
    assert list(names) == sorted(image(i) for i in range(25_000))
    assert {names[row] for row in split.queries} == {image(i) for i in range(1_700)}
    assert np.array_equal(split.labelled, split.database)
    assert (labels.dtype, labels.shape) == (np.uint8, (25_000, CLASSES))
    for row in (0, 1, 12_345, 24_999):
        number = int(names[row][len("mirflickr/im") : -len(".jpg")])
        expected = {number % CLASSES, (number // 7) % CLASSES} if number % 100 else set()
        assert set(np.flatnonzero(labels[row])) == expected
    assert (split.seed, split.in_database()["labelled"]) == (None, 23_300)


def test_the_digest_follows_neither_the_order_of_lines_nor_the_folder(lists, tmp_path):
    before = read_split("mir38-b", lists).split.digest
    for path in lists.values():
        write(path, [f"/home/me/{line}\r" for line in reversed(path.read_text().splitlines())])
    assert read_split("mir38-b", lists).split.digest == before
    moved = lists["queries"].read_text().splitlines()[0], lists["database"].read_text().splitlines()[0]
    change(lists["queries"], 0, moved[1])
    change(lists["database"], 0, moved[0])
    assert read_split("mir38-b", lists).split.digest != before


def test_names_and_labels_in_two_files(lists, tmp_path):
    expected = read_split("mir38-b", lists)
    pairs = {}
    for part, path in lists.items():
        lines = [line.split(maxsplit=1) for line in path.read_text().splitlines()]
        names = write(tmp_path / f"{part}_img.txt", [name for name, _ in lines])
        pairs[part] = (names, write(tmp_path / f"{part}_label.txt", [f"{labels} " for _, labels in lines]))
    found = read_split("mir38-b", pairs)
    assert found.split.digest == expected.split.digest
    assert found.names == expected.names
    assert np.array_equal(found.labels, expected.labels)
    bare = read_split("mir38-b", {part: names for part, (names, _) in pairs.items()})
    assert bare.split.digest == expected.split.digest
    assert bare.labels is None


@pytest.mark.parametrize("form", ["id", "one-hot"])
def test_class_ids_and_one_hot_rows(form, tmp_path):
    """imagenet100: 13,000 labelled images inside the database; the two lists agree on their labels."""

    def lines(numbers):
        return [f"n{i} {i % 100 if form == 'id' else hot({i % 100}, 100)}" for i in numbers]

    files = {
        "queries": write(tmp_path / "test.txt", lines(range(5_000))),
        "database": write(tmp_path / "database.txt", lines(range(5_000, 133_503))),
        "labelled": write(tmp_path / "train.txt", lines(range(6_000, 19_000))),
    }
    split, names, labels = read_split("imagenet100", files)
    assert labels.dtype == np.int64
    assert labels.tolist() == [int(name[1:]) % 100 for name in names]
    assert split.in_database() == {"labelled": 13_000, "unlabelled": 0}

    held = read_split("imagenet100", files, validation=1_000, seed=7).split
    assert held.counts() == {
        "queries": 5_000, "validation": 1_000, "database": 127_503, "labelled": 12_000, "unlabelled": 0,
    }  # fmt: skip
    assert np.bincount(labels[held.validation]).tolist() == [10] * 100
    assert np.isin(held.validation, split.labelled).all()
    assert held.seed == 7


def test_what_is_left_out_follows_from_the_rest(tmp_path):
    files = {
        "queries": write(tmp_path / "q", (f"{i}.png" for i in range(1_000))),
        "labelled": write(tmp_path / "l", (f"{i}.png" for i in range(1_000, 6_000))),
        "database": write(tmp_path / "d", (f"{i}.png" for i in range(6_000, 60_000))),
    }
    split = read_split("cifar10-semi", files).split
    assert np.array_equal(split.unlabelled, split.database)
    files["database"] = write(tmp_path / "d", (f"{i}.png" for i in range(1_000, 60_000)))
    split = read_split("cifar10-semi-59k", files).split
    assert np.array_equal(split.unlabelled, np.setdiff1d(split.database, split.labelled))
    with pytest.raises(ValueError, match="files: expected lists of database, labelled, queries for cifar10-59k, got d"):
        read_split("cifar10-59k", {"database": files["database"], "queries": files["queries"]})


def test_queries_may_be_their_own_database_where_the_protocol_says_so(tmp_path):
    test, train = (write(tmp_path / str(n), (f"{n}-{i} {i % 10}" for i in range(n))) for n in (693, 2_173))
    split = read_split("wikipedia-693", {"queries": test, "database": test, "labelled": train}).split
    assert split.same_items
    with pytest.raises(ValueError, match="Split: queries and database: expected no item in both, got 693"):
        read_split("wikipedia", {"queries": test, "database": test, "labelled": train})


def test_the_two_files_of_ssdh(tmp_path):
    train = [f"{image(i)} {i % 10}" for i in range(1_000, 6_000) for _ in range(4)]
    train += [f"{image(i)} 0" for i in range(6_000, 25_000)]
    files = {
        "test": write(tmp_path / "test", [f"{image(i)} 0" for i in [*range(1_000), *range(6_000, 25_000)]]),
        "train": write(tmp_path / "train", np.random.default_rng(0).permutation(train)),
    }
    split, names, labels = read_split("mir38-semi", files)
    assert labels is None
    numbers = np.array([int(name[len("mirflickr/im") : -len(".jpg")]) for name in names])
    assert sorted(numbers[split.queries]) == list(range(1_000))
    assert sorted(numbers[split.labelled]) == list(range(1_000, 6_000))
    assert sorted(numbers[split.database]) == list(range(6_000, 25_000))
    assert np.array_equal(split.unlabelled, split.database)


def test_counts_that_no_source_gives_are_taken_from_the_lists(tmp_path):
    assert PROTOCOLS["nus81-m"].database is None
    files = {
        "queries": write(tmp_path / "q", range(5_000)),
        "database": write(tmp_path / "d", range(5_000, 30_000)),
        "labelled": write(tmp_path / "l", range(10_000, 20_000)),
    }
    assert read_split("nus81-m", files).split.counts()["database"] == 25_000
    write(files["labelled"], range(10_001, 20_000))
    with pytest.raises(ValueError, match="Split: labelled: expected 10000 items in nus81-m"):
        read_split("nus81-m", files)


def test_a_list_of_labelled_items_may_not_leak_or_name_items_its_own_way(lists, tmp_path):
    path = write(tmp_path / "train.txt", (f"other/{image(i)}" for i in range(1_700, 25_000)))
    with pytest.raises(ValueError, match="files: expected 25000 different names in the lists of mir38-b, got 48300"):
        read_split("mir38-b", {**lists, "labelled": path})
    write(path, (image(i) for i in range(23_300)))
    with pytest.raises(ValueError, match="Split: queries and labelled: expected no item in both, got 1700"):
        read_split("mir38-b", {**lists, "labelled": path})


@pytest.mark.parametrize(
    ("line", "text", "message"),
    [
        (5, image(6) + " " + hot({}), "queries: expected each item once, got 'mirflickr/im6.jpg' 2 times"),
        (5, image(5), "queries: expected labels on every line or on none, got 1699 of them"),
        (5, f"{image(5)} {hot({}, 37)}", "queries: expected 38 values 0 or 1 for each item, got 37: '0 0 "),
        (5, f"{image(5)} {hot({}, 36)} 10", "queries: expected 38 values 0 or 1 for each item, got 37: '0 0 "),
        (5, f"{image(5)} {hot({}, 37)} 2", "queries: expected 38 values 0 or 1 for each item, got 38: '0 0 "),
        (5, "", "files: expected 25000 different names in the lists of mir38-b, got 24999"),
    ],
)  # fmt: skip
def test_lines_are_checked(lists, line, text, message):
    change(lists["queries"], line, text)
    with pytest.raises(ValueError, match=message):
        read_split("mir38-b", lists)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (["10"], "queries: expected a class id below 10, or 10 values 0 or 1 for each item, got 1: '10'"),
        (["-1"], "got 1: '-1'"),
        (["1.0"], "got 1: '1.0'"),
        (["1", "1 0"], "got 2: '1 0'"),
        ([hot({1, 2}, 10)], "got 10: '0 1 1 0 0 0 0 0 0 0'"),
        ([hot({}, 10)], "got 10: '0 0 0 0 0 0 0 0 0 0'"),
    ],
)
def test_one_class_an_item_where_the_data_set_has_one(tmp_path, labels, message):
    path = write(tmp_path / "q", (f"{i}.png {labels[min(i, len(labels) - 1)]}" for i in range(10)))
    with pytest.raises(ValueError, match=f"read_split: .*{message}"):
        read_split("cifar10-59k-full", {"queries": path, "database": path})


def test_lists_must_agree_on_labels(tmp_path):
    files = {
        "queries": write(tmp_path / "q", (f"{i} {i % 10}" for i in range(1_000))),
        "database": write(tmp_path / "d", (f"{i} {i % 10}" for i in range(1_000, 60_000))),
        "labelled": write(tmp_path / "l", (f"{i} {i % 10}" for i in range(2_000, 7_000))),
    }
    assert read_split("cifar10-59k", files).labels is not None
    change(files["labelled"], 7, "2007 3")
    with pytest.raises(ValueError, match="labelled: expected the labels of the other lists, got others for '2007'"):
        read_split("cifar10-59k", files)
    write(files["queries"], range(1_000))
    write(files["labelled"], range(2_000, 7_000))
    with pytest.raises(ValueError, match="files: expected labels for all 60000 items or none, got 59000"):
        read_split("cifar10-59k", files)


def test_files_are_checked(lists, tmp_path):
    np.save(tmp_path / "rows.npy", np.arange(1_700))
    short = write(tmp_path / "short", [hot({})] * 9)
    cases = [
        ({}, ValueError, "files: expected lists of database, queries for mir38-b, got none"),
        ({**lists, "train": short}, ValueError, "got database, queries, train"),
        ({**lists, "unlabelled": short}, ValueError, "got database, queries, unlabelled"),
        ({**lists, "queries": tmp_path / "rows.npy"}, ValueError, r"queries: expected a text file, got .*rows\.npy"),
        ({**lists, "queries": [1, 2]}, TypeError, r"queries: expected a path, or \(names, labels\) with two, got list"),
        (
            {**lists, "queries": (lists["queries"], short)},
            ValueError,
            "queries: expected as many labels as names, got 9 and 17",
        ),
        ([lists["queries"]], TypeError, "files: expected a mapping from parts to paths, got list"),
    ]
    for files, error, message in cases:
        with pytest.raises(error, match=f"^read_split: {message}" if message[:3] != "got" else message):
            read_split("mir38-b", files)
    with pytest.raises(FileNotFoundError, match="absent"):
        read_split("mir38-b", {**lists, "queries": tmp_path / "absent.txt"})
    with pytest.raises(ValueError, match=r"read_split: protocol: expected one of .*; got 'mirflickr'"):
        read_split("mirflickr", lists)
    with pytest.raises(ValueError, match="read_split: validation: expected an integer >= 0, got -5"):
        read_split("mir38-b", lists, validation=-5)
