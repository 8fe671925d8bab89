import pytest
import torch

from fasthash.data import (
    Perturbation,
    add_noise,
    drop_features,
    random_crop,
    random_erase,
    random_flip,
    random_shift,
    random_warp,
    random_zoom,
)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def images():
    return torch.rand(64, 2, 5, 7, generator=generator(9)) + 0.1


def test_crops_are_windows_at_all_places(images):
    crops = random_crop(images, (3, 4), generator())
    places = set()
    for image, crop in zip(images, crops, strict=True):
        windows = {(i, j): image[:, i : i + 3, j : j + 4] for i in range(3) for j in range(4)}
        found = [place for place, window in windows.items() if torch.equal(window, crop)]
        assert len(found) == 1
        places.update(found)
    assert len(places) == 12


def test_shift_moves_and_fills_with_zeros(images):
    moved = random_shift(images, 1, generator())
    places = set()
    for image, shifted in zip(images, moved, strict=True):
        padded = torch.nn.functional.pad(image, [1] * 4)
        windows = {(i, j): padded[:, i : i + 5, j : j + 7] for i in range(3) for j in range(3)}
        places.update(place for place, window in windows.items() if torch.equal(window, shifted))
    assert len(places) == 9
    assert torch.equal(random_shift(images, 0, generator()), images)


def test_flip_mirrors_about_half(images):
    flipped = random_flip(images, generator())
    mirrored = [torch.equal(a, b.flip(-1)) for a, b in zip(flipped, images, strict=True)]
    same = [torch.equal(a, b) for a, b in zip(flipped, images, strict=True)]
    assert all(m != s for m, s in zip(mirrored, same, strict=True))
    assert 16 < sum(mirrored) < 48


def test_erase_clears_one_square_in_all_channels(images):
    erased = random_erase(images, 3, generator()) == 0
    assert torch.equal(erased[:, 0], erased[:, 1])
    for mask in erased[:, 0]:
        rows, columns = mask.any(1).nonzero().flatten(), mask.any(0).nonzero().flatten()
        assert 2 <= len(rows) <= 3
        assert 2 <= len(columns) <= 3
        assert mask.sum() == len(rows) * len(columns)
        assert rows[-1] - rows[0] == len(rows) - 1
    assert torch.equal(random_erase(images, 0, generator()), images)


def test_dropout_keeps_the_mean_and_noise_has_its_deviation():
    x = torch.ones(200, 500)
    dropped = drop_features(x, 0.25, generator())
    assert dropped.unique().tolist() == pytest.approx([0, 4 / 3])
    assert dropped.mean() == pytest.approx(1, abs=0.01)
    noise = add_noise(x, 0.3, generator()) - x
    assert noise.std() == pytest.approx(0.3, abs=0.01)


