import numpy as np
import pytest
import torch

from fasthash.data import (
    ItemSpec,
    Modalities,
    Standardisation,
    TrainingSet,
    as_source,
    map_array,
    open_dataset,
    standardisation_of,
)


def pairs(n=12, missing=(1, 4)):
    """Items of n objects: images of 2 x 3, all there, and texts of 4, some missing and then not a number."""
    generator = torch.Generator().manual_seed(0)
    image = torch.randn(n, 2, 3, generator=generator) * 3 + 1
    text = torch.randn(n, 4, generator=generator) - 5
    there = torch.ones(n, dtype=torch.bool)
    there[list(missing)] = False
    text[~there] = torch.nan
    return image, text, Modalities({"image": image, "text": text.numpy()}, present={"text": there.numpy()})


def test_items_lie_side_by_side_with_zeros_for_what_is_missing():
    image, text, source = pairs()
    x = source.take(torch.tensor([4, 0]))
    assert torch.equal(x[0], torch.cat([image[4].flatten(), torch.zeros(4)]))
    assert torch.equal(x[1], torch.cat([image[0].flatten(), text[0]]))
    assert (source.shape, source.shapes) == ((10,), {"image": (2, 3), "text": (4,)})
    assert torch.equal(source.modality("image").take(torch.tensor([3])), image[3:4])


def test_selections_and_single_modalities_keep_rows_and_presence():
    _, text, source = pairs()
    some = source.select([4, 3, 0])
    assert some.present.tolist() == [[True, False], [True, True], [True, True]]
    assert torch.equal(some.modality("text").take(torch.tensor([1])), text[3:4])
    turned = source.only("text", "image")
    assert turned.names == ("text", "image")
    assert torch.equal(turned.present, source.present.flip(1))
    assert torch.equal(source.only("text").present, source.present[:, 1:])


def test_each_modality_is_standardised_by_the_rows_that_have_it():
    image, text, source = pairs()
    rows = torch.arange(8)
    known = source.standardised(rows)
    there = [row for row in range(8) if row not in (1, 4)]
    expected = Standardisation.of(as_source(text), torch.tensor(there))
    torch.testing.assert_close(known.modality("text").take(torch.tensor([9])), expected(text[9:10]))
    together = known.standardisation
    assert torch.equal(standardisation_of("text", source.shapes, together).mean, expected.mean)
    assert standardisation_of("image", source.shapes, together).mean.shape == image.shape[1:]
    assert standardisation_of("image", source.shapes, None) is None
    assert known.take(torch.tensor([1]))[0, 6:].tolist() == [0, 0, 0, 0]
    assert not known.take(torch.arange(12)).isnan().any()


def test_a_training_set_has_the_modalities_of_its_items():
    image, _, source = pairs()
    data = TrainingSet(source, torch.arange(12) % 3, [5, 4], [0, 1], standardise=False)
    assert data.spec == ItemSpec((10,), 3, (("image", (2, 3)), ("text", (4,))))
    assert data.present.tolist() == [[True, True], [True, False], [True, True], [True, False]]
    assert torch.equal(data.take(torch.tensor([1]), "image"), image[4:5])
    plain = TrainingSet(image, torch.arange(12) % 3, [5, 4], [0, 1])
    assert plain.present is None
    assert plain.spec.modalities == ()
    with pytest.raises(ValueError, match="modality: expected None for items of one modality, got 'image'"):
        plain.take(torch.tensor([0]), "image")


def test_the_digest_tells_names_items_and_presence_apart():
    image, text, source = pairs()
    assert source.digest() == pairs()[2].digest()
    others = [
        pairs(missing=(1,))[2],
        Modalities({"photo": image, "text": text}, present={"text": source.present[:, 1]}),
        Modalities({"image": image + 1, "text": text}, present={"text": source.present[:, 1]}),
    ]
    assert len({source.digest(), *(other.digest() for other in others)}) == 4


