"""`fasthash train`, `encode` and `evaluate --run` as a user types them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

import numpy as np
import pytest
import yaml
from safetensors.numpy import load_file, save_file

from fasthash import data, methods, pack, training
from fasthash.cli import main, recipe
from fasthash.cli.arrays import read_array

COMMAND = Path(sysconfig.get_path("scripts")) / "fasthash"
SMALL = ("--preset", "digits", "--bits", "16", "--epochs", "3")


def run(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([COMMAND, *arguments], capture_output=True, text=True, timeout=280, cwd=folder)


@pytest.fixture
def refused(tmp_path, monkeypatch, capsys):
    """Calls the command in this process, which must refuse its arguments; gives its exit code and what it printed."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str) -> tuple[int, str]:
        with pytest.raises(SystemExit) as exit_:
            main(arguments)
        said = capsys.readouterr()
        # A text as code is what Python prints before it exits with 1.
        code, text = (exit_.value.code, "") if isinstance(exit_.value.code, int) else (1, str(exit_.value.code))
        return code, said.out + said.err + text

    return call


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("train")
    result = run("train", "pts3h", *SMALL, "--seed", "3", "--out", "runs/first", folder=folder)
    assert result.returncode == 0, result.stderr
    return folder, result.stdout


def test_a_run_holds_its_recipe_and_its_report(trained):
    folder, printed = trained
    out = folder / "runs" / "first"
    found = training.Run(out)
    assert found.finished
    assert found.method() == methods.create("pts3h", preset="digits", bits=16, epochs=3)
    assert found.config()["training"]["seed"] == 3
    assert "digits-semi, seed 3" in printed
    report = json.loads((out / "report.json").read_text())
    codes, bits = found.codes("queries")
    assert bits == 16
    images, _ = data.load_digits()
    split = data.make_split("digits-semi", data.load_digits()[1], 3)
    assert np.array_equal(codes, training.load(found).encode(images[split.queries]))
    assert f"{report['scores']['mAP@all']['value']:.4f}" in printed


def test_the_recipe_gives_the_same_codes_again(trained):
    folder, _ = trained
    kept = folder / "runs" / "first" / "recipe.yaml"
    result = run("train", "--config", str(kept), "--out", "runs/again", "--no-report", folder=folder)
    assert result.returncode == 0, result.stderr
    images, _ = data.load_digits()
    codes = [training.load(folder / "runs" / name).encode(images) for name in ("first", "again")]
    assert np.array_equal(*codes)
    assert not (folder / "runs" / "again" / "report.json").exists()


def test_print_config_and_options_over_a_file(tmp_path):
    first = run("train", "dpsh", "--bits", "24", "--network.widths", "64", "32", "--print-config", folder=tmp_path)
    assert first.returncode == 0, first.stderr
    (tmp_path / "run.yaml").write_text(first.stdout)
    again = run("train", "--config", "run.yaml", "--seed", "5", "--print-config", folder=tmp_path)
    expected, found = yaml.safe_load(first.stdout), yaml.safe_load(again.stdout)
    assert expected["options"]["network"]["widths"] == [64, 32]
    assert (expected["training"].pop("seed"), found["training"].pop("seed")) == (0, 5)
    assert found == expected


def test_evaluate_and_encode_a_run(trained):
    folder, printed = trained
    result = run("evaluate", "--run", "runs/first", folder=folder)
    assert result.returncode == 0, result.stderr
    rows = [line for line in result.stdout.splitlines() if line.startswith(("mAP", "P@", "R@"))]
    assert rows
    assert all(row in printed for row in rows)
    images, _ = data.load_digits()
    np.save(folder / "images.npy", images.numpy())
    for name in ("codes.npy", "codes.safetensors"):
        result = run("encode", "--run", "runs/first", "--input", "images.npy", "--out", name, folder=folder)
        assert result.returncode == 0, result.stderr
    expected = training.load(folder / "runs" / "first").encode(images).numpy()
    assert np.array_equal(np.load(folder / "codes.npy"), expected)
    assert np.array_equal(load_file(folder / "codes.safetensors")["codes"], expected)


def test_encode_by_signs(tmp_path):
    x = np.random.default_rng(0).standard_normal((20_000, 20)).astype(np.float32)
    np.savez(tmp_path / "x.npz", embeddings=x, other=x[:3])
    result = run("encode", "--input", "x.npz:embeddings", "--out", "codes.npy", folder=tmp_path)
    assert result.returncode == 0, result.stderr
    assert np.array_equal(np.load(tmp_path / "codes.npy"), pack(x))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["codes.npy", "x.npz"]


