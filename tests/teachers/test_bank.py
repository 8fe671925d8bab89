import torch

from fasthash.ops import hamming_distance, pack
from fasthash.teachers import CodeBank


def codes(n, bits=12, seed=0):
    return pack(torch.randn(n, bits, generator=torch.Generator().manual_seed(seed)))


def test_only_rows_that_were_written_are_found():
    tensors = {}
    bank = CodeBank(tensors, items=20, bits=12)
    queries = codes(4, seed=1)
    assert (bank.nearest(queries, 3)[1] == -1).all()
    index = torch.tensor([7, 2, 11, 19])
    bank.write(index, codes(4))
    distances, rows = bank.nearest(queries, 5)
    assert [sorted(row) for row in rows.tolist()] == [[-1, 2, 7, 11, 19]] * 4
    expected = hamming_distance(queries, codes(4)).sort(1).values
    assert torch.equal(distances[:, :4], expected)
    bank.write(torch.tensor([2]), queries[:1])
    assert bank.nearest(queries[:1], 1)[1].tolist() == [[2]]
    assert bank.nearest(queries[:1], 1, exclude=torch.tensor([2]))[1].tolist() != [[2]]


def test_the_last_of_repeated_rows_counts():
    """Also on a device that writes in another order, such as from the end."""

    class Backwards(torch.Tensor):
        def __setitem__(self, index, value):
            super().__setitem__(index.flip(0), value.flip(0) if isinstance(value, torch.Tensor) else value)

    tensors = {}
    bank = CodeBank(tensors, items=40, bits=12)
    bank.codes = bank.codes.as_subclass(Backwards)
    index = torch.randint(0, 40, (200,), generator=torch.Generator().manual_seed(0))
    written = codes(200)
    bank.write(index, written)
    last = {row: place for place, row in enumerate(index.tolist())}
    assert len(last) < 200
    for row, place in last.items():
        assert torch.equal(tensors["bank"][row], written[place])
    bank.write(index[:0], written[:0])


def test_it_lies_in_the_tensors_it_was_given():
    tensors = {}
    CodeBank(tensors, items=3, bits=48).write(torch.tensor([1]), codes(1, 48))
    assert {name: tuple(t.shape) for name, t in tensors.items()} == {"bank": (3, 6), "bank_seen": (3,)}
    again = CodeBank(tensors, items=3, bits=48)
    assert again.nearest(codes(1, 48), 1)[1].tolist() == [[1]]


def test_outputs_are_plus_and_minus_one_and_zero_for_no_row():
    bank = CodeBank({}, items=2, bits=12)
    z = torch.randn(2, 12, generator=torch.Generator().manual_seed(0))
    bank.write(torch.arange(2), pack(z))
    outputs = bank.outputs(torch.tensor([1, -1, 0]))
    assert torch.equal(outputs, torch.stack([z[1].sign(), torch.zeros(12), z[0].sign()]))
