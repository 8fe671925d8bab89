"""The device functions of the emulation, one by one, against plain formulas; and the matrix instruction."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import numpy as np
import pytest

THREADS, LANES = 64, 32
LOW = 2**32 - 1
# The masks split a warp into groups that meet apart.
MASKS = (LOW, 0x0000FFFF, 0xF0F0F0F0)

# What a thread gets, from the operands of all: of(i, a, b, c) for thread i.
Formula = Callable[[int, list[int], list[int], list[int]], int]


def signed(x: int, bits: int = 32) -> int:
    x &= 2**bits - 1
    return x - 2**bits if x >> (bits - 1) else x


def group(i: int, c: list[int]) -> list[int]:
    """The threads that meet thread i: those of its warp that its mask names."""
    return [i // LANES * LANES + lane for lane in range(LANES) if c[i] >> lane & 1]


def over_group(combine: Callable[[list[int]], int], bits: int = 32) -> Formula:
    return lambda i, a, b, c: combine([a[j] & 2**bits - 1 for j in group(i, c)])


def of_one(function: Callable[[int, int, int], int]) -> Formula:
    return lambda i, a, b, c: function(a[i], b[i], c[i])


def lanes_where(condition: Callable[[int], bool], i: int, c: list[int]) -> int:
    return sum(1 << j % LANES for j in group(i, c) if condition(j))


def folded(operator: str) -> Callable[[list[int]], int]:
    def fold(values: list[int]) -> int:
        result = values[0]
        for value in values[1:]:
            result = {"&": result & value, "|": result | value, "^": result ^ value}[operator]
        return result

    return fold


def match_all(i: int, a: list[int], b: list[int], c: list[int]) -> int:
    same = len({a[j] for j in group(i, c)}) == 1
    return c[i] << 1 | 1 if same else 0


def shuffled(source: Callable[[int, int, int], int | None]) -> Formula:
    """source(lane, operand, width): the lane read, None = the thread's own."""

    def result(i: int, a: list[int], b: list[int], c: list[int]) -> int:
        lane = source(i % LANES, b[i], c[i])
        return a[i] if lane is None else a[i // LANES * LANES + lane]

    return result


def within(source: int, low: int, high: int) -> int | None:
    return source if low <= source < high else None


def atomic(bits: int, new: Callable[[int, int], int], is_signed: bool = False) -> Formula:
    def result(a: int, b: int, c: int) -> int:
        view = (lambda x: signed(x, bits)) if is_signed else (lambda x: x & 2**bits - 1)
        total = 3 * view(a) + view(new(view(a), view(b)))
        # A 32-bit result is widened as its type is.
        return signed(total, bits) & 2**64 - 1 if is_signed else total & 2**bits - 1

    return of_one(result)


def float_operation(function: Callable[[np.float32, np.float32], np.float32]) -> Formula:
    def result(a: int, b: int, c: int) -> int:
        x, y = np.array([a & LOW, b & LOW], np.uint32).view(np.float32)
        return int(np.float32(function(x, y)).view(np.uint32))

    return of_one(result)


def byte_perm(x: int, y: int, selector: int) -> int:
    source = (x & LOW | (y & LOW) << 32).to_bytes(8, "little")
    picked = []
    for i in range(4):
        choice = selector >> 4 * i & 15
        byte = source[choice & 7]
        picked.append((0xFF if byte & 0x80 else 0) if choice & 8 else byte)
    return int.from_bytes(bytes(picked), "little")


def leading_zeros(x: int, bits: int) -> int:
    return bits - (x & 2**bits - 1).bit_length()


def first_set(x: int, bits: int) -> int:
    x &= 2**bits - 1
    return (x & -x).bit_length()


def reversed_bits(x: int) -> int:
    return int(f"{x & LOW:032b}"[::-1], 2)


def joined(a: int, b: int) -> int:
    return (b & LOW) << 32 | a & LOW


VOTES: dict[str, Formula] = {
    "__ballot_sync": lambda i, a, b, c: lanes_where(lambda j: a[j] & 1 == 1, i, c),
    "__any_sync": lambda i, a, b, c: int(any(a[j] & LOW for j in group(i, c))),
    "__all_sync": lambda i, a, b, c: int(all(a[j] & LOW for j in group(i, c))),
    "__match_any_sync": lambda i, a, b, c: lanes_where(lambda j: a[j] == a[i], i, c),
    "__match_all_sync": match_all,
    "__reduce_add_sync": over_group(lambda values: sum(values) & LOW),
    "__reduce_min_sync": over_group(min),
    "__reduce_max_sync": over_group(max),
    "__reduce_min_sync<int>": over_group(lambda values: min(map(signed, values)) & LOW),
    "__reduce_and_sync": over_group(folded("&")),
    "__reduce_or_sync": over_group(folded("|")),
    "__reduce_xor_sync": over_group(folded("^")),
}
BARRIERS: dict[str, Formula] = {
    "__syncthreads_count": lambda i, a, b, c: sum(x & 1 for x in a),
    "__syncthreads_or": lambda i, a, b, c: int(any(x & LOW for x in a)),
    "__syncthreads_and": lambda i, a, b, c: int(all(x & LOW for x in a)),
}
SHUFFLES: dict[str, Formula] = {
    "__shfl_sync": shuffled(lambda lane, b, width: lane // width * width + b % width),
    "__shfl_up_sync": shuffled(lambda lane, b, width: within(lane - b, lane // width * width, LANES)),
    "__shfl_down_sync": shuffled(lambda lane, b, width: within(lane + b, 0, lane // width * width + width)),
    "__shfl_xor_sync": shuffled(lambda lane, b, width: within(lane ^ b, 0, lane // width * width + width)),
}
ELEMENTWISE: dict[str, Formula] = {
    "atomicAdd<uint32_t>": atomic(32, lambda old, b: old + b),
    "atomicAdd<uint64_t>": atomic(64, lambda old, b: old + b),
    "atomicSub<uint32_t>": atomic(32, lambda old, b: old - b),
    "atomicMin<uint64_t>": atomic(64, min),
    "atomicMin<int32_t>": atomic(32, min, True),
    "atomicMax<uint64_t>": atomic(64, max),
    "atomicMax<int32_t>": atomic(32, max, True),
    "atomicAnd<uint64_t>": atomic(64, lambda old, b: old & b),
    "atomicOr<uint64_t>": atomic(64, lambda old, b: old | b),
    "atomicXor<uint64_t>": atomic(64, lambda old, b: old ^ b),
    "atomicExch<uint64_t>": atomic(64, lambda old, b: b),
    "atomicInc<uint32_t>": atomic(32, lambda old, b: 0 if old >= b else old + 1),
    "atomicCAS": of_one(lambda a, b, c: (3 * a + (c if a == b else a)) % 2**64),
    "__ldg": of_one(lambda a, b, c: a),
    "__ldcs": of_one(lambda a, b, c: a),
    "__stcs": of_one(lambda a, b, c: b),
    "__popc": of_one(lambda a, b, c: (a & LOW).bit_count()),
    "__popcll": of_one(lambda a, b, c: a.bit_count()),
    "__clz": of_one(lambda a, b, c: leading_zeros(a, 32)),
    "__clzll": of_one(lambda a, b, c: leading_zeros(a, 64)),
    "__ffs": of_one(lambda a, b, c: first_set(a, 32)),
    "__ffsll": of_one(lambda a, b, c: first_set(a, 64)),
    "__brev": of_one(lambda a, b, c: reversed_bits(a)),
    "__byte_perm": of_one(byte_perm),
    "__funnelshift_l": of_one(lambda a, b, c: joined(a, b) << c % 32 >> 32 & LOW),
    "__funnelshift_r": of_one(lambda a, b, c: joined(a, b) >> c % 32 & LOW),
    "__umulhi": of_one(lambda a, b, c: (a & LOW) * (b & LOW) >> 32),
    "make_uint2": of_one(lambda a, b, c: joined(a, b)),
    "make_uint4": of_one(lambda a, b, c: (a & LOW) + (b & LOW)),
    "make_ulonglong2": of_one(lambda a, b, c: a ^ 3 * b % 2**64),
    "__float_as_uint": of_one(lambda a, b, c: a & LOW),
    "__fadd_rn": float_operation(lambda x, y: x + y),
    "__fmul_rn": float_operation(lambda x, y: x * y),
}
EDGES = np.array([0, 1, 2, LOW, 2**31, 2**32, 2**63, 2**64 - 1], np.uint64)


def check(emulated: ModuleType, name: str, formula: Formula, *operands: np.ndarray) -> None:
    words = [np.ascontiguousarray(operand, np.uint64) for operand in operands]
    out = np.zeros(THREADS, np.uint64)
    getattr(emulated.primitives, name)(*(array.ctypes.data for array in (*words, out)))
    lists = [array.tolist() for array in words]
    assert out.tolist() == [formula(i, *lists) for i in range(THREADS)]


def words(rng: np.random.Generator, kind: str) -> np.ndarray:
    """64 words: of all lengths, small ones of which many are equal, or the same everywhere."""
    if kind == "long":
        return rng.integers(0, 2**64, THREADS, np.uint64) >> rng.integers(0, 64, THREADS, np.uint64)
    if kind == "edges":
        return rng.permutation(np.resize(EDGES, THREADS))
    return rng.integers(0, 3, THREADS if kind == "small" else 1, np.uint64).repeat(1 if kind == "small" else THREADS)


def test_every_primitive_is_tested(emulated: ModuleType) -> None:
    named = set(dir(emulated.primitives)) - {"__doc__", "__file__", "__loader__", "__name__", "__package__", "__spec__"}
    assert named == {*VOTES, *BARRIERS, *SHUFFLES, *ELEMENTWISE}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", VOTES)
def test_votes_and_reductions(emulated: ModuleType, name: str, seed: int) -> None:
    emulated.set_seed(seed)
    rng = np.random.default_rng(seed)
    for first in MASKS:  # the lanes outside the mask meet by themselves
        mask = [first if first >> i % LANES & 1 else first ^ LOW for i in range(THREADS)]
        for kind in ("long", "edges", "small", "same"):
            check(emulated, name, VOTES[name], words(rng, kind), words(rng, "long"), np.array(mask))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", BARRIERS)
def test_barriers_that_count(emulated: ModuleType, name: str, seed: int) -> None:
    emulated.set_seed(seed)
    rng = np.random.default_rng(seed)
    for a in (words(rng, "small"), words(rng, "long") | np.uint64(1), words(rng, "same"), np.zeros(THREADS)):
        check(emulated, name, BARRIERS[name], a, words(rng, "long"), words(rng, "long"))


@pytest.mark.parametrize("width", [2, 8, 32])
@pytest.mark.parametrize("name", SHUFFLES)
def test_shuffles(emulated: ModuleType, name: str, width: int) -> None:
    emulated.set_seed(1)
    rng = np.random.default_rng(width)
    for operand in range(LANES):
        check(emulated, name, SHUFFLES[name], words(rng, "long"), np.full(THREADS, operand), np.full(THREADS, width))
    if name == "__shfl_sync":
        check(emulated, name, SHUFFLES[name], words(rng, "long"), rng.integers(0, 32, THREADS), np.full(THREADS, width))


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_functions_of_one_thread(emulated: ModuleType, name: str) -> None:
    rng = np.random.default_rng(0)
    for kinds in (("long", "long"), ("edges", "long"), ("long", "edges"), ("small", "small"), ("edges", "edges")):
        a, b = (words(rng, kind) for kind in kinds)
        if name in ("__fadd_rn", "__fmul_rn", "__float_as_uint"):
            a, b = (rng.standard_normal(THREADS).astype(np.float32).view(np.uint32) for _ in kinds)
        check(emulated, name, ELEMENTWISE[name], a, b, words(rng, "long"))


def matrix_product(bits: int, a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    """What each lane holds of C + A and B, element by element, as PTX documents the fragments of mma.m16n8k256 and .b1.

    a (32, registers, 32) and b likewise hold bits. With g = lane / 4 and t = lane % 4: element i of A, 32 in register
    i / 32, is row g (registers 0, 2) or g + 8 (1, 3), column 32 t + i % 32, plus 128 in registers 2 and 3; element i of
    B is row 32 t + i % 32, plus 128 in register 1, of column g; element i of C is row g (i < 2) or g + 8, column
    2 t + i % 2.
    """
    rows, columns = np.zeros((16, bits), bool), np.zeros((bits, 8), bool)
    for lane in range(LANES):
        g, t = divmod(lane, 4)
        for register in range(a.shape[1]):
            for bit in range(32):
                rows[g + 8 * (register % 2), 32 * t + bit + 128 * (register // 2)] = a[lane, register, bit]
        for register in range(b.shape[1]):
            for bit in range(32):
                columns[32 * t + bit + 128 * register, g] = b[lane, register, bit]
    d = c.copy()
    for lane in range(LANES):
        g, t = divmod(lane, 4)
        for i in range(4):
            row, column = g + 8 * (i // 2), 2 * t + i % 2
            d[lane, i] += sum(bool(rows[row, k] and columns[k, column]) for k in range(bits))
    return d


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("bits", [128, 256])
def test_matrix_instruction(emulated: ModuleType, bits: int, seed: int) -> None:
    emulated.set_seed(seed)
    rng = np.random.default_rng([bits, seed])
    a, b = (rng.random((LANES, bits // per, 32)) < 0.4 for per in (64, 128))
    packed = [np.packbits(x, axis=-1, bitorder="little").view(np.uint32).reshape(LANES, -1) for x in (a, b)]
    c, d = rng.integers(-1000, 1000, (LANES, 4), np.int32), np.zeros((LANES, 4), np.int32)
    expected = matrix_product(bits, a, b, c)
    arguments = [array.ctypes.data for array in (*packed, c, d)]
    emulated.b1_mma(bits, *arguments, False)
    np.testing.assert_array_equal(d, expected)
    emulated.b1_mma(bits, *arguments, True)  # two lanes bring each other's words
    assert not np.array_equal(d, expected)