@pytest.mark.parametrize("name", ["codes.npy", "codes.safetensors"])
def test_a_killed_encode_leaves_what_was_there(tmp_path, name):
    x = np.random.default_rng(0).standard_normal((20_000, 20)).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    (tmp_path / name).write_bytes(b"what was there")
    program = (
        "import os, sys\nfrom fasthash.cli import encode, main\npack, calls = encode.pack, []\n"
        "def dies(x):\n    calls.append(x)\n    return pack(x) if len(calls) < 2 else os.kill(os.getpid(), 9)\n"
        "encode.pack = dies\nmain(sys.argv[1:])\n"
    )
    killed = subprocess.run(
        [sys.executable, "-c", program, "encode", "--input", "x.npy", "--out", name],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert (tmp_path / name).read_bytes() == b"what was there"
    assert {path.name for path in tmp_path.iterdir()} == {"x.npy", name}
    assert run("encode", "--input", "x.npy", "--out", name, folder=tmp_path).returncode == 0
    codes = np.load(tmp_path / name) if name.endswith("npy") else load_file(tmp_path / name)["codes"]
    assert np.array_equal(codes, pack(x))


def test_ones_own_features(refused, tmp_path):
    generator = np.random.default_rng(0)
    labels = np.arange(600) % 3
    x = (generator.standard_normal((600, 12)) + 3 * np.eye(3, 12)[labels]).astype(np.float32)
    np.savez(tmp_path / "mine.npz", features=x, more=x + 0.1)
    np.savez(tmp_path / "labels.npz", y=labels)
    files = ("--root", "mine.npz", "--items.labels", "labels.npz:y", "--items.views", "more")
    arguments = ("--data", "features", *files, "--labels", "60", "--queries", "90", "--validation", "30")
    options = ("--bits", "8", "--epochs", "5", "--batch-size", "32", "--labelled", "16", "--standardise")
    result = run("train", "pts3h", *arguments, *options, "--out", "mine", folder=tmp_path)
    assert result.returncode == 0, result.stderr
    config = training.Run(tmp_path / "mine").config()
    assert (config["items"]["labelled"], config["items"]["unlabelled"]) == (30, 450)
    assert training.Run(tmp_path / "mine").best is not None
    (tmp_path / "elsewhere").mkdir()
    result = run("evaluate", "--run", "../mine", folder=tmp_path / "elsewhere")
    assert result.returncode == 0, result.stderr
    x[0] += 1
    np.savez(tmp_path / "mine.npz", features=x, more=x + 0.1)
    code, said = refused("evaluate", "--run", "mine")
    assert code == 1
    assert "evaluate: --run: expected the items, labels and split that 'mine' was trained on" in said


def test_items_in_several_modalities(refused, tmp_path):
    generator = np.random.default_rng(0)
    labels = np.arange(150) % 3
    image, text = (generator.standard_normal((3, n))[labels] + generator.standard_normal((150, n)) for n in (12, 8))
    text[::5] = np.nan  # items without a text
    np.savez(tmp_path / "pairs.npz", image=image, text=text, labels=labels)
    items = ("--data", "features", "--root", "pairs.npz", "--items.modalities", "image", "text", "--standardise")
    options = ("--labels", "30", "--validation", "9", "--bits", "8", "--network.hidden", "16", "--epochs", "2")
    rounds = ("--adversarial-rounds", "1", "--refine-rounds", "1", "--out", "run")
    result = run("train", "skdch", *items, *options, *rounds, folder=tmp_path)
    assert result.returncode == 0, result.stderr
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    assert list(report) == ["image->text", "text->image"]
    assert "image->text" in result.stdout
    assert report["image->text"]["items"] < report["text->image"]["items"]
    again = run("evaluate", "--run", "run", folder=tmp_path)
    assert again.returncode == 0, again.stderr
    assert all(line in result.stdout for line in again.stdout.splitlines())
    np.save(tmp_path / "text.npy", text)
    encoding = ("encode", "--run", "run", "--input", "text.npy", "--out", "codes.npy")
    assert run(*encoding, "--modality", "text", folder=tmp_path).returncode == 0
    expected = training.load(tmp_path / "run").encode(text, modality="text")
    assert np.array_equal(np.load(tmp_path / "codes.npy"), expected)
    _, said = refused(*encoding)
    assert "modality must be one of 'image', 'text', got None" in said
    _, said = refused("evaluate", "--run", "run", "--json", "report.json")
    assert "evaluate: --json: expected none with several modalities, got one" in said


def test_ctrl_c_says_how_to_go_on(trained):
    folder, _ = trained
    arguments = ["train", "pts3h", *SMALL[:-1], "400", "--seed", "1", "--out", "runs/stopped", "--no-report"]
    process = subprocess.Popen([COMMAND, *arguments], cwd=folder, stderr=subprocess.PIPE, stdout=subprocess.PIPE)
    while not (folder / "runs" / "stopped" / "metrics.jsonl").exists():
        assert process.poll() is None
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGINT)
    errors = process.communicate(timeout=60)[1].decode()
    assert process.returncode == 130
    assert "fasthash train --resume runs/stopped goes on" in errors
    assert "Traceback" not in errors
    before = training.Run(folder / "runs" / "stopped")
    assert not before.finished


