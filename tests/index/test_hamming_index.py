"""The index beside a plain model of it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from index_model import NO_DISTANCE, Model, assert_same

import fasthash
from fasthash import HammingIndex


def small_codes(rng, count, bits):
    return fasthash.pack(rng.standard_normal((count, bits)))


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.integers(0, 40)),
        st.tuples(st.just("add scattered"), st.integers(1, 40)),
        st.tuples(st.just("add rising"), st.integers(1, 40)),
        st.tuples(st.just("remove"), st.floats(0, 1)),
        st.tuples(st.just("remove oldest"), st.floats(0, 1)),
        st.tuples(st.just("copy"), st.none()),
    ),
    max_size=12,
)


@settings(max_examples=60)
@given(bits=st.sampled_from([3, 8, 12, 64, 100]), steps=STEPS, seed=st.integers(0, 99))
def test_any_history_answers_as_the_model(bits, steps, seed) -> None:
    rng = np.random.default_rng(seed)
    when = "always" if seed % 2 and bits <= 64 else "auto"
    index, model = HammingIndex(bits, multi_index=when), Model((bits + 7) // 8)
    for step, amount in steps:
        if step == "copy":
            other, index = index, index.copy()
            other.add(small_codes(rng, 3, bits))  # must not show in the copy
        elif step.startswith("remove"):
            count = int(amount * len(model.ids))
            ids = model.ids[:count] if step == "remove oldest" else rng.permutation(model.ids)[:count].tolist()
            index.remove(ids)
            model.remove(ids)
        else:
            ids = None
            if step == "add rising":
                ids = np.cumsum(rng.integers(1, 3, amount)) + model.next_id
            elif step == "add scattered":
                free = np.setdiff1d(np.arange(2 * model.next_id + 2 * amount), model.ids)
                ids = rng.permutation(free)[:amount]
            codes = small_codes(rng, amount, bits)
            index.add(codes, ids)
            model.add(codes, ids)
    assert_same(index, model, small_codes(rng, 4, bits), radius=bits // 3)
    for id in model.ids[:3]:
        assert id in index
    assert model.next_id not in index


@pytest.mark.parametrize("blocks", [1, 3, 300])
def test_blocks_of_any_size_add_up(codes, blocks) -> None:
    index, model = HammingIndex(12), Model(2)
    for block in np.array_split(codes, blocks):
        index.add(block)
    model.add(codes)
    assert_same(index, model, codes[:6])


def test_the_same_as_the_op_at_every_level(cpu_level, codes) -> None:
    index = HammingIndex(12)
    index.add(codes)
    for got, expected in zip(index.search(codes, 20), fasthash.hamming_topk(codes, codes, 20), strict=True):
        np.testing.assert_array_equal(got, expected)
    for got, expected in zip(index.range_search(codes, 4), fasthash.hamming_range(codes, codes, 4), strict=True):
        np.testing.assert_array_equal(got, expected)


def test_a_few_allowed_ids_among_many(rng) -> None:
    """They are searched in a table of their own; the order is the same."""
    codes = small_codes(rng, 2000, 8)
    ids = rng.permutation(2000)
    index, model = HammingIndex(8), Model(1)
    index.add(codes, ids)
    model.add(codes, ids)
    few = rng.permutation(ids)[:50]
    got = index.search(codes[:5], 60, filter=few), index.range_search(codes[:5], 4, filter=few)
    expected = model.search(codes[:5], 60, set(few.tolist())), model.range_search(codes[:5], 4, set(few.tolist()))
    for a, b in zip(got, expected, strict=True):
        for x, y in zip(a, b, strict=True):
            np.testing.assert_array_equal(x, y)


def test_an_empty_index_has_places_without_a_code() -> None:
    index = HammingIndex(16)
    queries = np.zeros((2, 2), dtype=np.uint8)
    distances, ids = index.search(queries, 3)
    assert (distances == NO_DISTANCE).all()
    assert (ids == -1).all()
    assert [len(x) for x in index.range_search(queries, 16)] == [3, 0, 0]
    assert index.ids.shape == (0,)
    assert index.codes.shape == (0, 2)
    assert list(index.blocks()) == []
    assert index.reconstruct([]).shape == (0, 2)
    index.remove([])
    index.add(queries[:0])
    assert index.search(queries[:0], 3)[1].shape == (0, 3)
    scores, ids = index.search_rescored(np.ones((1, 16), dtype=np.float32), 2)
    assert scores.tolist() == [[-np.inf, -np.inf]]
    assert ids.tolist() == [[-1, -1]]


def test_numbers_are_never_given_twice(codes) -> None:
    index = HammingIndex(12)
    index.add(codes[:3])
    index.remove([2])
    index.add(codes[:1])
    assert index.ids.tolist() == [0, 1, 3]
    index.add(codes[:1], ids=[10])
    index.remove([10])
    index.add(codes[:1])
    assert index.ids.tolist() == [0, 1, 3, 11]
    index.remove(index.ids)
    assert len(index) == 0
    index.add(codes[:2])
    assert index.ids.tolist() == [12, 13]


def test_the_largest_id_is_the_last_number(codes) -> None:
    index = HammingIndex(12)
    index.add(codes[:1], ids=[2**63 - 1])
    assert index.search(codes[:1], 1)[1].tolist() == [[2**63 - 1]]
    with pytest.raises(ValueError, match="running numbers up to 9223372036854775807"):
        index.add(codes[:1])
    index.add(codes[:1], ids=[5])
    assert index.ids.tolist() == [2**63 - 1, 5]


def test_what_raises_changes_nothing(filled, codes) -> None:
    before = filled.ids.copy()
    for ids in ([5000, 5001, 5000], [5000, int(before[7]), 5001]):
        with pytest.raises(ValueError, match=r"HammingIndex\.add: ids: expected ids that are all new, but id "):
            filled.add(codes[:3], ids)
    with pytest.raises(ValueError, match="remove: ids: expected ids of the index, got 1"):
        filled.remove([int(before[0]), 1])
    np.testing.assert_array_equal(filled.ids, before)
    np.testing.assert_array_equal(filled.codes, codes)
    filled.add(codes[:1], [5000])
    assert filled.ids[-1] == 5000


def test_ids_that_rise_or_run_on_need_no_sorted_runs(codes) -> None:
    index = HammingIndex(12)
    index.add(codes[:10], ids=range(100, 110))
    index.add(codes[:10])
    assert index._snapshot.ids.rows is None, "consecutive numbers are not stored"
    index.add(codes[:10], ids=np.arange(200, 220, 2))
    assert index._snapshot.ids.rises
    assert index.ids.tolist() == [*range(100, 120), *range(200, 220, 2)]
    np.testing.assert_array_equal(index.reconstruct([218, 100, 204]), codes[[9, 0, 2]])


def test_ids_are_the_indexs_own(codes) -> None:
    """The caller's array may change afterwards."""
    for ids in (np.array([4, 2, 9]), np.array([2, 4, 9])):
        index = HammingIndex(12)
        index.add(codes[:3], ids)
        expected = ids.tolist()
        index.add(codes[3:4], [3])
        ids[:] = 7
        assert index.ids.tolist() == [*expected, 3]
        assert [id in index for id in (2, 3, 4, 7, 9)] == [True, True, True, False, True]


