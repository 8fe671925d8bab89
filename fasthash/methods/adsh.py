"""ADSH: queries by a network, database items by codes of their own, learnt in turn."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from fasthash.data import Batch, ItemSpec, Perturbation, TrainingSet
from fasthash.losses import LabelSets, SimilarityBlock, asymmetric, gram, signs, update_codes
from fasthash.methods._items import outputs_of_items
from fasthash.methods._options import check_bool, check_choice, check_count, check_range
from fasthash.methods.method import Method
from fasthash.methods.optimiser import OptimiserConfig
from fasthash.methods.plan import Cursor, Plan, Repeat, Stage
from fasthash.methods.registry import register
from fasthash.methods.state import State
from fasthash.networks import GroupHead, HashNetwork, OfLength


def sgd() -> OptimiserConfig:
    """What the releases train with: plain descent that decays all parameters."""
    return OptimiserConfig("sgd", lr=1e-3, weight_decay=5e-4, momentum=0.0, decay_all=True, schedule="constant")


@register("adsh")
@dataclass(frozen=True)
class ADSH(Method):
    """Asymmetric deep supervised hashing: a network for queries, free codes for the database.

    Jiang and Li, "Asymmetric Deep Supervised Hashing", AAAI 2018, in the form of its release (`losses.asymmetric`). The
    labelled items are the database. `outer_iters` times: some of them are drawn, the network is trained on these
    against the codes of all, and the codes of all are found anew in closed form (`losses.update_codes`). MAH does the
    same for several lengths.

    Validation, and with it `patience` and the best weights, ranks codes of the network with codes of the network, of
    the shortest length; the learnt codes, which retrieval ranks, take no part.

    Attributes:
        bits: width of the codes.
        perturbation: of the items before the network.
        gamma: weight of the quantisation.
        num_samples: items drawn in each turn, at most all.
        outer_iters: turns.
        inner_epochs: passes over the drawn items in each.
        batch_size: items a step; the last of a pass has the rest. Several processes share each batch evenly.
        optimiser: rates; its schedule runs over all turns, beside `milestones`.
        milestones: turns, from 0, after which the rates fall to a tenth.
        shuffle_inner: give the drawn items another order in each pass (the Matlab release), in place of one order.
        u_for_codes: outputs that the codes are found from: "recorded" in the last pass, each before the step of its
            batch, or "fresh" from one more pass in evaluation mode.
        sign_in_stu: take their signs in S'U (the Matlab release).
        code_sweeps: over all bits, in each turn.
        zero_sign: what a bit without preference becomes; -1, as in `pack`, or 0, as released.
        database: what stands for labelled items when a run is reported on: their own "codes", or the "network"'s.

    Raises:
        TypeError: an option of the wrong kind.
        ValueError: an unknown choice, a number out of range, or a network whose relaxation is not "tanh".

    Example:
        >>> from fasthash import methods
        >>> method = methods.create("adsh", bits=12, outer_iters=20)
    """

    perturbation: Perturbation = field(default_factory=Perturbation)
    gamma: float = 200.0
    num_samples: int = 2000
    outer_iters: int = 50
    inner_epochs: int = 3
    batch_size: int = 64
    optimiser: OptimiserConfig = field(default_factory=sgd)
    milestones: tuple[int, ...] = (10, 20, 30, 40, 50)
    shuffle_inner: bool = False
    u_for_codes: Literal["recorded", "fresh"] = "recorded"
    sign_in_stu: bool = False
    code_sweeps: int = 1
    zero_sign: Literal[-1, 0] = -1
    database: Literal["codes", "network"] = "codes"

    def __post_init__(self) -> None:
        super().__post_init__()
        name = type(self).__name__
        check_range(name, "[0, inf)", gamma=self.gamma)
        check_count(name, 1, num_samples=self.num_samples, outer_iters=self.outer_iters)
        check_count(name, 1, inner_epochs=self.inner_epochs, batch_size=self.batch_size, code_sweeps=self.code_sweeps)
        for milestone in self.milestones:
            check_count(name, 0, milestones=milestone)
        check_bool(name, shuffle_inner=self.shuffle_inner, sign_in_stu=self.sign_in_stu)
        check_choice(name, ("recorded", "fresh"), u_for_codes=self.u_for_codes)
        check_choice(name, (-1, 0), zero_sign=self.zero_sign)
        check_choice(name, ("codes", "network"), database=self.database)
        if self.network.relaxation != "tanh" or self.network.straight_through:
            raise ValueError(
                f'{name}: network.relaxation must be "tanh", not straight through, got {self.network.relaxation!r} '
                f"and {self.network.straight_through!r}"
            )

    @property
    def weights(self) -> tuple[float, ...]:
        """Weight of each length's loss."""
        return (1.0,)

    def head(self, head: nn.Module) -> GroupHead:
        """The heads of all lengths, in place of a network's own."""
        return GroupHead(head, self.code_lengths)

    def modules(self, network: nn.Module, items: ItemSpec) -> dict[str, nn.Module]:
        """The network, its head replaced by those of all lengths.

        Raises:
            TypeError: a network that is no `HashNetwork`, or whose head does not end in a linear layer.
            ValueError: one that is not relaxed by tanh.
        """
        name = type(self).__name__
        if not isinstance(network, HashNetwork):
            raise TypeError(f"{name}: network must be a HashNetwork, got {type(network).__name__}")
        if network.relaxation != "tanh" or network.straight_through:
            raise ValueError(f'{name}: network must have relaxation "tanh", got {network.relaxation!r}')
        network.head = self.head(network.head)
        return {"student": network}

    def encoder(self, modules: dict[str, nn.Module]) -> nn.Module:
        """The network, which gives the shortest codes."""
        return modules["student"]

    def of_length(self, encoder: nn.Module, length: int) -> nn.Module:
        """The network as one of this length."""
        return OfLength(cast(HashNetwork, encoder), length)

    def learnt_codes(self, tensors: Mapping[str, Tensor]) -> tuple[Tensor, dict[int, Tensor]] | None:
        """The codes of the database; None, with a warning, before the first turn has found some.

        None too where `database` is "network": the network then encodes all, as in that first turn.
        """
        if self.database == "network" or "rows" not in tensors:
            return None
        if not any(tensors[f"codes_{bits}"].any() for bits in self.code_lengths):  # 0, as `start` sets them
            warnings.warn(
                f"{type(self).__name__}: no codes of the database have been learnt yet, since the run stopped in its "
                "first turn; the network encodes all",
                stacklevel=3,
            )
            return None
        return tensors["rows"], {bits: tensors[f"codes_{bits}"] for bits in self.code_lengths}

    def plan(self, data: TrainingSet, seed: int) -> Plan:
        """`init`, then in turns `sample`, `network` and `codes`.

        Raises:
            ValueError: data without labels.
        """
        if not data.labelled or data.pairs is not None:
            got = "none" if data.pairs is None else "pairs"
            raise ValueError(f"{type(self).__name__}: data must have items with labels, got {got}")
        drawn = min(self.num_samples, data.labelled)
        batches = math.ceil(drawn / self.batch_size)
        length = self.inner_epochs * batches

        def reads(state: State, cursor: Cursor) -> Iterator[Batch]:
            index = state.tensors["index"].cpu()
            for step in range(cursor.step, length):
                turn, number = divmod(step, batches)
                order = index
                if self.shuffle_inner:
                    generator = np.random.default_rng((seed, *cursor.rounds, turn))
                    order = index[torch.from_numpy(generator.permutation(drawn))]
                part = order[number * self.batch_size : (number + 1) * self.batch_size]
                yield state.batch(part, Cursor(cursor.path, step))

        def rate(cursor: Cursor) -> float:
            (turn,) = cursor.rounds
            falls = sum(turn > milestone for milestone in self.milestones)
            return 0.1**falls * self.optimiser.rate(turn * length + cursor.step, self.outer_iters * length)

        train = Stage("network", length, reads, self.losses, optimisers={"student": self.student_optimiser}, rate=rate)
        codes = Stage("codes", run=self.find_codes, quick=True, keeps_weights=True)
        turn = [Stage("sample", run=self.sample, quick=True), train, codes]
        return [Stage("init", run=self.start, quick=True), Repeat(turn, self.outer_iters)]

    def student_optimiser(self, state: State) -> Optimizer:
        """What moves the network."""
        return self.optimiser.build(state.modules["student"])

    def start(self, state: State, cursor: Cursor) -> None:
        """Group the labels of the database, and set its codes to 0.

        Raises:
            ValueError: batches that the processes cannot share, or whose last one has too few items for batch norm.
        """
        items = state.data.labelled
        self._check_batches(min(self.num_samples, items), state)
        sets = LabelSets.of(state.data.labels[:items].to(state.device))
        state.tensors |= {"group": sets.group, "counts": sets.counts, "members": sets.members}
        state.tensors["rows"] = state.data.rows[:items].to(state.device)
        for bits in self.code_lengths:
            state.tensors[f"codes_{bits}"] = torch.zeros(items, bits, dtype=torch.int8, device=state.device)

    def _check_batches(self, drawn: int, state: State) -> None:
        last = drawn % self.batch_size or self.batch_size  # a pass ends with the rest
        sizes = {min(drawn, self.batch_size), last}
        got = (
            f"got num_samples {self.num_samples} of {state.data.labelled} labelled items and "
            f"batch_size {self.batch_size}, which leave a last batch of {last}"
        )
        if any(size % state.ranks for size in sizes):
            raise ValueError(
                f"{type(self).__name__}: num_samples and batch_size must give batches in multiples of {state.ranks} "
                f"processes, {got}"
            )
        norms = (m for m in state.modules["student"].modules() if isinstance(m, nn.BatchNorm1d) and m.training)
        if min(sizes) == state.ranks and next(norms, None) is not None:
            raise ValueError(
                f"{type(self).__name__}: num_samples and batch_size must give each process batches of at least 2 items "
                f"for batch norm, {got}"
            )

    def sample(self, state: State, cursor: Cursor) -> None:
        """Draw items, and take the sums of codes that their losses need."""
        tensors, items = state.tensors, state.data.labelled
        drawn = torch.randperm(items, generator=state.generator("sample"), device=state.device)
        tensors["index"] = drawn[: self.num_samples].clone()
        tensors["place"] = torch.full_like(drawn, -1)
        tensors["place"][tensors["index"]] = torch.arange(len(tensors["index"]), device=state.device)
        block = SimilarityBlock.of(self.sets(state), tensors["index"])
        tensors["ratio"], tensors["norms"] = block.ratio, block.squared_norms()
        pulls = block.times(torch.cat([tensors[f"codes_{bits}"] for bits in self.code_lengths], 1))
        for bits, pull in zip(self.code_lengths, pulls.split(self.code_lengths, 1), strict=True):
            tensors[f"gram_{bits}"], tensors[f"pull_{bits}"] = gram(tensors[f"codes_{bits}"]), pull
            tensors[f"outputs_{bits}"] = torch.zeros(len(tensors["index"]), bits, device=state.device)

    def sets(self, state: State) -> LabelSets:
        """The labels of the database."""
        return LabelSets(*(state.tensors[name] for name in ("group", "counts", "members")))

    def block(self, state: State) -> SimilarityBlock:
        """Similarities of the drawn items to all."""
        return SimilarityBlock(self.sets(state), state.tensors["index"], state.tensors["ratio"])

    def losses(self, state: State, batch: Batch, cursor: Cursor) -> dict[str, Tensor]:
        """The weighted loss of each length; the outputs are recorded."""
        tensors, losses = state.tensors, {}
        place = tensors["place"][batch.index]
        outputs = self.outputs(state, batch)
        for bits, weight, u in zip(self.code_lengths, self.weights, outputs, strict=True):
            tensors[f"outputs_{bits}"][place] = u.detach().float()
            known = tensors[f"pull_{bits}"][place], tensors["norms"][place], tensors[f"codes_{bits}"][batch.index]
            loss = asymmetric(u, tensors[f"gram_{bits}"], *known, items=state.data.labelled, gamma=self.gamma)
            losses[f"asymmetric_{bits}"] = weight * loss
        return losses | self.among_lengths(outputs)

    def among_lengths(self, outputs: list[Tensor]) -> dict[str, Tensor]:
        """More weighted terms, of the outputs of all lengths."""
        return {}

    def outputs(self, state: State, batch: Batch) -> list[Tensor]:
        """Outputs (B, length) of the whole batch for each length, from short to long."""
        network = cast(HashNetwork, state.modules["student"])
        with state.drawing_from("student") as generator:
            logits = self.logits(network, self.perturbation(batch.x, generator))
        return [state.gather(torch.tanh(z)) for z in logits]

    def logits(self, network: HashNetwork, x: Tensor) -> list[Tensor]:
        """(n, ...) -> (n, length) of each length."""
        return cast(GroupHead, network.head).logits(network.features(x))

    def find_codes(self, state: State, cursor: Cursor) -> None:
        """The codes of the database from the outputs of the drawn items."""
        if self.u_for_codes == "fresh":
            self.record_afresh(state)
        tensors, block = state.tensors, self.block(state)
        outputs = [tensors[f"outputs_{bits}"] for bits in self.code_lengths]
        pulls = block.transposed_times(torch.cat([signs(u) if self.sign_in_stu else u for u in outputs], 1))
        for bits, u, pull in zip(self.code_lengths, outputs, pulls.split(self.code_lengths, 1), strict=True):
            tensors[f"codes_{bits}"] = update_codes(
                tensors[f"codes_{bits}"],
                u,
                block,
                gamma=self.gamma,
                sweeps=self.code_sweeps,
                zero=self.zero_sign,
                pull=pull,
            )

    @torch.no_grad()
    def record_afresh(self, state: State) -> None:
        """Take the outputs of all drawn items in evaluation mode."""
        network = cast(HashNetwork, state.modules["student"])

        def together(x: Tensor) -> Tensor:
            return torch.cat([torch.tanh(z) for z in self.logits(network, x)], 1)

        outputs = outputs_of_items(state, network, together, state.tensors["index"])
        for bits, u in zip(self.code_lengths, outputs.split(self.code_lengths, 1), strict=True):
            state.tensors[f"outputs_{bits}"] = u.contiguous()
