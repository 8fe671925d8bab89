"""The selector of hard items across modalities, which a teacher learns against."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, cast

import torch
from torch import Generator, Tensor, nn

from fasthash.losses import classification, draw_by_label, row_similarity, selection_error
from fasthash.methods.across import Side, constant_outputs, having, outputs
from fasthash.methods.state import State
from fasthash.networks import ModalNetwork, relax
from fasthash.teachers import selector_reward

BLOCK = 64  # queries for which candidates are looked at together
SELECTED = 2  # items that are drawn for a query


@dataclass(frozen=True)
class Selector:
    """Draws items for queries by the distances of its own network, among labelled and unlabelled ones.

    Of SKDCH, Su, Gu, Ren, Fu and Zhao, TMM 2021, in the form of the authors' release, after SCH-GAN. Its networks are
    the state's "selector", a `ModalNetwork`, and "classes", a class head for each modality, if there is one; what it
    is rewarded by is the state's "teacher".

    Attributes:
        margin: of the reward.
        share: of all items of a modality, the candidates of a query.
        prob: see `SKDCH.selector_prob`.
    """

    margin: float
    share: float
    prob: Literal["pair", "candidates"]

    def losses(self, state: State, side: Side, queries: Tensor) -> dict[str, Tensor]:
        """The terms of the selector for queries of a pair of modalities at these places, int64 (B,), by name.

        It draws two candidates of each query by its own distances, and is held to the teacher's reward for them.
        """
        (other,) = side.others
        generator, labels = state.generator("selector"), state.data.labels.to(state.device)
        pool = having(state.data, other).nonzero()[:, 0].to(state.device)
        known = pool[state.data.is_labelled.to(state.device)[pool]]
        positives = draw_by_label(labels[queries], labels[known], similar=True, draws=SELECTED, generator=generator)
        asks = positives[:, 0] >= 0
        if not asks.any():
            return {"selection": 0 * outputs(state, "selector", side.query, queries[:1]).sum()}
        queries, positives = queries[asks], known[positives[asks]]
        kept = self._candidates(pool, len(queries), generator)
        asking = constant_outputs(state, "selector", side.query, queries)
        # Queries share candidates: each is encoded once.
        each, of_each = kept.flatten().unique(return_inverse=True)
        found = constant_outputs(state, "selector", other, each)[of_each]
        drawn = torch.multinomial((-_apart(asking, found)).softmax(1), SELECTED, replacement=True, generator=generator)
        picked = kept.gather(1, drawn)
        asking = constant_outputs(state, "teacher", side.query, queries)
        near, far = (
            _apart(asking, constant_outputs(state, "teacher", other, places.flatten()))
            for places in (positives, picked)
        )
        reward = selector_reward(near, far, margin=self.margin)
        with state.drawing_from("selector"):
            hidden = [self._hidden(state, *x) for x in ((side.query, queries), (other, picked.flatten()))]
            h, u = (self._from_hidden(state, name, x) for name, x in zip((side.query, other), hidden, strict=True))
            if self.prob == "pair":
                selection = selection_error(-_apart(h, u), reward)
            else:
                every = (-_apart(h, outputs(state, "selector", other, kept.flatten()))).softmax(1)
                selection = (every.gather(1, drawn) - reward).abs().mean()
        if "classes" not in state.modules:
            return {"selection": selection}
        classes = self._class_term(state, side.query, hidden[0], labels[queries])
        of_picked = self._class_term(state, other, hidden[1], labels[picked.flatten()])
        return {"selection": selection, "classes": classes + of_picked}

    def _candidates(self, pool: Tensor, queries: int, generator: Generator) -> Tensor:
        """int64 (queries, kept): a random share of the pool for each query, where one may come twice."""
        kept = max(SELECTED, round(self.share * len(pool)))
        return pool[torch.randint(len(pool), (queries, kept), generator=generator, device=pool.device)]

    def _hidden(self, state: State, modality: str, places: Tensor) -> Tensor:
        """What the last layer of the selector's hash head and its class head both read."""
        branch = cast(ModalNetwork, state.modules["selector"]).branch(modality)
        x = state.data.take(places.cpu(), modality).to(state.device)
        return cast(Tensor, cast(nn.Sequential, branch.head)[:-1](branch.features(x)))

    def _from_hidden(self, state: State, modality: str, hidden: Tensor) -> Tensor:
        branch = cast(ModalNetwork, state.modules["selector"]).branch(modality)
        return relax(cast(nn.Sequential, branch.head)[-1](hidden), branch.relaxation, branch.straight_through)

    def _class_term(self, state: State, modality: str, hidden: Tensor, labels: Tensor) -> Tensor:
        """Cross-entropy of the class head, mean over the labelled of these items and over classes."""
        place = cast(ModalNetwork, state.modules["selector"]).names.index(modality)
        logits = cast(Tensor, cast(nn.ModuleList, state.modules["classes"])[place](hidden))
        known = labels >= 0 if labels.ndim == 1 else labels.any(1)
        return classification(logits[known], labels[known], kind="bce") / logits.shape[1]

    @torch.no_grad()
    def put_negatives(self, state: State, side: Side, table: Tensor, triplets: int, generator: Generator) -> None:
        """Let the selector choose the negatives of half of each query's triplets, among all items of the modality.

        Items that are known to share a label with the query are no candidates; a query without any keeps its random
        negatives.

        Args:
            state: of the run.
            side: whose triplets they are.
            table: int64 (queries * triplets, 1 + 2 others), written into.
            triplets: of each query, one after another.
            generator: where the numbers come from.
        """
        data, others = state.data, len(side.others)
        labels = data.labels.to(state.device)
        by_query = table.view(-1, triplets, table.shape[1])
        chosen = triplets // 2
        asking = constant_outputs(state, "selector", side.query, by_query[:, 0, 0])
        for m, name in enumerate(side.others if chosen else ()):
            pool = having(data, name).nonzero()[:, 0].to(state.device)
            codes = torch.zeros(len(data), asking.shape[1], device=state.device)
            codes[pool] = constant_outputs(state, "selector", name, pool)
            for rows, h in zip(by_query.split(BLOCK), asking.split(BLOCK), strict=True):
                kept = self._candidates(pool, len(rows), generator)
                logits = -(h[:, None] - codes[kept]).square().sum(2)
                positive, _ = row_similarity(labels[rows[:, 0, 0]], labels[kept])
                some = ~positive.all(1)
                share = torch.where(some[:, None], logits.masked_fill(positive, -torch.inf), logits).softmax(1)
                drawn = torch.multinomial(share, chosen, replacement=True, generator=generator)
                before = rows[:, :chosen, 1 + others + m]
                rows[:, :chosen, 1 + others + m] = torch.where(
                    some[:, None] & (before >= 0), kept.gather(1, drawn), before
                )


def _apart(queries: Tensor, items: Tensor) -> Tensor:
    """Squared distances (B, m) of queries (B, bits) to m items each, (B * m, bits)."""
    distance: Tensor = (queries[:, None] - items.unflatten(0, (len(queries), -1))).square().sum(2)
    return distance