def test_a_stopped_run_goes_on(trained):
    """A run killed in its midst ends as the one that was never stopped, report and all."""
    folder, _ = trained
    out = folder / "runs" / "killed"
    arguments = ["train", "pts3h", *SMALL, "--seed", "3", "--checkpoint-every", "5", "--out", "runs/killed"]
    process = subprocess.Popen([COMMAND, *arguments], cwd=folder, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    while not list(out.glob("checkpoints/0*")):
        assert process.poll() is None
        time.sleep(0.02)
    process.kill()
    process.wait()
    assert not training.Run(out).finished
    result = run("train", "--resume", "runs/killed", folder=folder)
    assert result.returncode == 0, result.stderr
    images, _ = data.load_digits()
    codes = [training.load(folder / "runs" / name).encode(images) for name in ("first", "killed")]
    assert np.array_equal(*codes)
    assert (out / "report.json").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ([], 2, "usage: fasthash train METHOD"),
        (["--bits", "48"], 2, "expected one of METHOD, --config FILE and --resume RUN"),
        (["pts3h", "--config", "x.yaml"], 2, "expected one of METHOD, --config FILE and --resume RUN"),
        (["pts3"], 2, "expected a METHOD, one of adsh, "),
        (["pts3h", "--nonsense", "1"], 2, "nonsense"),
        (["--resume", "somewhere", "--epochs", "3"], 2, "--resume: expected no option but --no-report beside it"),
        (["pts3h", "--near", "2"], 1, "fasthash: PTS3H: near must lie in"),
        (["pts3h", "--data", "cifar"], 1, "fasthash: open_dataset: name: expected one of "),
        (
            ["pts3h", "--protocol", "digits-semi", "--labels", "25"],
            1,
            "keep_labelled: labelled: expected a multiple of 10 classes",
        ),
        (["pts3h", "--data", "digits", "--queries", "10"], 1, "fasthash: train: --queries: expected none beside"),
        (["--resume", "nowhere"], 1, "fasthash: train: --resume: expected a run folder of `fasthash train`"),
        (["--config", "nowhere.yaml"], 1, "fasthash: train: --config 'nowhere.yaml': expected a YAML file"),
    ],
)
def test_errors_leave_nothing(refused, tmp_path, arguments, code, message):
    found, said = refused("train", *arguments)
    assert found == code
    assert message in " ".join(said.split())
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("method: dpsh\noptions: {bitz: 3}", "create: dpsh has the options"),
        ("method: dpsh\ntraining: {sed: 3}", "training has the options"),
        ("method: dpsh\ndata: {items: {lable: x}}", "data.items has the options"),
        ("method: dpsh\nnet: {}", "expected the keys method, preset, options, data, training, got net"),
        ("- 1", "expected a mapping with the key method, got list"),
        ("method: dpsh\noptions: {network: cnn}", "create: dpsh.network must be a mapping, got 'cnn'"),
        ("method: dpsh\noptions: {optimiser: []}", "create: dpsh.optimiser must be a mapping, got []"),
        ("method: dpsh\ndata: {items: {lists: a.txt}}", "data.items.lists must be a list, each a text, got 'a.txt'"),
        ("method: dpsh\ntraining: {tensorboard: 1}", "training.tensorboard must be true or false, got 1"),
        ("method: dpsh\npreset: []", "preset must be a text, got []"),
        ("method: [", "expected a YAML file"),
        ("method: dpsh\noptions: []", "options: expected a mapping, got []"),
        ("method: dpsh\noptions: 3", "options: expected a mapping, got 3"),
    ],
)
def test_unknown_keys_of_a_file_are_errors(refused, tmp_path, text, message):
    (tmp_path / "run.yaml").write_text(text)
    code, said = refused("train", "--config", "run.yaml")
    assert code == 1
    assert message in said


