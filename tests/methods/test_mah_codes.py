"""What a run of MAH leaves: codes of queries and of the database in every length, and reports of either side."""

import dataclasses

import pytest
import torch
from by_hand import items, parameters
from run_helpers import StopAfter, final_state

from fasthash import methods, training
from fasthash.data import TrainingSet
from fasthash.evaluation import mean_average_precision
from fasthash.ops import hamming_topk, pack


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """60 items of three classes, 40 of them labelled, in another order than that of x."""
    x = torch.randn(60, 6, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(60) % 3
    rows = torch.randperm(60, generator=torch.Generator().manual_seed(1))
    data = TrainingSet(x, labels, rows[:40], rows[40:])
    config = training.Config(str(tmp_path_factory.mktemp("mah") / "run"))
    method = methods.create(
        "mah",
        bits=4,
        lengths=(4, 6, 8, 10, 12),
        network={"widths": (16,)},
        optimiser={"lr": 1e-2},
        num_samples=13,
        outer_iters=3,
        inner_epochs=2,
        batch_size=5,
    )
    return training.fit(method, data, config, progress=training.Silent()), x, labels, rows


def test_every_length_gives_codes_of_queries_and_of_the_database(trained):
    run, x, labels, rows = trained
    hasher = training.load(run)
    assert hasher.lengths == (4, 6, 8, 10, 12)
    assert torch.equal(hasher.database_rows, rows[:40])
    assert torch.equal(hasher.encode(x), hasher.encode(x, length=4))
    with torch.no_grad():
        logits = hasher.network.head.logits(hasher.network.features(x))
    for length, z in zip(hasher.lengths, logits, strict=True):
        codes, database = hasher.encode(x, length=length), hasher.database_codes(length)
        assert torch.equal(codes, pack(z))
        assert database.shape == (40, -(-length // 8))
        assert torch.equal(database, pack(final_state(run)[0][f"tensor/codes_{length}"]))
        distances, _ = hamming_topk(codes, database, 40)
        assert 0 <= distances.min() <= distances.max() <= length
        score = mean_average_precision(codes, database, labels, labels[rows[:40]], bits=length)
        assert 0 < score <= 1
        both = hasher.encode_database(x, torch.arange(60), length=length)
        assert torch.equal(both[rows[:40]], database)
        assert torch.equal(both[rows[40:]], codes[rows[40:]])
    with pytest.raises(ValueError, match=r"Hasher\.encode: length must be one of \(4, 6, 8, 10, 12\), got 5"):
        hasher.encode(x, length=5)
    with pytest.raises(ValueError, match=r"Hasher\.database_codes: length must be one of"):
        hasher.database_codes(5)
    with pytest.raises(ValueError, match=r"Hasher\.encode_database: rows must have shape \(60,\) like x, got \(3,\)"):
        hasher.encode_database(x, [0, 1, 2])


def test_a_running_mean_of_the_network_makes_codes_of_every_length(trained, tmp_path):
    run, x, labels, rows = trained
    config = training.Config(str(tmp_path / "run"), ema=0.8)
    data = TrainingSet(x, labels, rows[:40], rows[40:])
    averaged = training.fit(run.method(), data, config, progress=training.Silent())
    (one, _), (plain, _) = final_state(averaged), final_state(run)
    assert all(torch.equal(one[key], plain[key]) for key in plain if key.startswith(("module/student", "tensor/")))
    mean, last = training.load(averaged).network, training.load(run).network
    assert not torch.equal(parameters(mean), parameters(last))
    with torch.no_grad():
        logits = mean.head.logits(mean.features(x))
    for length, z in zip(run.method().code_lengths, logits, strict=True):
        assert torch.equal(training.load(averaged).encode(x, length=length), pack(z))


@pytest.mark.parametrize("stopped", ["ctrl-c", "patience"])
def test_a_run_that_stops_in_its_first_turn_has_codes_of_the_network_alone(tmp_path, stopped):
    method = methods.create("adsh", bits=4, network={"widths": (8,)}, outer_iters=2, inner_epochs=30, batch_size=5)
    data, x = items(), torch.randn(60, 6)
    config = training.Config(str(tmp_path / "run"), checkpoint_every=3, validate_every=1, patience=2)
    if stopped == "ctrl-c":
        with pytest.raises(KeyboardInterrupt):
            training.fit(method, data, dataclasses.replace(config, patience=None), progress=StopAfter(5))
    else:  # all items are of one class, so that no score is above the first
        ones = torch.zeros(60, dtype=torch.int64)
        validation = training.Validation(x[:5], ones[:5], x, ones)
        training.fit(method, data, config, validation=validation, progress=training.Silent())
    with pytest.warns(UserWarning, match="ADSH: no codes of the database have been learnt yet"):
        hasher = training.load(config.folder)
    assert hasher.database_rows is None
    with pytest.raises(ValueError, match="codes of its items, got one with none, or none yet"):
        hasher.database_codes()
    assert torch.equal(hasher.encode_database(x, torch.arange(60)), hasher.encode(x))


def test_reports_rank_the_learnt_codes_or_those_of_the_network(trained, monkeypatch):
    monkeypatch.setattr(training.report, "_save_plots", lambda report, run: None)
    run, x, labels, _ = trained
    sides = {"queries": x[:9], "database": x, "query_labels": labels[:9], "database_labels": labels}

    def saved(**options):
        training.report_run(run, **sides, **options)
        return run.codes("database")

    hasher = training.load(run)
    codes, bits = saved(length=10, database_rows=torch.arange(60))
    assert bits == 10
    assert torch.equal(codes, hasher.encode_database(x, torch.arange(60), length=10))
    network = dataclasses.replace(run.method(), database="network")
    assert torch.equal(saved()[0], hasher.encode(x))
    assert torch.equal(saved(method=network, database_rows=torch.arange(60))[0], hasher.encode(x))
    assert not torch.equal(saved(database_rows=torch.arange(60))[0], hasher.encode(x))


def test_other_methods_have_one_length_and_no_codes_of_their_own(tmp_path):
    method = methods.create("dpsh", bits=12, network={"widths": (8,)}, epochs=1, batch_size=20, labelled=8)
    run = training.fit(method, items(), training.Config(str(tmp_path / "run")), progress=training.Silent())
    hasher = training.load(run)
    assert hasher.lengths == (12,)
    assert hasher.database_rows is None
    assert torch.equal(hasher.encode_database(torch.ones(2, 6), [0, 1]), hasher.encode(torch.ones(2, 6)))
    with pytest.raises(ValueError, match=r"Hasher\.database_codes: expected a run that found codes"):
        hasher.database_codes()
