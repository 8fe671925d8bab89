import os
from pathlib import Path

import pytest


@pytest.fixture
def real_data():
    """The folder of real data sets."""
    folder = os.environ.get("FASTHASH_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("FASTHASH_DATA names no folder of data sets")
    return Path(folder)
