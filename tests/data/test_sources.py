import numpy as np
import pytest
import torch

from fasthash.data import ArraySource, Source, Standardisation, StoredViews, as_source

ROWS = torch.tensor([5, 0, 5, 2])


def numbers(*shape, dtype=np.float32):
    drawn = np.random.default_rng(0).integers(0, 256, shape)
    return drawn.astype(dtype)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ">f4", np.uint8])
@pytest.mark.parametrize("shape", [(7,), (7, 3), (7, 2, 4, 5)])
def test_arrays_and_tensors_read_alike(dtype, shape):
    x = numbers(*shape, dtype=dtype)
    expected = torch.from_numpy(x[ROWS.numpy()].astype(np.float32)) / (255 if dtype == np.uint8 else 1)
    forms = [x, x[::-1].copy()[::-1]]
    if dtype != ">f4":
        forms += [torch.from_numpy(x), torch.from_numpy(np.repeat(x, 2, 0))[::2]]
    readonly = x.copy()
    readonly.flags.writeable = False
    for form in (*forms, readonly):
        source = as_source(form)
        assert (len(source), source.shape, source.views) == (7, shape[1:], 1)
        taken = source.take(ROWS)
        assert taken.dtype == torch.float32
        assert torch.allclose(taken, expected, atol=1e-6)
        taken.zero_()
        assert torch.allclose(source.take(ROWS), expected, atol=1e-6)
    assert len({as_source(form).digest() for form in forms if dtype != ">f4"}) <= 1


def test_uint8_is_scaled_as_asked():
    x = numbers(7, 3, dtype=np.uint8)
    source = ArraySource(x, scale=6 / 255, offset=-1)
    assert torch.allclose(source.take(ROWS), torch.from_numpy(x[ROWS.numpy()] * np.float32(6 / 255) - 1), atol=1e-6)
    assert as_source(source) is source


def test_channels_last():
    x = numbers(7, 4, 5, 3, dtype=np.uint8)
    source = ArraySource(x, channels_last=True)
    assert source.shape == (3, 4, 5)
    taken = source.take(ROWS)
    assert taken.is_contiguous()
    assert torch.equal(taken, ArraySource(x.transpose(0, 3, 1, 2)).take(ROWS))


def test_bfloat16():
    x = torch.arange(8, dtype=torch.bfloat16).reshape(4, 2)
    assert ArraySource(x).take(torch.tensor([1])).tolist() == [[2, 3]]
    assert len(ArraySource(x).digest()) == 32


def test_digest_covers_values_and_how_they_are_read():
    x = numbers(7, 3, dtype=np.uint8)
    changed = x.copy()
    changed[6, 2] += 1
    forms = [
        ArraySource(x),
        ArraySource(changed),
        ArraySource(x, scale=1),
        ArraySource(x, offset=1),
        ArraySource(x[:, :2]),
        ArraySource(x.astype(np.float32)),
        ArraySource(x).standardised(),
        ArraySource(x).standardised([0, 1]),
        StoredViews([x, x]),
        StoredViews([x, changed]),
    ]
    assert len({source.digest() for source in forms}) == len(forms)
    assert ArraySource(x).digest() == ArraySource(x.copy()).digest()


def forms_of(x):
    source = ArraySource(x)
    return source, source.standardised([0, 1]), source.select([0, 1]), StoredViews([source, source])


def test_digest_of_a_large_array_reads_some_of_it(monkeypatch):
    monkeypatch.setattr("fasthash.data.sources.arrays.DIGEST_BYTES", 64 * 8)
    x = numbers(10_000, 4, dtype=np.uint8)
    digest = ArraySource(x).digest()
    found = []
    for row in (0, 1, 5000, 9999):
        x[row] ^= 1
        found.append(ArraySource(x).digest() != digest)
        x[row] ^= 1
    assert found[0]
    assert found[3]
    assert digest == ArraySource(x).digest()
    full = [form.digest(full=True) for form in forms_of(x)]
    x[100] ^= 1
    assert ArraySource(x).digest() == digest
    assert all(form.digest(full=True) != before for form, before in zip(forms_of(x), full, strict=True))
    x[100] ^= 1
    assert [form.digest(full=True) for form in forms_of(x)] == full
    assert ArraySource(x[:-1]).digest() != digest


@pytest.mark.parametrize("dtype", [np.float32, np.uint8])
def test_standardised_rows_have_mean_0_and_deviation_1(dtype):
    x = numbers(2500, 3, dtype=dtype)
    x[:, 1] = 4
    rows = np.arange(0, 2500, 2)
    source = as_source(x).standardised(rows)
    chosen = source.take(torch.from_numpy(rows))
    assert torch.allclose(chosen.mean(0), torch.zeros(3), atol=1e-5)
    assert torch.allclose(chosen.std(0, correction=0), torch.tensor([1.0, 0.0, 1.0]), atol=1e-5)
    raw = as_source(x)
    expected = raw.take(torch.from_numpy(rows)).double()
    known = source.standardisation
    assert torch.allclose(known.mean.double(), expected.mean(0))
    assert torch.allclose(known.deviation.double()[[0, 2]], expected.std(0, correction=0)[[0, 2]])
    assert known.deviation[1] == 1
    assert torch.equal(known(raw.take(ROWS)), source.take(ROWS))
    assert raw.standardisation is None


