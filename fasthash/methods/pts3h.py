"""In the spirit of PTS3H: a student learns labelled pairs, and from its averaged self the distances of all pairs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, cast

import torch
from torch import Tensor, nn

from fasthash.data import Batch, ItemSpec
from fasthash.losses import (
    draw_columns,
    graph_contrastive,
    label_similarity,
    neighbour_consistency,
    pair_consistency,
    pairwise_likelihood,
    point_consistency,
    row_similarity,
)
from fasthash.methods._options import check_choice, check_count, check_range
from fasthash.methods.dpsh import DPSH
from fasthash.methods.registry import register
from fasthash.methods.state import State
from fasthash.ops import pack
from fasthash.teachers import CodeBank, EMATeacher, pseudo_similarity, rampup_weight, similarity_thresholds


@dataclass(frozen=True)
class TeacherGraph:
    """What a teacher's codes, and labels where they are known, say of a batch of B items.

    Attributes:
        similar, known: bool (B, B), pairs within the batch.
        outputs: (B, k, bits) of -1 and +1, neighbours of each item in the bank; None without a bank.
        near, decided: bool (B, k), which of them are similar, and for which that is known.
    """

    similar: Tensor
    known: Tensor
    outputs: Tensor | None = None
    near: Tensor | None = None
    decided: Tensor | None = None


@register("pts3h")
@dataclass(frozen=True)
class PTS3H(DPSH):
    """Pairwise teacher-student network for semi-supervised hashing.

    In the spirit of PTS3H, Zhang, Li and Zhang, "Pairwise Teacher-Student Network for Semi-Supervised Hashing", CVPR
    workshops 2019. No code was ever released and every formula is reconstructed: set no result of it beside the
    paper's. L = L_sup + w(t) (g_pair L_pair + g_point L_point + g_graph L_graph + g_nb L_nb); the teacher is the
    running mean of the student. With w_max = 0 the student is the one of `DPSH`, bit for bit (unless q_unlabelled).
    Student and teacher must not see the same: give items several views, a `perturbation`, or `network.dropout`.

    Attributes:
        pair: "distance" or "sigmoid", what the consistency of pairs compares.
        w_max: weight of all terms without labels after the ramp; None = 20 for "distance", 1 for "sigmoid".
        ramp: share of the epochs in which w rises; it is 0 in the first epoch, whose steps are those of `DPSH`.
        g_pair, g_point, g_graph, g_nb: weights of pair consistency, point consistency (plain Mean Teacher), the
            teacher's pseudo-similar pairs, and neighbour profiles.
        graph: pairs are pseudo-similar by the "threshold" `near`, or as "knn", one among the k nearest of the other.
        graph_scope: where near items are looked for: "batch", or "bank" = the k nearest of the teacher's codes of all
            training items, rewritten as items pass; they enter as constants of -1 and +1.
        k: neighbours an item, for "knn" and for the bank.
        near, far: pairs are pseudo-similar up to this share of the bits, dissimilar from that share on.
        graph_loss: for the pseudo-pairs, "margin" (contrastive) or "likelihood" (the form of the supervised term, with
            products scaled down to those of 16 bits).
        graph_margin: of "margin": pairs that are not similar are pushed up to this distance, sqrt(D) of at most 1.
        ema_ramp, ema_max: largest decay of the teacher during the ramp and after it.
        q_unlabelled: quantisation of all items, not of the labelled ones only.
        encode_with: whose codes count after training, "teacher" or "student".

    Raises:
        TypeError: an option of the wrong kind.
        ValueError: an unknown choice, or a number out of range.

    Example:
        >>> from fasthash import methods
        >>> method = methods.create("pts3h", bits=48, g_graph=1.0, graph_loss="likelihood")
    """

    pair: Literal["distance", "sigmoid"] = "distance"
    w_max: float | None = None
    ramp: float = 0.3
    g_pair: float = 1.0
    g_point: float = 0.0
    g_graph: float = 0.0
    g_nb: float = 0.0
    graph: Literal["threshold", "knn"] = "threshold"
    graph_scope: Literal["batch", "bank"] = "batch"
    k: int = 8
    near: float = 0.15
    far: float = 0.40
    graph_loss: Literal["margin", "likelihood"] = "margin"
    graph_margin: float = 0.75
    ema_ramp: float = 0.99
    ema_max: float = 0.999
    q_unlabelled: bool = False
    encode_with: Literal["teacher", "student"] = "teacher"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("PTS3H", ("distance", "sigmoid"), pair=self.pair)
        check_choice("PTS3H", ("threshold", "knn"), graph=self.graph)
        check_choice("PTS3H", ("batch", "bank"), graph_scope=self.graph_scope)
        check_choice("PTS3H", ("margin", "likelihood"), graph_loss=self.graph_loss)
        check_choice("PTS3H", ("teacher", "student"), encode_with=self.encode_with)
        check_range("PTS3H", "[0, inf)", w_max=self.w_max, g_pair=self.g_pair, g_point=self.g_point)
        check_range("PTS3H", "[0, inf)", g_graph=self.g_graph, g_nb=self.g_nb, graph_margin=self.graph_margin)
        check_range("PTS3H", "[0, 1]", ramp=self.ramp, near=self.near, far=self.far)
        check_range("PTS3H", "[0, 1)", ema_ramp=self.ema_ramp, ema_max=self.ema_max)
        check_count("PTS3H", 1, k=self.k)
        similarity_thresholds(self.bits, self.near, self.far)

    def modules(self, network: nn.Module, items: ItemSpec) -> dict[str, nn.Module]:
        """Student and teacher."""
        return {"student": network, "teacher": EMATeacher(network, decay_max=self.ema_ramp)}

    def encoder(self, modules: dict[str, nn.Module]) -> nn.Module:
        """The network that `encode_with` names."""
        return modules[self.encode_with]

    def losses(self, state: State, batch: Batch, epoch: float) -> dict[str, Tensor]:
        """The weighted terms of one step, by name; `epoch` counts passes done."""
        w = rampup_weight(epoch, self.ramp * self.epochs, self.weight)
        if not w and not self.q_unlabelled:
            # The step of the baseline; terms of weight 0 are named all the same.
            losses = super().losses(state, batch, epoch)
            zero = next(iter(losses.values())).new_zeros(())
            return losses | {name: zero for name, weight in self.terms.items() if weight}
        u = self.both_streams(state, batch, "student", 0)
        losses = self.supervised(u[: batch.labelled], batch.labels[: batch.labelled], batch.pair_similarity())
        if self.q_unlabelled:
            losses["quantization"] = self.rounding(u)
        v = self.both_streams(state, batch, "teacher", 1)
        if self.g_pair:
            losses["pair"] = w * self.g_pair * pair_consistency(u, v, kind=self.pair)
        if self.g_point:
            losses["point"] = w * self.g_point * point_consistency(u, v)
        if self.g_graph or self.g_nb:
            graph = self.teacher_graph(state, batch, v)
            if self.g_graph:
                losses["graph"] = w * self.g_graph * self.graph_term(u, graph)
            if self.g_nb:
                losses["neighbour"] = w * self.g_nb * self.neighbour_term(state, u, v, graph)
        return losses

    @property
    def terms(self) -> dict[str, float]:
        """Names and weights of the terms without labels."""
        return {"pair": self.g_pair, "point": self.g_point, "graph": self.g_graph, "neighbour": self.g_nb}

    def both_streams(self, state: State, batch: Batch, module: str, view: int) -> Tensor:
        """Outputs (B, bits) of all items of the batch in one of its views, gathered from all processes."""
        outputs = self.forward(state, module, batch.views[min(view, len(batch.views) - 1)], module)
        return self.gathered(state, batch, outputs)

    @property
    def weight(self) -> float:
        """`w_max`, or its rule."""
        return self.w_max if self.w_max is not None else {"distance": 20.0, "sigmoid": 1.0}[self.pair]

    def teacher_graph(self, state: State, batch: Batch, v: Tensor) -> TeacherGraph:
        """The graph on the codes of the teacher's outputs v (B, bits)."""
        codes, bank_scope = pack(v), self.graph_scope == "bank"
        k = self.k if self.graph == "knn" and not bank_scope else None
        similar, known = pseudo_similarity(codes, self.bits, near=self.near, far=self.far, k=k, labels=batch.labels)
        given = torch.zeros_like(known)
        given[: batch.labelled, : batch.labelled] = label_similarity(batch.labels[: batch.labelled])[1]
        pairs = batch.pair_similarity()
        if pairs is not None:
            # What is known of pairs overrules the codes, as labels do.
            given[: batch.labelled, : batch.labelled] = pairs[1]
            known |= given
            similar[given] = pairs[0][pairs[1]]
        if not bank_scope:
            return TeacherGraph(similar, known)
        # Near items come from the bank; the batch gives the far ones, and those that supervision decides.
        known &= ~similar | given
        bank = CodeBank(state.tensors, len(state.data), self.bits, v.device)
        bank.write(batch.index, codes)
        distance, rows = bank.nearest(codes, self.k, exclude=batch.index)
        near = rows >= 0
        if self.graph == "threshold":
            near &= distance <= similarity_thresholds(self.bits, self.near, self.far)[0]
        theirs = state.data.labels.to(rows.device)[rows.clamp(min=0)]
        by_label, labelled = row_similarity(batch.labels, theirs)
        by_pair, paired = state.data.known_pairs(batch.index[:, None].expand_as(rows), rows.clamp(min=0))
        decided = (labelled | paired) & (rows >= 0)
        told = torch.where(paired, by_pair, by_label)
        return TeacherGraph(similar, known, bank.outputs(rows), torch.where(decided, told, near), near | decided)

    def graph_term(self, u: Tensor, graph: TeacherGraph) -> Tensor:
        """L_graph of outputs u (B, bits): the mean over all pairs that are known."""
        term = self._graph_loss(u, graph.similar, graph.known, None)
        if graph.outputs is None or graph.near is None or graph.decided is None:
            return term
        of_bank = self._graph_loss(u, graph.near, graph.decided, graph.outputs)
        pairs = graph.known.sum() - graph.known.diagonal().sum()
        decided = graph.decided.sum()
        return (term * pairs + of_bank * decided) / (pairs + decided).clamp(min=1)

    def _graph_loss(self, u: Tensor, similar: Tensor, known: Tensor, second: Tensor | None) -> Tensor:
        if self.graph_loss == "margin":
            return graph_contrastive(u, similar, known, second, margin=self.graph_margin)
        return pairwise_likelihood(u, similar, second, mask=known, scale=self.scale)

    def neighbour_term(self, state: State, u: Tensor, v: Tensor, graph: TeacherGraph) -> Tensor:
        """L_nb of outputs u (B, bits), with one neighbour of each item drawn from its row of the graph."""
        generator = state.generator("neighbours")
        if graph.outputs is None or graph.near is None:
            return neighbour_consistency(u, v, draw_columns(graph.similar, generator=generator))
        drawn = draw_columns(graph.near, generator=generator)
        rows = torch.arange(len(u), device=u.device)
        # An item without a near one is its own, as every item is within the batch.
        neighbours = torch.where(drawn[:, None] >= 0, graph.outputs[rows, drawn.clamp(min=0)], v)
        return neighbour_consistency(u, v, neighbours)

    def after_step(self, state: State, step: int, epoch_length: float) -> None:
        """The teacher moves towards the student."""
        teacher = cast(EMATeacher, state.modules["teacher"])
        teacher.decay_max = self.ema_ramp if step < self.ramp * self.epochs * epoch_length else self.ema_max
        teacher.update(state.modules["student"], step)
