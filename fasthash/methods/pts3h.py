"""In the spirit of PTS3H: a student learns labelled pairs, and from its averaged self the distances of all pairs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, cast

import torch
from torch import Tensor, nn

from fasthash.data import Batch, ItemSpec
from fasthash.losses import graph_contrastive, pair_consistency, pairwise_likelihood, point_consistency
from fasthash.methods.dpsh import DPSH
from fasthash.methods.registry import register
from fasthash.methods.state import State
from fasthash.ops import pack
from fasthash.teachers import EMATeacher, pseudo_similarity, rampup_weight


@register("pts3h")
@dataclass(frozen=True)
class PTS3H(DPSH):
    """Pairwise teacher-student network for semi-supervised hashing.

    In the spirit of PTS3H, Zhang, Li and Zhang, "Pairwise Teacher-Student Network for Semi-Supervised Hashing", CVPR
    workshops 2019. No code was ever released and every formula is reconstructed: set no result of it beside the
    paper's. L = L_sup + w(t) (g_pair L_pair + g_point L_point + g_graph L_graph); the teacher is the running mean of
    the student. With w_max = 0 the student is the one of `DPSH`, bit for bit.

    Attributes:
        pair: "distance" or "sigmoid", what the consistency of pairs compares.
        w_max: weight of all terms without labels after the ramp; None = 20 for "distance", 1 for "sigmoid".
        ramp: share of the epochs in which w rises; it is 0 in the first epoch.
        g_pair, g_point, g_graph: weights of pair consistency, point consistency (plain Mean Teacher) and the teacher's
            pseudo-similar pairs.
        graph_loss: for the pseudo-pairs, "margin" (contrastive) or "likelihood" (the form of the supervised term, with
            products scaled down to those of 16 bits).
        near, far: pairs are pseudo-similar up to this share of the bits, dissimilar from that share on.
        ema_ramp, ema_max: largest decay of the teacher during the ramp and after it.
        encode_with: whose codes count after training, "teacher" or "student".

    Raises:
        ValueError: an unknown sup, pair, graph_loss or encode_with.

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
    graph_loss: Literal["margin", "likelihood"] = "margin"
    near: float = 0.15
    far: float = 0.40
    ema_ramp: float = 0.99
    ema_max: float = 0.999
    encode_with: Literal["teacher", "student"] = "teacher"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_choice(
            pair=("distance", "sigmoid"), graph_loss=("margin", "likelihood"), encode_with=("teacher", "student")
        )

    def modules(self, network: nn.Module, items: ItemSpec) -> dict[str, nn.Module]:
        """Student and teacher."""
        return {"student": network, "teacher": EMATeacher(network, decay_max=self.ema_ramp)}

    def encoder(self, modules: dict[str, nn.Module]) -> nn.Module:
        """The network that `encode_with` names."""
        return modules[self.encode_with]

    def losses(self, state: State, batch: Batch, epoch: float) -> dict[str, Tensor]:
        """The weighted terms of one step, by name; `epoch` counts passes done."""
        # The labelled items go through first and alone, as in the baseline: what the others draw cannot reach them.
        u = state.gather(self.forward(state, "student", batch.labelled_x(), "labelled"))
        losses = self.supervised(u, batch.labels[: batch.labelled])
        u = torch.cat([u, state.gather(self.forward(state, "student", batch.unlabelled_x(), "unlabelled"))])
        parts = (batch.labelled_x(view=1), batch.unlabelled_x(view=1))
        v = self.forward(state, "teacher", torch.cat(parts), "teacher")
        v = torch.cat([state.gather(part) for part in v.split([len(part) for part in parts])])
        w_max = self.w_max if self.w_max is not None else {"distance": 20.0, "sigmoid": 1.0}[self.pair]
        w = rampup_weight(epoch, self.ramp * self.epochs, w_max)
        if self.g_pair:
            losses["pair"] = w * self.g_pair * pair_consistency(u, v, kind=self.pair)
        if self.g_point:
            losses["point"] = w * self.g_point * point_consistency(u, v)
        if self.g_graph:
            losses["graph"] = w * self.g_graph * self.graph_term(u, v, batch.labels)
        return losses

    def graph_term(self, u: Tensor, v: Tensor, labels: Tensor) -> Tensor:
        """L_graph of outputs u on the pairs that the codes of v, or the labels, decide."""
        similar, known = pseudo_similarity(pack(v), self.bits, near=self.near, far=self.far, labels=labels)
        if self.graph_loss == "margin":
            return graph_contrastive(u, similar, known)
        return pairwise_likelihood(u, similar, mask=known, scale=min(1, 16 / self.bits) / 2)

    def after_step(self, state: State, step: int, epoch_length: float) -> None:
        """The teacher moves towards the student."""
        teacher = cast(EMATeacher, state.modules["teacher"])
        teacher.decay_max = self.ema_ramp if step < self.ramp * self.epochs * epoch_length else self.ema_max
        teacher.update(state.modules["student"], step)
