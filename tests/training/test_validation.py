"""Scores on validation items: what they keep, when they stop a run, and what they must leave alone."""

from __future__ import annotations

import dataclasses
import json
from types import SimpleNamespace

import pytest
import torch
from run_helpers import StopAfter, same_weights

from fasthash import data, methods, training
from fasthash.evaluation import mean_average_precision
from fasthash.training import Config, Silent, Validation, fit, load
from fasthash.training.checkpoint import BEST, latest_checkpoint

SMALL = {
    "bits": 12,
    "network": {"widths": (16,), "dropout": 0.2},
    "perturbation": {"noise": 0.1},
    "epochs": 2,
    "batch_size": 32,
    "labelled": 8,
    "optimiser": {"lr": 0.03},  # so high that the best score comes early
}


@pytest.fixture(scope="module")
def digits():
    images, labels = data.load_digits()
    split = data.make_split("digits-semi", labels)
    return images, labels, split, data.TrainingSet.from_split(images, labels, split)


@pytest.fixture(scope="module")
def validation(digits):
    return Validation.from_split(*digits[:3])


@pytest.fixture(scope="module")
def scored(digits, validation, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "scored"
    config = Config(str(folder), validate_every=15, log_every=10)
    return fit(methods.create("pts3h", **SMALL), digits[3], config, validation=validation, progress=Silent())


def scores(run):
    return {line["steps"]: line["validation_mAP"] for line in run.metrics() if "validation_mAP" in line}


def test_only_items_with_known_labels_are_ranked(digits, validation):
    images, labels, split, _ = digits
    assert torch.equal(next(validation.queries.blocks()), images[split.validation])
    assert torch.equal(next(validation.database.blocks()), images[split.labelled])
    assert torch.equal(validation.database_labels, torch.as_tensor(labels)[split.labelled])
    without = SimpleNamespace(validation=split.validation[:0])
    with pytest.raises(ValueError, match="split must have validation queries"):
        Validation.from_split(images, labels, without)
    with pytest.raises(ValueError, match="Validation: database_labels must be those of 2 >= 1 items, got 3"):
        Validation(images[:1], labels[:1], images[:2], labels[:3])


def test_scores_are_those_of_the_codes_and_the_best_weights_are_kept(scored, validation):
    found = scores(scored)
    assert found[15] == max(found.values())
    assert list(found) == [15, 30, 45, 60, 75, 90, 100]
    best = max(found.values())
    place = [*found.values()].index(best)
    assert scored.best == {"score": best, "steps": [*found][place], "since": len(found) - 1 - place}
    for which, expected in (("best", best), ("last", found[100]), (None, best)):
        hasher = load(scored, which=which)
        codes = (hasher.encode(validation.queries), hasher.encode(validation.database))
        score = mean_average_precision(*codes, validation.query_labels, validation.database_labels, bits=12)
        assert float(score) == expected
    with pytest.raises(ValueError, match='load: which must be "best", "last" or None'):
        load(scored, which="newest")


def test_validation_changes_nothing_of_the_training(digits, scored, tmp_path):
    plain = fit(scored.method(), digits[3], Config(str(tmp_path / "plain")), progress=Silent())
    assert same_weights(plain, scored)
    with pytest.raises(ValueError, match="which must be 'last' for a run without validation"):
        load(plain, which="best")
    assert plain.best is None


@pytest.mark.parametrize("stop", [1, 15, 16, 44, 100])
def test_a_resumed_run_has_the_same_scores_and_the_same_best(digits, scored, validation, tmp_path, stop):
    config = Config(str(tmp_path / "run"), validate_every=15, log_every=10, resume=True)
    with pytest.raises(KeyboardInterrupt):
        fit(scored.method(), digits[3], config, validation=validation, progress=StopAfter(stop))
    parts = fit(scored.method(), digits[3], config, validation=validation, progress=Silent())
    assert scores(parts) == scores(scored)
    assert parts.best == scored.best
    assert same_weights(parts, scored)
    assert same_weights(parts, scored, BEST)


def test_patience_ends_the_run_at_the_same_step_also_when_resumed(digits, validation, tmp_path):
    method = methods.create("pts3h", **{**SMALL, "epochs": 20, "optimiser": {"lr": 1e-6}})

    def config(name, **more):
        return Config(str(tmp_path / name), validate_every=5, patience=3, **more)

    notes = []
    progress = Silent()
    progress.note = notes.append
    whole = fit(method, digits[3], config("whole"), validation=validation, progress=progress)
    assert whole.finished
    assert whole.best["since"] == 3
    ended = whole.metrics()[-1]["steps"]
    assert ended == whole.best["steps"] + 15 < 1000
    assert notes == [
        f"stopped early after {ended} steps: the 3 scores after step {whole.best['steps']} were not above its "
        f"{whole.best['score']:.4f}"
    ]
    with pytest.raises(KeyboardInterrupt):
        fit(method, digits[3], config("parts"), validation=validation, progress=StopAfter(ended - 2))
    parts = fit(method, digits[3], config("parts", resume=True), validation=validation, progress=Silent())
    assert parts.finished
    assert same_weights(whole, parts)
    assert same_weights(whole, parts, BEST)
    with pytest.raises(ValueError, match=r"fit: validation must be given for config\.patience, got None"):
        fit(method, digits[3], config("none"), progress=Silent())
    assert not (tmp_path / "none").exists()


def test_other_validation_items_are_not_resumed(digits, scored, validation):
    config = Config(str(scored.path), validate_every=15, resume=True)
    fewer = Validation(validation.queries.select(range(9)), validation.query_labels[:9], *digits[:2])
    for other in (None, fewer):
        with pytest.raises(ValueError, match=r"fit: to resume .*, validation"):
            fit(scored.method(), digits[3], config, validation=other, progress=Silent())


def test_the_report_of_a_run_lies_in_its_folder(digits, scored):
    images, labels, split, _ = digits
    arguments = {
        "queries": images[split.queries],
        "database": images[split.database],
        "query_labels": labels[split.queries],
        "database_labels": labels[split.database],
    }
    report = training.report_run(scored, **arguments, k=(10,))
    assert json.loads(scored.report_path.read_text())["scores"]["mAP@all"]["value"] == report["mAP@all"]
    assert "mAP@all" in (scored.path / "report.md").read_text()
    assert len(list((scored.path / "plots").glob("*.png"))) == 5
    codes, bits = scored.codes("queries")
    assert bits == 12
    assert torch.equal(codes, load(scored).encode(images[split.queries]))
    last = training.report_run(scored, **arguments, which="last")
    assert last["mAP@all"] != report["mAP@all"]
    with pytest.raises(ValueError, match=r"Run\.save_codes: codes must be uint8 \(n, 3\) for 24 bits"):
        scored.save_codes("wide", codes, 24)
    with pytest.raises(FileNotFoundError, match=r"Run\.codes: name must be one of .*, got 'absent'"):
        scored.codes("absent")


def test_files_of_a_report_are_replaced_and_never_written_over(digits, scored, tmp_path):
    """A second name of each old file keeps what was in it."""
    images, labels, split, _ = digits
    items = {"queries": images[split.queries], "database": images[split.database]}
    items |= {"query_labels": labels[split.queries], "database_labels": labels[split.database]}
    training.report_run(scored, **items, which="last")
    paths = [path for path in scored.path.rglob("*") if path.is_file() and {"codes", "plots"} & {path.parent.name}]
    paths += [scored.report_path, scored.report_path.with_suffix(".md")]
    assert len(paths) in (4, 14)  # with matplotlib ten of plots
    for number, path in enumerate(paths):
        (tmp_path / str(number)).hardlink_to(path)
    old = [path.read_bytes() for path in paths]
    training.report_run(scored, **items, which="best")
    assert [path.read_bytes() != content for path, content in zip(paths, old, strict=True)] == [True] * len(paths)
    assert [(tmp_path / str(number)).read_bytes() for number in range(len(paths))] == old
    names = {path.name for path in scored.path.rglob("*")}
    assert not any(name.endswith(".tmp") or name.startswith("plots.") for name in names)


def test_what_an_end_hook_sets_is_scored(digits, validation, tmp_path, monkeypatch):
    """Also where the last step has been scored already."""
    method = methods.create("dpsh", **{**SMALL, "epochs": 0.2})
    plan_of = type(method).plan

    def end(state, cursor):
        assert cursor.step == 10
        with torch.no_grad():
            for p in state.modules["student"].parameters():
                p.zero_()

    monkeypatch.setattr(type(method), "plan", lambda *a: [dataclasses.replace(stage, end=end) for stage in plan_of(*a)])
    config = Config(str(tmp_path / "run"), validate_every=10)
    run = fit(method, digits[3], config, validation=validation, progress=Silent())
    found = [line["validation_mAP"] for line in run.metrics() if "validation_mAP" in line]
    assert len(found) == 2
    hasher = load(run, which="last")
    codes = (hasher.encode(validation.queries), hasher.encode(validation.database))
    score = mean_average_precision(*codes, validation.query_labels, validation.database_labels, bits=12)
    assert found[1] == float(score) < found[0]


def test_best_of_equal_scores_is_the_first(digits, tmp_path):
    """A score that never changes: one item of a class ranks the other."""
    images = digits[0]
    one = Validation(images[:1], torch.tensor([0]), images[1:2], torch.tensor([0]))
    config = Config(str(tmp_path / "run"), validate_every=40)
    run = fit(methods.create("dpsh", **SMALL), digits[3], config, validation=one, progress=Silent())
    assert run.best == {"score": 1.0, "steps": 40, "since": 2}
    saved = latest_checkpoint(run.checkpoints)
    assert {path.name for path in saved.iterdir()} == {"state.safetensors", "state.json", BEST}
