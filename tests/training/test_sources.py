import numpy as np
import pytest
import torch

from fasthash.data import ArraySource, TrainingSet, load_digits, make_split
from fasthash.methods import create
from fasthash.training import Config, Silent, Validation, fit, load


@pytest.fixture(scope="module")
def features():
    """Digits as uint8 features with a large mean, their labels and a split."""
    images, labels = load_digits()
    x = (images.flatten(1) * 100 + 100).byte().numpy()
    return x, labels, make_split("digits-semi", labels)


def method():
    return create("dpsh", bits=16, epochs=0.2, network={"widths": [16]})


def test_statistics_of_the_training_rows_go_with_the_run(tmp_path, features):
    x, labels, split = features
    source = ArraySource(x, scale=1 / 50)
    data = TrainingSet.from_split(source, labels, split, standardise=True)
    validation = Validation.from_split(source, labels, split)
    run = fit(method(), data, Config(str(tmp_path / "a"), validate_every=4), validation=validation, progress=Silent())
    raw = torch.from_numpy(x).float() / 50
    hasher = load(run)
    codes = hasher.encode(source)
    assert torch.equal(hasher.encode(raw), codes)
    assert np.array_equal(hasher.encode(raw.numpy()), codes.numpy())
    assert torch.equal(hasher.encode(data.source), codes)
    assert torch.equal(hasher.encode(data.source[split.queries]), codes[torch.from_numpy(split.queries)])
    with pytest.raises(ValueError, match="expected raw ones, got some that another one standardised"):
        hasher.encode(source.standardised())
    # The same run on items that were standardised before: the same weights, scores and codes.
    known = data.standardisation
    before = TrainingSet.from_split(known(raw), labels, split)
    other = fit(
        method(),
        before,
        Config(str(tmp_path / "b"), validate_every=4),
        validation=Validation.from_split(known(raw), labels, split),
        progress=Silent(),
    )
    assert torch.equal(load(other).encode(known(raw)), codes)
    assert other.best == run.best
    assert load(other).standardisation is None
    resumed = fit(
        method(),
        data,
        Config(str(tmp_path / "a"), validate_every=4, resume=True),
        validation=validation,
        progress=Silent(),
    )
    assert torch.equal(load(resumed).encode(source), codes)


def test_closed_form_methods_read_blocks(tmp_path, features):
    x, labels, split = features
    data = TrainingSet.from_split(ArraySource(x), labels, split, standardise=True)
    run = fit(create("pcah", bits=8), data, Config(str(tmp_path)), progress=Silent())
    codes = load(run).encode(ArraySource(x))
    assert codes.shape == (1797, 1)
    assert len(codes.unique()) > 100


def test_integers_are_no_items(tmp_path, features):
    x, labels, split = features
    data = TrainingSet.from_split(ArraySource(x), labels, split)
    hasher = load(fit(create("lsh", bits=8), data, Config(str(tmp_path)), progress=Silent()))
    with pytest.raises(TypeError, match=r"Hasher.encode: x must be a Source, or a floating tensor or array, got uint8"):
        hasher.encode(x)
