"""Triplets across modalities: how they are drawn, and what a network loses on them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Generator, Tensor

from fasthash.data import TrainingSet
from fasthash.losses import draw_across, improved_triplet, partner_likelihood, triplet_hinge
from fasthash.methods.across import Side, having, outputs
from fasthash.methods.state import State


@dataclass(frozen=True)
class CrossTriplets:
    """A triplet loss across modalities with partner terms.

    Of SKDCH, Su, Gu, Ren, Fu and Zhao, TMM 2021, in the form of the authors' release; more than two modalities are
    reconstructed.

    Attributes:
        margin: of the triplets.
        gamma, lam, mu, partner_label, positive_term: see `SKDCH`.
    """

    margin: float
    gamma: float
    lam: float
    mu: float
    partner_label: bool
    positive_term: Literal["d - mu", "d + mu"]

    def draw(
        self, data: TrainingSet, side: Side, labels: Tensor, among: Tensor, draws: int, generator: Generator
    ) -> Tensor:
        """Triplets of the items `among`, bool (n,), as `losses.draw_across` gives them, where the labels lie."""
        names = (side.query, *side.others)
        queries, *pools = ((among & having(data, name)).nonzero()[:, 0].to(labels.device) for name in names)
        return draw_across(labels, queries, pools, draws=draws, generator=generator)

    def losses(
        self, state: State, module: str, side: Side, places: Tensor, *, improved: bool = False
    ) -> dict[str, Tensor]:
        """The weighted terms of triplets, by name; none without a triplet.

        Args:
            state: of the run.
            module: the network that learns.
            side: whose triplets they are.
            places: int64 (T, 1 + 2 others), as `losses.draw_across` gives them; what is -1 is not read.
            improved: the improved triplet loss.
        """
        there = (places[:, 1:] >= 0).any(1)
        if not there.any():
            return {}
        queries, drawn = places[there, 0], places[there, 1:].unflatten(1, (2, -1))
        valid = drawn[:, 0] >= 0
        with state.drawing_from(module):
            anchor = outputs(state, module, side.query, queries)
            others = anchor.new_zeros(2, *valid.shape, anchor.shape[1])
            for m, name in enumerate(side.others):
                rows = valid[:, m].nonzero()[:, 0]
                if len(rows):
                    found = outputs(state, module, name, drawn[rows, :, m].T.flatten())
                    others[:, rows, m] = found.unflatten(0, (2, -1)).to(others.dtype)
        losses = {"triplet": self._triplet_term(anchor, others, valid, improved)}
        if self.gamma:
            query = anchor[:, None].expand(-1, len(side.others), -1)[valid]
            own = [(queries[:, None] == places)[valid] & self.partner_label for places in drawn.unbind(1)]
            terms = [partner_likelihood(query, x[valid], y) for x, y in zip(others, own, strict=True)]
            losses["partner"] = self.gamma * (terms[0] + terms[1])
        return losses

    def _triplet_term(self, anchor: Tensor, others: Tensor, valid: Tensor, improved: bool) -> Tensor:
        """Of anchors (T, bits), positives and negatives (2, T, others, bits), and which there are, bool (T, others)."""
        # Squared distances add up over outputs that stand side by side; the scale, 1 where none lacks, has those that
        # there are stand for all, so that the margin means the same for every triplet.
        scale = valid * (valid.shape[1] / valid.sum(1, keepdim=True)).sqrt().to(anchor.dtype)
        a, p, n = ((x * scale[:, :, None]).flatten(1) for x in (anchor[:, None], others[0], others[1]))
        if not improved:
            return triplet_hinge(a, p, n, margin=self.margin)
        pull = {"pull": self.lam, "pull_margin": self.mu}
        return improved_triplet(a, p, n, margin=self.margin, pull_form=self.positive_term, **pull)

    def nothing(self, state: State, module: str, side: Side, places: Tensor) -> dict[str, Tensor]:
        """A loss of 0 that back-propagates, of places that give no triplet."""
        return {"triplet": 0 * outputs(state, module, side.query, places[:1, 0]).sum()}