def test_errors_of_encode(refused, tmp_path):
    np.save(tmp_path / "x.npy", np.ones((3, 8), np.int32))
    for arguments, message in (
        (["--input", "x.npy", "--out", "c.npy"], "encode: --input: expected floats (n, bits), got int32"),
        (["--input", "x.npy", "--out", "c.txt"], "encode: --out: expected a name that ends in .npy or .safetensors"),
        (["--input", "x.npy", "--out", "c.npy", "--which", "last"], "encode: --which: expected a --run beside it"),
        (["--input", "x.npy", "--out", "c.npy", "--length", "4"], "encode: --length: expected a --run beside it"),
        (["--input", "y.npy", "--out", "c.npy"], "encode: --input: expected a file, got 'y.npy'"),
    ):
        code, said = refused("encode", *arguments)
        assert code == 1
        assert message in said
    assert [path.name for path in tmp_path.iterdir()] == ["x.npy"]


def test_a_loss_that_is_no_number_is_one_line(refused, tmp_path):
    x = np.full((60, 8), np.nan, np.float32)
    np.savez(tmp_path / "x.npz", features=x, labels=np.arange(60) % 3)
    arguments = ("dpsh", "--data", "features", "--root", "x.npz", "--labels", "21", "--queries", "9", "--out", "run")
    sizes = ("--batch-size", "16", "--labelled", "8")
    code, said = refused("train", *arguments, *sizes)
    assert code == 1
    assert "fasthash: fit: " in said
    code, said = refused("train", *arguments, *sizes)
    assert code == 1
    assert "or fasthash train --resume run goes on" in said


def test_paths_of_a_recipe_become_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.savez("x.npz", features=np.ones((3, 2)), y=np.arange(3))
    items = recipe.ItemOptions(labels="y", views=("v.npz:more", "features"))
    options = recipe.DataOptions("features", "x.npz", items)
    network = {"backbone": "mobilenet_v2", "weights": "w.npz"}
    found = recipe.Recipe(methods.create("dpsh", network=network), options).with_absolute_paths()
    assert (found.data.root, found.method.network.weights) == (str(tmp_path / "x.npz"), str(tmp_path / "w.npz"))
    assert (found.data.items.labels, found.data.items.views) == ("y", (str(tmp_path / "v.npz:more"), "features"))
    lists = recipe.DataOptions("list", "images", recipe.ItemOptions(lists=("a.txt",)))
    found = recipe.Recipe(methods.create("dpsh"), lists).with_absolute_paths()
    assert found.data.items.lists == (str(tmp_path / "a.txt"),)


def test_images_with_the_channels_last(refused, tmp_path, monkeypatch):
    images = np.random.default_rng(0).integers(0, 256, (60, 8, 8, 3), np.uint8)
    np.savez(tmp_path / "x.npz", images=images, y=np.arange(60) % 3)
    data_options = (
        "--data",
        "features",
        "--root",
        "x.npz",
        "--labels",
        "21",
        "--queries",
        "9",
        "--items.scale",
        "0.01",
    )
    options = ("--network.backbone", "cnn", "--network.widths", "8", "--batch-size", "16", "--labelled", "8")
    arguments = (
        "train",
        "dpsh",
        *data_options,
        *options,
        "--bits",
        "8",
        "--epochs",
        "1",
        "--no-report",
        "--out",
        "run",
    )
    code, said = refused(*arguments)
    assert code == 1
    assert "images that lie as (height, width, channels) are read with channels_last=True" in said
    main([*arguments, "--items.channels-last"])
    main(["encode", "--run", "run", "--input", "x.npz:images", "--out", "codes.npy"])
    source = data.ArraySource(images, scale=0.01, channels_last=True)
    assert np.array_equal(np.load(tmp_path / "codes.npy"), training.load("run").encode(source))
    # Where there is a GPU, it encodes; here, none is moved to it.
    devices = []
    monkeypatch.setattr("fasthash.training.run.found_accelerator", lambda: "cuda")
    monkeypatch.setattr(training.Hasher, "to", lambda hasher, device: (devices.append(device), hasher)[1])
    main(["encode", "--run", "run", "--input", "x.npz:images", "--out", "codes.npy"])
    main(["evaluate", "--run", "run"])
    assert devices == ["cuda", "cuda"]


