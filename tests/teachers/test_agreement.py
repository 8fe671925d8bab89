import itertools

import pytest
import torch

from fasthash.teachers import neighbour_agreement, neighbour_table, noisy_signs


def points(n=23, d=4):
    generator = torch.Generator().manual_seed(0)
    features = torch.nn.functional.normalize(torch.randn(n, d, generator=generator))
    signs = torch.randint(-1, 2, (n, n), generator=generator, dtype=torch.int8)
    return features, neighbour_table(features, 4)[:, 1:], signs


@pytest.mark.parametrize("rows", [5, 23, 128])
def test_shares_are_those_of_loops_over_pairs_of_neighbours(rows):
    features, neighbours, signs = points()
    noisy = noisy_signs(features, features, 0.8).fill_diagonal_(-1)
    counts = dict.fromkeys(((1, 1), (1, -1), (-1, 1), (-1, -1)), 0)
    for i, j in itertools.permutations(range(23), 2):
        for a, b in itertools.product(neighbours[i].tolist(), neighbours[j].tolist()):
            if signs[i, j]:
                counts[int(signs[i, j]), int(noisy[a, b])] += 1
    near, far = (counts[sign, 1] + counts[sign, -1] for sign in (1, -1))
    blocks = {"T": signs.split(rows), "none": torch.zeros_like(signs).split(rows)}
    found = neighbour_agreement(blocks, features, neighbours, torch.tensor(0.8), rows=rows)
    assert found["T"].near == near / 9 / (23 * 22)
    assert found["T"].near_agreement == counts[1, 1] / near
    assert found["T"].far == far / 9 / (23 * 22)
    assert found["T"].far_agreement == counts[-1, -1] / far
    assert found["none"].near == 0
    assert found["none"].far_agreement != found["none"].far_agreement


def test_the_purer_of_two_sets_of_pairs_agrees_more_where_near_items_are_of_one_class():
    """Three clusters that touch: signs of their pairs, all right, and with a third of them turned."""
    generator = torch.Generator().manual_seed(0)
    classes = torch.arange(90) % 3
    x = 1.5 * torch.eye(3).repeat(1, 4)[classes] + torch.randn(90, 12, generator=generator)
    features = torch.nn.functional.normalize(x)
    right = torch.where(classes[:, None] == classes, 1, -1)
    turned = torch.where(torch.rand(90, 90, generator=generator) < 1 / 3, -right, right)
    signs = {"right": [right], "turned": [turned]}
    found = neighbour_agreement(signs, features, neighbour_table(features, 6)[:, 1:], 0.6, rows=90)
    assert found["right"].near_agreement > found["turned"].near_agreement + 0.1
    assert found["right"].far_agreement > found["turned"].far_agreement + 0.05


def test_blocks_that_do_not_fit_are_named():
    features, neighbours, signs = points()
    for blocks, shape, got in (
        (signs.split(5), r"\(8, 23\)", r"\(5, 23\)"),
        (signs[:8].split(8), r"\(8, 23\)", "None"),
        ([*signs.split(8), signs], "None", r"\(23, 23\)"),
    ):
        with pytest.raises(ValueError, match=rf"signs\['S'\] must have a block {shape}, got {got}"):
            neighbour_agreement({"S": blocks}, features, neighbours, 0.5, rows=8)