def test_views_differ_by_generator_only_and_leave_their_input(images):
    view = Perturbation(crop=0.8, shift=1, flip=True, warp=0.1, erase=2, dropout=0.1, noise=0.1)
    before = images.clone()
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    a, b, c = view(images, generator(1)), view(images, generator(1)), view(images, generator(2))
    assert torch.equal(a, b)
    assert not torch.equal(a, c)
    assert a.shape == images.shape
    assert torch.equal(images, before)
    assert torch.equal(torch.rand(3), expected)
    assert Perturbation()(images, generator()) is images


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: random_crop(torch.zeros(2, 3), (1, 1), generator()),
            r"random_crop: x must have shape .* got \(2, 3\)",
        ),
        (lambda: random_crop(torch.zeros(2, 1, 4, 4), (5, 4), generator()), r"random_crop: size .* got \(5, 4\)"),
        (lambda: random_shift(torch.zeros(2, 1, 4, 4), -1, generator()), "random_shift: pixels must be >= 0, got -1"),
        (lambda: random_erase(torch.zeros(2, 1, 4, 4), -1, generator()), "random_erase: size must be >= 0, got -1"),
        (lambda: random_warp(torch.zeros(2, 1, 4, 4), -1, generator()), "random_warp: strength must be >= 0, got -1"),
        (lambda: random_zoom(torch.zeros(2, 1, 4, 4), 0, generator()), r"random_zoom: smallest .* \(0, 1\], got 0"),
        (lambda: drop_features(torch.zeros(2, 3), 1.0, generator()), "drop_features: probability .* got 1.0"),
        (lambda: add_noise(torch.zeros(2, 3), -0.1, generator()), "add_noise: deviation must be >= 0, got -0.1"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_empty_batch():
    view = Perturbation(crop=0.8, shift=1, flip=True, warp=0.1, erase=2, dropout=0.1, noise=0.1)
    assert view(torch.zeros(0, 1, 8, 8), generator()).shape == (0, 1, 8, 8)


def test_warp_moves_a_spot_by_about_its_strength():
    spot = torch.zeros(500, 1, 21, 21)
    spot[:, :, 10, 10] = 1
    warped = random_warp(spot, 0.1, generator())[:, 0]
    rows = (warped.sum(2) * torch.arange(21)).sum(1) / warped.sum((1, 2))
    # Half the image, 10.5 pixels, is one unit; the middle feels only the move.
    assert rows.std() == pytest.approx(1.05, rel=0.15)
    assert torch.allclose(random_warp(spot, 0.0, generator()), spot, atol=1e-5)


def test_zoom_shows_windows_of_the_image():
    # A slope in both directions: a window is a slope as well, whose ends say where it lies.
    slope = torch.stack(torch.meshgrid(torch.linspace(-1, 1, 33), torch.linspace(-1, 1, 33), indexing="ij"))
    x = slope.expand(400, 2, 33, 33)
    zoomed = random_zoom(x, 0.4, generator())
    sides = []
    for axis in range(2):
        line = zoomed[:, axis].movedim(axis + 1, 1)[:, :, 16]
        low, high = line[:, 0], line[:, -1]
        sides.append((high - low) / 2)
        assert 0.38 < sides[-1].min() < 0.5
        assert 0.9 < sides[-1].max() <= 1.001
        assert low.min() >= -1
        assert high.max() <= 1
        assert ((low + high) / 2).std() > 0.1
    assert torch.allclose(*sides, atol=0.05)
    assert torch.allclose(random_zoom(x[:2], 1.0, generator()), x[:2], atol=1e-5)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"shift": -1}, ValueError, "shift must be >= 0 and finite, got -1"),
        ({"shift": 1.5}, TypeError, "shift must be a whole number, got 1.5"),
        ({"shift": True}, TypeError, "shift must be a whole number, got True"),
        ({"erase": -2}, ValueError, "erase must be >= 0 and finite, got -2"),
        ({"warp": -0.1}, ValueError, "warp must be >= 0 and finite, got -0.1"),
        ({"warp": float("nan")}, ValueError, "warp must be >= 0 and finite, got nan"),
        ({"noise": float("inf")}, ValueError, "noise must be >= 0 and finite, got inf"),
        ({"noise": "0.1"}, TypeError, "noise must be a number, got '0.1'"),
        ({"crop": 1.5}, ValueError, "crop must be >= 0 and <= 1, got 1.5"),
        ({"dropout": 1}, ValueError, r"dropout must lie in \[0, 1\), got 1"),
        ({"dropout": 1.1}, ValueError, "dropout must be >= 0 and <= 1, got 1.1"),
        ({"flip": 1}, TypeError, "flip must be True or False, got 1"),
        ({"transforms": "ColorJitter(0.4)"}, TypeError, "transforms must be a sequence of texts, got 'Color"),
        ({"transforms": (3,)}, TypeError, "transforms must be texts such as 'ColorJitter\\(0.4\\)', got 3"),
        ({"transforms": ("ColorJitter",)}, ValueError, "transforms must be texts .* got 'ColorJitter'"),
        ({"transforms": ("v2.ColorJitter(1)",)}, ValueError, "transforms must be texts .* got 'v2.Color"),
        ({"transforms": ("ColorJitter(open('x'))",)}, ValueError, "transforms must be texts"),
        ({"transforms": ("ColorJitter(**{'hue': 1})",)}, ValueError, "transforms must be texts"),
        ({"transforms": ("ColorJitter(",)}, ValueError, "transforms must be texts"),
    ],
)
def test_options_are_checked_when_they_are_made(options, error, message):
    with pytest.raises(error, match=f"^Perturbation: {message}"):
        Perturbation(**options)
