import pytest
import torch


@pytest.fixture(autouse=True)
def one_thread():
    """Small tensors only: more threads would just wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def student():
    return torch.tensor([[0.5, 0.5], [0.5, -0.5], [-0.5, -0.5]])


@pytest.fixture
def teacher():
    return torch.tensor([[0.8, 0.8], [0.8, -0.8], [0.8, -0.8]])
