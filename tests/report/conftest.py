"""Run folders made by hand, and the images behind them."""

from __future__ import annotations

import json

import numpy as np
import pytest
from report_runs import BITS, ITEMS, LABELS, SPLIT, codes, measure

from fasthash.data import ArraySource, Dataset
from fasthash.report import Items
from fasthash.training import Run


@pytest.fixture
def items():
    images = np.random.default_rng(1).integers(0, 256, (ITEMS, 1, 8, 8)).astype(np.uint8)
    return Items(Dataset("by hand", ArraySource(images), LABELS, ("cat", "dog", "<b>owl</b>")), SPLIT)


@pytest.fixture
def make_run(tmp_path):
    """Makes a whole run folder; `without` names what is left out."""

    def make(name, *, seed=0, without=(), method="pts3h", **options):
        run = Run(tmp_path / name)
        run.path.mkdir(parents=True)
        config = {
            "method": method,
            "options": {"bits": BITS, "optimiser": {"lr": 0.001}, **options},
            "items": {"shape": [1, 8, 8], "classes": 3, "labelled": 6, "unlabelled": 54, "digest": "f00d"},
            "training": {"seed": seed},
            "versions": {"fasthash": "0.1.0"},
        }
        start = {
            "started": "2026-01-02T03:04:05+00:00",
            "command": ["/somewhere/bin/fasthash", "train", method],
            "versions": {"torch": "2.13.0"},
            "machine": {"system": "Linux", "processor": "a processor", "cores": 2, "gpus": []},
            "threads": 1,
            "ranks": 1,
            "git": {"commit": "c0ffee", "changed": True},
        }
        lines = [
            {
                "steps": s,
                "seconds": s / 10 if s < 40 else (s - 30) / 10,
                "stage": "train",
                "rounds": [],
                "step": s,
                "pair": 1 / s,
            }
            for s in range(10, 70, 10)
        ]
        lines.insert(3, {**lines[2], "validation_mAP": 0.75})
        del lines[3]["pair"]
        files = {
            "config.json": json.dumps(config),
            "environment.json": json.dumps([start]),
            "metrics.jsonl": "".join(json.dumps(line) + "\n" for line in lines),
            "checkpoints/60/state.json": json.dumps({"cursor": None, "best": {"score": 0.75, "steps": 30, "since": 1}}),
        }
        rows = codes(seed)
        files["report.json"] = measure(rows).to_json()
        for file, text in files.items():
            if file not in without:
                path = run.path / file
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)
        if "codes" not in without:
            run.save_codes("queries", rows[SPLIT.queries], BITS)
            run.save_codes("database", rows[SPLIT.database], BITS)
        return run.path

    return make