def test_views_are_read_only(filled) -> None:
    for array in (filled.ids, filled.codes):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0


def test_tensors_in_tensors_out(codes) -> None:
    index = HammingIndex(12)
    index.add(torch.from_numpy(codes), torch.arange(300) * 2)
    queries = torch.from_numpy(codes[:4])
    expected = index.search(codes[:4], 3, filter=np.arange(300) > 7)
    for filter in (
        torch.arange(300) > 7,
        torch.arange(8, 300) * 2,
        list(range(16, 600, 2)),
        [False] * 8 + [True] * 292,
    ):
        got = index.search(queries, 3, filter=filter)
        assert all(isinstance(x, torch.Tensor) for x in got)
        for a, b in zip(got, expected, strict=True):
            np.testing.assert_array_equal(a.numpy(), b)
    assert isinstance(index.reconstruct(torch.tensor([4])), torch.Tensor)
    assert isinstance(index.reconstruct([4]), np.ndarray)


def test_ids_of_any_integer_dtype(codes) -> None:
    for dtype in (np.uint8, np.int16, np.uint32, np.uint64, np.int64):
        index = HammingIndex(12)
        index.add(codes[:3], np.array([9, 1, 5], dtype=dtype))
        assert index.ids.tolist() == [9, 1, 5]
        assert index.search(codes[:1], 3, filter=np.array([1], dtype=dtype))[1].tolist() == [[1, -1, -1]]


def test_blocks_show_the_index_as_it_was(filled, codes) -> None:
    expected = filled.ids.copy()
    found = []
    for block in filled.blocks(64):
        found.append(block)
        filled.add(codes[:1])
    assert [len(block.ids) for block in found] == [64, 64, 64, 64, 44]
    np.testing.assert_array_equal(np.concatenate([block.ids for block in found]), expected)
    np.testing.assert_array_equal(np.concatenate([block.codes for block in found]), codes)
    assert len(filled) == 305


def test_merging_is_adding(codes) -> None:
    one, two, model = HammingIndex(12), HammingIndex(12), Model(2)
    one.add(codes[:100])
    two.add(codes[100:200])
    two.remove([3])
    one.merge_from(two, offset=100)
    model.add(codes[:200])
    model.remove([103])
    assert_same(one, model, codes[:3])
    assert len(two) == 99
    with pytest.raises(ValueError, match="merge_from: ids: expected ids that are all new, but id 0 is there already"):
        one.merge_from(one)
    one.merge_from(one, offset=1000)
    model.add(model.codes, [id + 1000 for id in model.ids])
    assert_same(one, model, codes[:3])
    one.merge_from(HammingIndex(12))
    largest = HammingIndex(12)
    largest.add(codes[:1], ids=[2**63 - 1])
    with pytest.raises(ValueError, match=r"merge_from: offset: expected ids up to 9223372036854775807, got \d+ \+ 1"):
        one.merge_from(largest, offset=1)


def test_to_and_device(filled) -> None:
    assert filled.to("cpu") is filled
    assert filled.device == torch.device("cpu")
    assert repr(filled) == "HammingIndex(12 bits, 300 codes, cpu)"
    assert repr(HammingIndex(8, documents="int8")) == "HammingIndex(8 bits, 0 codes, cpu, int8 documents)"
