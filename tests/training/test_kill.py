import subprocess
import sys
from pathlib import Path

import pytest
from run_helpers import final_state, same_weights, without_times

from fasthash.training import Run
from fasthash.training.checkpoint import BEST


@pytest.mark.slow
def test_killed_ten_times_it_resumes_and_ends_the_same_bit_for_bit(tmp_path):
    """Teacher, running mean, AdamW, dropout, validation; at random moments, and while checkpoints are written."""
    script = Path(__file__).with_name("kill.py")
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path)], capture_output=True, text=True, timeout=280, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    kills = done.stdout.splitlines()
    assert len(kills) == 10
    assert any(".tmp" in line for line in kills)
    whole, parts = Run(tmp_path / "whole"), Run(tmp_path / "parts")
    assert parts.finished
    assert len(parts.environment()) > 5
    assert without_times(parts) == without_times(whole)
    assert parts.best == whole.best
    assert same_weights(parts, whole)
    assert same_weights(parts, whole, BEST)
    (expected, rest), (tensors, rest_of_parts) = final_state(whole), final_state(parts)
    assert expected.keys() == tensors.keys()
    assert all((expected[key] == tensors[key]).all() for key in expected)
    assert rest["random"] == rest_of_parts["random"]
    # Nothing of the killed processes is left.
    assert [path.name for path in parts.checkpoints.iterdir()] == [max(p.name for p in parts.checkpoints.iterdir())]