@pytest.mark.parametrize(
    ("sources", "present", "error", "message"),
    [
        ({}, None, ValueError, "sources: expected at least one, all of equal length, got {}"),
        ({"a": 3, "b": 2}, None, ValueError, "all of equal length, got {'a': 3, 'b': 2}"),
        ({1: 3}, None, TypeError, "expected names that are texts, got 1"),
        ({"a": 3}, {"b": np.ones(3, bool)}, ValueError, r"present: expected names of \['a'\], got \['b'\]"),
        ({"a": 3}, {"a": np.ones(2, bool)}, ValueError, r"present: expected \(3,\) for 'a', got \(2,\)"),
        ({"a": 3}, {"a": [1, 0, 1]}, TypeError, "present: expected bool for 'a', got torch.int64"),
    ],
)
def test_what_does_not_fit_is_refused(sources, present, error, message):
    with pytest.raises(error, match=message):
        Modalities({name: torch.zeros(n, 2) for name, n in sources.items()}, present)


def test_unknown_modalities_and_half_standardised_sources_are_refused():
    _, _, source = pairs()
    with pytest.raises(ValueError, match=r"modality: expected one of \['image', 'text'\], got 'sound'"):
        source.only("image", "sound")
    half = {"image": source.modality("image").standardised(), "text": source.modality("text")}
    with pytest.raises(ValueError, match="expected all or none standardised, got some"):
        Modalities(half)


def test_a_modality_that_no_training_row_has_cannot_be_standardised():
    _, _, source = pairs()
    with pytest.raises(ValueError, match="rows: expected one that has 'text' or more, got none"):
        source.standardised([1, 4])


def test_nan_in_a_row_that_is_present_is_refused_by_modality_and_row(tmp_path):
    image, text, source = pairs(n=1100, missing=(4,))
    message = "expected no NaN in present rows, got row 1050 of 'text'"
    text[1050, 2] = torch.nan
    there = {"text": source.present[:, 1]}
    for x in (text, text.numpy()):
        with pytest.raises(ValueError, match=f"Modalities: sources: {message}"):
            Modalities({"image": image, "text": x}, there)
    # A mapped file is read where a training set reads its rows, by their numbers in the file.
    np.save(tmp_path / "text.npy", text.numpy())
    mapped = Modalities({"image": image, "text": map_array(tmp_path / "text.npy")}, there)
    rows, labels = range(1099, -1, -1), torch.arange(1100) % 3
    data = TrainingSet(mapped, labels, rows[:500], rows[500:])
    assert torch.equal(data.take(torch.tensor([48]), "text"), text[1051:1052])
    with pytest.raises(ValueError, match=f"TrainingSet.take: sources: {message}"):
        data.take(torch.tensor([48, 49]), "text")
    with pytest.raises(ValueError, match=f"Modalities: sources: {message}"):
        TrainingSet(mapped, labels, rows[:500], rows[500:], standardise=True)


def test_rows_of_a_file_that_are_nan_as_a_whole_are_missing(tmp_path):
    image, text, _ = pairs(missing=(0, 1029), n=1100)
    arrays = {"image": image.numpy(), "pixels": np.zeros((1100, 2), np.uint8), "text": text.numpy()}
    labels = np.arange(1100) % 3
    np.savez(tmp_path / "three.npz", labels=labels, **arrays)
    found = open_dataset("features", tmp_path / "three.npz", modalities=["image", "pixels", "text"]).source
    assert found.present.all(0).tolist() == [True, True, False]
    assert (~found.present[:, 2]).nonzero()[:, 0].tolist() == [0, 1029]
    arrays["text"][1050, 1] = np.nan
    np.savez(tmp_path / "torn.npz", labels=labels, **arrays)
    with pytest.raises(ValueError, match="rows NaN as a whole or not at all, got row 1050 of 'text'"):
        open_dataset("features", tmp_path / "torn.npz", modalities=["image", "text"])