def test_a_run_with_several_lengths_ranks_its_learnt_codes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    x = np.random.default_rng(0).standard_normal((60, 8)).astype(np.float32)
    np.savez("x.npz", features=x, labels=np.arange(60) % 3)
    items = ("--data", "features", "--root", "x.npz", "--labels", "21", "--queries", "9")
    sizes = (
        "--bits",
        "4",
        "--lengths",
        "4",
        "10",
        "--outer-iters",
        "2",
        "--network.widths",
        "8",
        "--accelerator",
        "cpu",
    )
    main(["train", "mah", *items, *sizes, "--out", "run"])
    hasher, found = training.load("run"), training.Run("run")
    codes, bits = found.codes("database")
    assert bits == 4
    split = recipe.open_split(recipe.Recipe.read("run/recipe.yaml").data, 0)[1]
    assert len(hasher.database_rows) == 21
    assert np.array_equal(codes, hasher.encode_database(x[split.database], split.database))
    main(["evaluate", "--run", "run", "--length", "10"])
    assert found.codes("database")[1] == 10
    main(["encode", "--run", "run", "--input", "x.npz:features", "--out", "codes.npy", "--length", "10"])
    assert np.array_equal(np.load("codes.npy"), hasher.encode(x, length=10))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--run", "x", "--query-features", "q.npy"], "evaluate: --run: expected no features beside it"),
        (["--run", "x", "--database-features", "d.npy"], "evaluate: --run: expected no features beside it"),
        (["--run", "x", "--bits", "8"], "evaluate: --run: expected no --bits beside it"),
        (["--which", "last"], "evaluate: --which: expected a --run beside it, got last alone"),
        (["--length", "4"], "evaluate: --length: expected a --run beside it, got 4 alone"),
    ],
)
def test_options_that_do_not_go_together_in_evaluate(refused, arguments, message):
    code, said = refused("evaluate", *arguments)
    assert code == 1
    assert message in said


@pytest.mark.parametrize("kind", ["npy", "npz", "safetensors"])
def test_encode_maps_what_it_reads(tmp_path, monkeypatch, kind):
    x = np.random.default_rng(0).standard_normal((30, 16)).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    np.savez(tmp_path / "x.npz", x=x)
    save_file({"x": x}, tmp_path / "x.safetensors")
    monkeypatch.setenv("FASTHASH_CACHE", str(tmp_path / "cache"))
    found = read_array("encode", "input", str(tmp_path / f"x.{kind}"), mapped=True)
    assert np.array_equal(found, x)
    assert isinstance(found, np.memmap) or kind == "safetensors"
    assert not found.flags.owndata
    main(["encode", "--input", str(tmp_path / f"x.{kind}"), "--out", str(tmp_path / "codes.npy")])
    assert np.array_equal(np.load(tmp_path / "codes.npy"), pack(x))


def test_how_many_queries_are_drawn(refused, tmp_path):
    """By default a tenth, unless the smallest class has too few items beside its labelled ones; never for a 0."""
    labels = np.repeat([0, 1, 2], [100, 100, 9])
    np.savez(tmp_path / "x.npz", features=np.ones((209, 4), np.float32), labels=labels)
    for labelled, expected in ((6, 21), (15, 12)):
        options = recipe.DataOptions("features", "x.npz", labels=labelled)
        assert len(recipe.open_split(options, 0)[1].queries) == expected
    code, said = refused("train", "dpsh", "--data", "features", "--root", "x.npz", "--labels", "6", "--queries", "0")
    assert code == 1
    assert "train: --queries: expected at least 1, got 0" in said


def test_items_without_a_label_are_trained_on_and_not_reported_on(tmp_path):
    generator = np.random.default_rng(0)
    labels = np.arange(60) % 2
    x = (labels[:, None] * 2 - 1 + generator.standard_normal((60, 4))).astype(np.float32)
    np.savez(tmp_path / "mine.npz", features=x, labels=np.where(np.arange(60) < 40, labels, -1))
    options = ("--data", "features", "--root", "mine.npz", "--labels", "10", "--queries", "10")
    result = run("train", "pts3h", *options, "--bits", "8", "--epochs", "1", "--out", "run", folder=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "10 queries and 30 items (20 without a label are left out)" in result.stderr
    found = training.Run(tmp_path / "run")
    assert len(found.codes("database")[0]) == 30
    assert (found.config()["items"]["labelled"], found.config()["items"]["unlabelled"]) == (10, 40)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--labels", "25"), "train: --labels: expected as many of each of 2 classes, such as 24, got 25"),
        (
            ("--labels", "4", "--queries", "3"),
            "train: --queries: expected as many of each of 2 classes, such as 2, got 3",
        ),
        (("--labels", "60"), "train: --labels: expected fewer than 30 of each class, the items of the smallest one"),
    ],
)
def test_numbers_that_do_not_fit_the_classes(refused, tmp_path, options, message):
    np.savez(tmp_path / "mine.npz", features=np.zeros((60, 4), np.float32), labels=np.arange(60) % 2)
    code, said = refused("train", "pts3h", "--data", "features", "--root", "mine.npz", *options)
    assert (code, message in " ".join(said.split())) == (1, True), said
