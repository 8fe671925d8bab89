import pytest
import torch

from fasthash.teachers import sign_planes, signs_at


@pytest.mark.parametrize("n", [1, 8, 13, 40])
@pytest.mark.parametrize("rows", [1, 7, 40])
def test_signs_come_back_at_any_places(n, rows):
    generator = torch.Generator().manual_seed(n)
    signs = torch.randint(-1, 2, (n, n), generator=generator, dtype=torch.int8)
    planes = sign_planes(signs.split(rows))
    assert all(plane.shape == (n, -(-n // 8)) and plane.dtype == torch.uint8 for plane in planes)
    for index in (torch.arange(n), torch.randint(n, (5,), generator=generator), torch.empty(0, dtype=torch.int64)):
        assert torch.equal(signs_at(planes, index), signs[index][:, index])


def test_no_block_is_refused():
    with pytest.raises(ValueError, match="sign_planes: blocks must be at least one, got none"):
        sign_planes(iter([]))
