"""SKDCH: a teacher across modalities labels the unlabelled items, and a student learns from all of them."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.optim import SGD, Optimizer

from fasthash.data import Batch, ItemSpec, TrainingSet
from fasthash.methods._options import check_bool, check_choice, check_count, check_range
from fasthash.methods.across import Turns, constant_outputs, having, sides_of
from fasthash.methods.cross_triplets import CrossTriplets
from fasthash.methods.method import Method
from fasthash.methods.plan import Cursor, Plan, Repeat, Stage
from fasthash.methods.registry import register
from fasthash.methods.selector import Selector
from fasthash.methods.state import State
from fasthash.networks import HashNetwork, ModalNetwork, NetworkConfig, build_modal_network
from fasthash.teachers import modal_vote


def _network() -> NetworkConfig:
    return NetworkConfig("identity", head="mlp", hidden=8192, activation="tanh", relaxation="sigmoid")


@register("skdch")
@dataclass(frozen=True)
class SKDCH(Method):
    """Semi-supervised knowledge distillation for cross-modal hashing, of two modalities or more.

    Su, Gu, Ren, Fu and Zhao, "Semi-Supervised Knowledge Distillation for Cross-Modal Hashing", TMM 2021, after the
    authors' release where the paper's abstract is silent, with its slips mended (preset "released_code" has most of
    them back). Items come as `data.Modalities`; each modality has a branch of its own, and an item that lacks one takes
    no part there. Stages: "teacher", a triplet loss across modalities on labelled items; "selector" and "adversarial",
    in which the teacher learns against a selector of hard items; "vote", pseudo-labels by the teacher's neighbour lists
    in all modalities; "student", fresh weights on true and pseudo-labels as if all were true; "refine", the same with
    the improved triplet. Plain SGD everywhere. Distances are squared, of outputs in (0, 1).

    Attributes:
        network: of each branch; a hidden layer of 8192 tanh units and a sigmoid, as released.
        init: of its head: "released" = normal weights of deviation 0.1, cut at 2 deviations, which saturates wide
            inputs; "fan_in" = torch's own.
        beta: margin of the triplets; None = bits / 8, as in UGACH and UKD.
        gamma: weight of the partner terms.
        lam, mu: weight and margin of the pull on positives in the improved triplet.
        omega: weight decay of all weights and biases: the gradient of omega / 2 times the sum of their squares.
        partner_label: an item is the partner of its own query; False = never, as the release comes out.
        positive_term: "d - mu", reconstructed, or "d + mu", as released, which never clips.
        pairs: "turns" = each step moves on one ordered pair of modalities, all of an epoch's steps of one after those
            of another, as released; "mean" = each on the mean of all pairs.
        joint: distances of a query to its positives, and to its negatives, are summed over all other modalities, one
            hinge a query modality (after MGAH); where items lack some, the mean over the others stands in for theirs.
        batch_size: triplets a step.
        triplets: a query in "teacher", "adversarial" and "student", half of whose negatives in "adversarial" are the
            selector's, and `refine_triplets` in "refine".
        epochs: of "teacher" and of "student", for which `student_epochs` may name others: it has many more items.
        lr, refine_lr: rates; `refine_lr` of "adversarial" and "refine".
        adversarial: train against the selector.
        adversarial_rounds, selector_epochs: rounds of that, and passes of the selector over its queries in each.
        selector_queries: of one step of the selector; 1 as released.
        selector_share: of all items of a modality, the candidates of a query.
        selector_prob: what the reward is held against: the softmax over the two drawn items, "pair", or over all
            "candidates".
        selector_class_term: the selector has a class head, which learns from queries and from labelled picks (the
            release reads the labels of unlabelled ones too, which nothing here can).
        vote: rule of the pseudo-labels, see `teachers.vote`; "last" is what the released loop returns.
        knn_k: length of a neighbour list; None = the mean class size in the pool of each modality, by the
            labelled items.
        knn_pool: neighbours are looked for among "all" items or the "labelled" ones.
        knn_space: "relaxed" outputs, where a list of equally near items is cut by their places, labelled items first;
            or "binary" = packed codes, whose ties are never cut.
        distil: False = the teacher alone.
        refine_rounds: passes over new triplets in "refine".
        encode_with: whose codes count after training; None = the student's where there is one.

    Raises:
        TypeError: an option of the wrong kind.
        ValueError: an unknown choice, or a number out of range.

    Example:
        >>> from fasthash import methods
        >>> method = methods.create("skdch", bits=32, network={"hidden": 256}, epochs=60)
    """

    bits: int = 64
    network: NetworkConfig = field(default_factory=_network)
    init: Literal["released", "fan_in"] = "released"
    beta: float | None = 5.0
    gamma: float = 0.1
    lam: float = 0.02
    mu: float = 0.1
    omega: float = 0.01
    partner_label: bool = True
    positive_term: Literal["d - mu", "d + mu"] = "d - mu"
    pairs: Literal["turns", "mean"] = "turns"
    joint: bool = False
    batch_size: int = 256
    triplets: int = 4
    epochs: int = 1000
    student_epochs: int | None = None
    lr: float = 0.01
    refine_lr: float = 1e-4
    adversarial: bool = True
    adversarial_rounds: int = 30
    selector_epochs: int = 2
    selector_queries: int = 1
    selector_share: float = 0.05
    selector_prob: Literal["pair", "candidates"] = "pair"
    selector_class_term: bool = True
    vote: Literal["majority", "per_class", "last"] = "majority"
    knn_k: int | None = None
    knn_pool: Literal["all", "labelled"] = "all"
    knn_space: Literal["relaxed", "binary"] = "relaxed"
    distil: bool = True
    refine_rounds: int = 1000
    refine_triplets: int = 2
    encode_with: Literal["student", "teacher"] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("SKDCH", ("released", "fan_in"), init=self.init)
        check_choice("SKDCH", ("d - mu", "d + mu"), positive_term=self.positive_term)
        check_choice("SKDCH", ("turns", "mean"), pairs=self.pairs)
        check_choice("SKDCH", ("pair", "candidates"), selector_prob=self.selector_prob)
        check_choice("SKDCH", ("majority", "per_class", "last"), vote=self.vote)
        check_choice("SKDCH", ("all", "labelled"), knn_pool=self.knn_pool)
        check_choice("SKDCH", ("relaxed", "binary"), knn_space=self.knn_space)
        known = ("student", "teacher", None) if self.distil else ("teacher", None)
        check_choice("SKDCH", known, encode_with=self.encode_with)
        check_range("SKDCH", "(0, inf)", beta=self.beta, lr=self.lr, refine_lr=self.refine_lr)
        check_range("SKDCH", "[0, inf)", gamma=self.gamma, lam=self.lam, mu=self.mu, omega=self.omega)
        check_range("SKDCH", "(0, 1]", selector_share=self.selector_share)
        check_count("SKDCH", 1, batch_size=self.batch_size, triplets=self.triplets, epochs=self.epochs)
        check_count("SKDCH", 1, student_epochs=self.student_epochs)
        check_count("SKDCH", 1, selector_epochs=self.selector_epochs, selector_queries=self.selector_queries)
        check_count("SKDCH", 1, knn_k=self.knn_k, refine_triplets=self.refine_triplets)
        check_count("SKDCH", 0, adversarial_rounds=self.adversarial_rounds, refine_rounds=self.refine_rounds)
        check_bool("SKDCH", partner_label=self.partner_label, joint=self.joint, adversarial=self.adversarial)
        check_bool("SKDCH", selector_class_term=self.selector_class_term, distil=self.distil)
        if self.adversarial and self.triplets < 2:
            raise ValueError("SKDCH: triplets must be >= 2 with adversarial, got 1")
        if self.network.relaxation != "sigmoid":
            raise ValueError(f'SKDCH: network.relaxation must be "sigmoid", got {self.network.relaxation!r}')

    def hash_network(self, items: ItemSpec, *, pretrained: bool = True) -> ModalNetwork:
        """A branch for each modality.

        Raises:
            ValueError: items of one kind, or of a single modality.
        """
        if len(items.modalities) < 2:
            raise ValueError(f"SKDCH: data must be data.Modalities of two or more, got {len(items.modalities)}")
        return build_modal_network(self.network, dict(items.modalities), self.bits, pretrained=pretrained)

    def modules(self, network: nn.Module, items: ItemSpec) -> dict[str, nn.Module]:
        """Teacher, selector with its class heads, and student; the heads of each are drawn anew.

        Raises:
            TypeError: a network that is no `ModalNetwork`, or a head that is no sequence.
            ValueError: a branch of the caller's with another relaxation.
        """
        if not isinstance(network, ModalNetwork):
            raise TypeError(f"SKDCH: network must be a ModalNetwork, got {type(network).__name__}")
        for name, branch in network.items():
            if branch.relaxation != "sigmoid":
                raise ValueError(
                    f'SKDCH: network must have relaxation "sigmoid", got {branch.relaxation!r} for {name!r}'
                )
            if not isinstance(branch.head, nn.Sequential) or not isinstance(branch.head[-1], nn.Linear):
                kind = type(branch.head).__name__
                raise TypeError(f"SKDCH: network must have nn.Sequential heads ending in nn.Linear, got {kind}")
        # The teacher is drawn first: it starts from the same weights whatever stands beside it.
        modules: dict[str, nn.Module] = {"teacher": self._drawn(copy.deepcopy(network) if self.distil else network)}
        if self.adversarial:
            modules["selector"] = self._drawn(copy.deepcopy(network))
            if self.selector_class_term and items.classes:
                sizes = [_hidden_size(branch) for _, branch in network.items()]
                modules["classes"] = self._drawn(nn.ModuleList(nn.Linear(size, items.classes) for size in sizes))
        if self.distil:
            modules["student"] = self._drawn(network)
        return modules

    def _drawn(self, module: nn.Module) -> nn.Module:
        """The same with new weights in its heads."""
        heads = [branch.head for _, branch in module.items()] if isinstance(module, ModalNetwork) else [module]
        for layer in (layer for head in heads for layer in head.modules() if isinstance(layer, nn.Linear)):
            layer.reset_parameters()
            if self.init == "released":
                nn.init.trunc_normal_(layer.weight, std=0.1, a=-0.2, b=0.2)
                nn.init.zeros_(layer.bias)
        return module

    def encoder(self, modules: dict[str, nn.Module]) -> nn.Module:
        """The network that `encode_with` names."""
        return modules[self.encode_with or ("student" if self.distil else "teacher")]

    @property
    def margin(self) -> float:
        """`beta`, or its rule."""
        return self.bits / 8 if self.beta is None else self.beta

    @property
    def cross_triplets(self) -> CrossTriplets:
        """The loss of teacher and student, with the options of the method."""
        return CrossTriplets(self.margin, self.gamma, self.lam, self.mu, self.partner_label, self.positive_term)

    @property
    def selector(self) -> Selector:
        """What draws hard items, with the options of the method."""
        return Selector(self.margin, self.selector_share, self.selector_prob)

    def plan(self, data: TrainingSet, seed: int) -> Plan:
        """The stages of the class docstring.

        Raises:
            ValueError: items that are not in several modalities, pairs in place of labels, no labelled items in two
                modalities or none of them with a positive and a negative there, or vote="per_class" with class ids.
        """
        if data.present is None or data.pairs is not None:
            raise ValueError("SKDCH: data must be data.Modalities with labels, got items of one kind, or pairs")
        sides = sides_of(data, joint=False, among=data.is_labelled)
        if not sides:
            raise ValueError("SKDCH: data must have labelled items in two modalities or more, got none")
        drawn = (
            self.cross_triplets.draw(data, side, data.labels, data.is_labelled, 1, torch.Generator()) for side in sides
        )
        if all((table[:, 1:] < 0).all() for table in drawn):
            raise ValueError(
                "SKDCH: data must have labelled items with a common label and without one in another modality, "
                "of two classes or more, got no query with both"
            )
        if self.vote == "per_class" and data.labels.ndim == 1:
            raise ValueError('SKDCH: vote must be "majority" or "last" with class ids, got "per_class"')
        plan: list[Stage | Repeat] = [self._triplet_stage(data, "teacher", seed)]
        if self.adversarial and self.adversarial_rounds:
            rounds = [self._selector_stage(data, seed), self._triplet_stage(data, "adversarial", seed)]
            plan.append(Repeat(rounds, self.adversarial_rounds))
        if self.distil:
            plan += [Stage("vote", run=self.vote_labels), self._triplet_stage(data, "student", seed)]
            if self.refine_rounds:
                plan.append(Repeat([self._triplet_stage(data, "refine", seed)], self.refine_rounds))
        return plan

    def _triplet_stage(self, data: TrainingSet, name: str, seed: int) -> Stage:
        """A stage of triplets, which are drawn anew wherever the plan comes to it."""
        fine, improved = name in ("adversarial", "refine"), name == "refine"
        module = "teacher" if name in ("teacher", "adversarial") else "student"
        among = data.is_labelled if module == "teacher" else torch.ones(len(data), dtype=torch.bool)
        sides = sides_of(data, joint=self.joint, among=among)
        epochs = self.epochs if name == "teacher" else self.student_epochs or self.epochs
        loss, draws = self.cross_triplets, self.refine_triplets if improved else self.triplets
        turns = Turns(
            [draws * int((among & having(data, side.query)).sum()) for side in sides],
            batch_size=self.batch_size,
            together=self.pairs == "mean",
            seed=seed,
        )

        def reads(state: State, cursor: Cursor) -> Iterator[Batch]:
            generator = state.generator_at(name, cursor)
            labels = (state.tensors["labels"] if module == "student" else data.labels).to(state.device)
            tables = [loss.draw(data, side, labels, among, draws, generator) for side in sides]
            if name == "adversarial":
                for side, table in zip(sides, tables, strict=True):
                    self.selector.put_negatives(state, side, table, self.triplets, generator)
            return turns.batches(cursor, tables, labels)

        def step(state: State, batch: Batch, cursor: Cursor) -> dict[str, Tensor]:
            parts = batch.index.split(self.batch_size)
            read = [sides[table] for table in turns.tables(cursor.step)]
            terms = [
                loss.losses(state, module, side, places, improved=improved)
                for side, places in zip(read, parts, strict=True)
            ]
            # A pair of modalities without a triplet in the batch is left out of the mean.
            counted = [term for term in terms if term] or [loss.nothing(state, module, read[0], parts[0])]
            return {key: torch.stack([term[key] for term in counted]).mean() for key in counted[0]}

        return Stage(
            name,
            length=turns.length * (1 if fine else epochs),
            reads=reads,
            step=step,
            optimisers={module: self._teacher_optimiser if module == "teacher" else self._student_optimiser},
            rate=lambda cursor: self.refine_lr / self.lr if fine else 1.0,
        )

    def _teacher_optimiser(self, state: State) -> Optimizer:
        return self._sgd(state.modules["teacher"])

    def _student_optimiser(self, state: State) -> Optimizer:
        return self._sgd(state.modules["student"])

    def _selector_optimiser(self, state: State) -> Optimizer:
        return self._sgd(*(state.modules[name] for name in ("selector", "classes") if name in state.modules))

    def _sgd(self, *modules: nn.Module) -> Optimizer:
        # `OptimiserConfig` decays weights only, the release biases too; branches without a gradient are not decayed.
        moved = [p for module in modules for p in module.parameters() if p.requires_grad]
        return SGD(moved, lr=self.lr, weight_decay=self.omega)

    def vote_labels(self, state: State, cursor: Cursor) -> None:
        """Label all items by the teacher: the state's "labels" (n,) or (n, classes), and of unlabelled ones "share"."""
        data = state.data
        assert data.present is not None
        codes = []
        for name, _ in data.spec.modalities:
            rows = having(data, name).nonzero()[:, 0]
            h = torch.zeros(len(data), self.bits, device=state.device)
            h[rows.to(state.device)] = constant_outputs(state, "teacher", name, rows)
            codes.append(h)
        labels = data.labels.to(state.device)
        pseudo, share = modal_vote(
            codes,
            data.present.to(state.device),
            labels,
            self.neighbours(data),
            pool=self.knn_pool,
            space=self.knn_space,
            mode=self.vote,
        )
        labels = labels.clone()
        labels[~data.is_labelled.to(state.device)] = pseudo
        state.tensors |= {"labels": labels, "share": share}

    def neighbours(self, data: TrainingSet) -> list[int]:
        """Of each modality `knn_k`, or the mean size of a class in the pool.

        For that, unlabelled items are taken to have as many labels as labelled ones, and the classes of these.
        """
        assert data.present is not None
        if self.knn_k is not None:
            return [self.knn_k] * data.present.shape[1]
        labels = data.labels[data.is_labelled]
        each = 1.0 if labels.ndim == 1 else float(labels.sum(1, dtype=torch.float64).mean())
        classes = len(labels.unique()) if labels.ndim == 1 else int(labels.any(0).sum())
        pool = data.present[data.is_labelled] if self.knn_pool == "labelled" else data.present
        return [max(1, round(items * each / classes)) for items in pool.sum(0).tolist()]

    def _selector_stage(self, data: TrainingSet, seed: int) -> Stage:
        """Passes of the selector over the labelled queries of every ordered pair of modalities."""
        sides = sides_of(data, joint=False, among=data.is_labelled)
        queries = [(data.is_labelled & having(data, side.query)).nonzero() for side in sides]
        size = self.selector_queries
        turns = Turns([len(places) for places in queries], batch_size=size, together=False, seed=seed)

        def step(state: State, batch: Batch, cursor: Cursor) -> dict[str, Tensor]:
            (table,) = turns.tables(cursor.step)
            return self.selector.losses(state, sides[table], batch.index[:, 0])

        return Stage(
            "selector",
            length=self.selector_epochs * turns.length,
            reads=lambda state, cursor: turns.batches(cursor, queries, data.labels),
            step=step,
            optimisers={"selector": self._selector_optimiser},
        )


def _hidden_size(branch: HashNetwork) -> int:
    """Inputs of the last layer of the head."""
    return cast(nn.Linear, cast(nn.Sequential, branch.head)[-1]).in_features