def test_statistics_far_from_zero_keep_their_digits():
    x = 1e6 + torch.randn(3000, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    known = Standardisation.of(ArraySource(x))
    assert torch.allclose(known.deviation.double(), x.float().double().std(0, correction=0), rtol=1e-6)


def test_images_are_standardised_by_channel():
    x = numbers(50, 3, 4, 5)
    source = as_source(x).standardised()
    taken = source.take(torch.arange(50))
    assert source.standardisation.mean.shape == (3, 1, 1)
    assert torch.allclose(taken.mean((0, 2, 3)), torch.zeros(3), atol=1e-5)
    assert torch.allclose(taken.std((0, 2, 3), correction=0), torch.ones(3), atol=1e-5)


def test_statistics_of_all_views_and_in_a_file(tmp_path):
    x, y = numbers(7, 3), numbers(7, 3) * 2 + 1
    views = StoredViews([x, y])
    known = Standardisation.of(views)
    assert torch.allclose(known.mean, torch.from_numpy(np.concatenate([x, y]).mean(0)))
    assert torch.equal(views.standardised().take(ROWS, view=1), known(views.take(ROWS, view=1)))
    known.save(tmp_path / "known.safetensors")
    loaded = Standardisation.load(tmp_path / "known.safetensors")
    assert torch.equal(loaded.mean, known.mean)
    assert torch.equal(loaded.deviation, known.deviation)
    with pytest.raises(ValueError, match=r"Standardisation.of: rows: expected at least one"):
        views.standardised([])


def test_views_by_item():
    views = StoredViews([np.full((7, 2), number, np.float32) for number in range(3)])
    assert views.take(ROWS, view=torch.tensor([2, 0, 1, 2]))[:, 0].tolist() == [2, 0, 1, 2]
    assert views.take(ROWS, view=1)[:, 0].tolist() == [1] * 4
    assert views.take(ROWS)[:, 0].tolist() == [0] * 4


def test_blocks_come_in_order():
    source = as_source(numbers(7, 3))
    assert [len(block) for block in source.blocks(size=3)] == [3, 3, 1]
    assert torch.equal(torch.cat([*source.blocks(size=3)]), source.take(torch.arange(7)))
    assert torch.equal(torch.cat([*source.blocks(ROWS, size=3)]), source.take(ROWS))


def test_selected_rows_are_a_source_and_read_late():
    x = numbers(7, 3)
    source = as_source(x)
    some = source.standardised().select([4, 2, 4])
    assert (len(some), some.shape, some.views) == (3, (3,), 1)
    assert torch.equal(some.take(torch.tensor([1])), source.standardised().take(torch.tensor([2])))
    x[:] = 1
    assert torch.equal(torch.cat([*source.select(np.array([6])).blocks()]), torch.ones(1, 3))
    assert len({source.digest(), source.select([4, 2]).digest(), source.select([2, 4]).digest()}) == 3
    with pytest.raises(ValueError, match=r"Source.select: rows: expected \(n,\) from 0 to 6"):
        source.select([7])


class Squares(Source):
    """A source of one's own needs three things."""

    shape = (1,)

    def __len__(self):
        return 100

    def take(self, index, *, view=0, seeds=None):
        return index[:, None].float() ** 2

    def digest(self, *, full=False):
        return "squares"


def test_a_source_of_ones_own():
    source = Squares()
    assert source.take(ROWS)[:, 0].tolist() == [25, 0, 25, 4]
    assert abs(float(torch.cat([*source.standardised().blocks()]).mean())) < 1e-5


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: ArraySource([[1.0]]), TypeError, "x: expected a tensor or an array, got list"),
        (lambda: ArraySource(np.zeros(3, np.int16)), TypeError, "x: expected floating or uint8 values, got int16"),
        (lambda: ArraySource(torch.zeros(3, dtype=torch.bool)), TypeError, "x: .* got bool"),
        (lambda: ArraySource(np.zeros(())), ValueError, r"x: expected shape \(items, \.\.\.\), got \(\)"),
        (
            lambda: ArraySource(np.zeros((3, 4)), channels_last=True),
            ValueError,
            r"x: expected shape \(items, height, width, channels\), got \(3, 4\)",
        ),
        (lambda: StoredViews([]), ValueError, "StoredViews: sources: expected at least one"),
        (
            lambda: StoredViews([np.zeros((3, 4)), np.zeros((3, 5))]),
            ValueError,
            r"sources: expected equal lengths and shapes, got \[\(3, 4\), \(3, 5\)\]",
        ),
        (
            lambda: StoredViews([StoredViews([np.zeros((3, 4))] * 2)]),
            ValueError,
            "sources: expected one view in each, got several",
        ),
    ],
)
def test_errors(make, error, message):
    with pytest.raises(error, match=message):
        make()
