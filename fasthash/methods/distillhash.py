"""DistillHash: noisy pair labels from features, those of them that a first network makes sure, and a second one."""

from __future__ import annotations

import copy
import dataclasses
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from fasthash.data import Batch, ItemSpec, Perturbation, TrainingSet, TwoStreamSampler
from fasthash.losses import signed_pairs
from fasthash.methods._items import item_features, outputs_of_items, sample_of_items
from fasthash.methods._options import check_bool, check_choice, check_count, check_range
from fasthash.methods.method import Method
from fasthash.methods.optimiser import OptimiserConfig
from fasthash.methods.plan import Cursor, Plan, Stage
from fasthash.methods.registry import register
from fasthash.methods.state import State
from fasthash.networks import HashNetwork
from fasthash.ops import pack
from fasthash.teachers import (
    PairAccuracy,
    PairAgreement,
    block_accuracy,
    distil_pairs,
    fit_calibration,
    histogram_threshold,
    neighbour_agreement,
    neighbour_table,
    noisy_signs,
    pair_distances,
    quantile_threshold,
    sign_planes,
    signs_at,
)

ROWS = 128  # of matrices of all pairs

PairLoss = Literal["l2", "likelihood"]


@register("distillhash")
@dataclass(frozen=True)
class DistillHash(Method):
    """Unsupervised hashing on pairs distilled from noisy labels.

    Yang, Liu, Deng, Liu and Tao, "DistillHash: Unsupervised Deep Hashing by Distilling Data Pairs", CVPR 2019, as its
    abstract and the authors' release tell it. Four stages: `features` (neighbours by cosine, threshold of the noisy
    labels), `noisy` (a network learns the noisy labels of pairs), `distil` (the pairs whose Bayes-optimal label follows
    from its outputs and those of neighbouring pairs, see `teachers.distil_pairs`), `final` (the network learns those
    pairs alone, from its first weights). Labels are never read. Noisy labels are computed for each batch as it comes,
    distilled ones lie in two planes of bits, n^2 / 4 bytes; no other matrix of all pairs is held.

    Attributes:
        perturbation: of the items before the network; the release has none.
        features: what cosines are taken of: "items", flattened and in their plain view, or "backbone" = the feature
            vectors of the network as it starts, which then are kept; None = "backbone" for a network with `weights`.
        noisy: threshold of the noisy labels: "cosine" = `threshold`; "quantile" = the distance that makes `share` of
            the pairs similar; "ssdh18" = by the left side of the histogram of distances, `histogram_threshold`.
        threshold: of "cosine": pairs are similar below this 1 - cos. 0.5 is meant for features after a ReLU.
        share: of "quantile"; 0.1 is what ten balanced classes have.
        loss_noisy, loss_final: "l2" or "likelihood", see `losses.signed_pairs`; the release has "l2" in both.
        estimator: "tanh" = outputs of the first network, "sign" = their codes, compared by Hamming distance.
        n_neighbors, skip_pos, skip_neg: neighbours of an item, by rank on the features, itself first: those that bound
            positives start at rank skip_pos, those of negatives at skip_neg.
        order: of the pairs of neighbours the `order`-th smallest bound counts; above 1 it costs n_neighbors^2 values a
            pair in place of twice n_neighbors.
        calibrate: put a Theta + b, fitted to the noisy labels, in the place of Theta.
        balance: with `calibrate`, add this many times ln((1 - s) / s) to the b that decides about dissimilar pairs, s
            the share of noisy labels that are +1: at 1 they are judged as if both signs were as frequent. A strict
            threshold leaves most similar pairs among the noisy negatives, and the b that is fitted to them calls those
            dissimilar too.
        pairs: what `final` learns: "distilled", or "noisy" = the noisy labels, without the stages `noisy` and `distil`:
            what distilling is compared with.
        diagonal: "as_is" = an item and itself are a pair like others: always similar by the noisy labels, similar or
            dropped among the distilled ones; "drop" = they are none.
        reinit: start `final` from the weights that the run began with; else go on with those of `noisy`.
        noisy_epochs, noisy_batch_size: of stage `noisy`; more epochs fit the noise.
        epochs, batch_size: of stage `final`.
        optimiser: of both, Adam at a constant rate. For a pretrained network that is trained as a whole the release
            has eps=1.0; with a fresh head on features that does not leave the start.

    Raises:
        TypeError: an option of the wrong kind.
        ValueError: an unknown choice, a number out of range, or a network whose outputs are not in (-1, 1); (in
            training) fewer items than an item has neighbours, or no pair kept.

    Example:
        >>> from fasthash import methods
        >>> method = methods.create("distillhash", bits=32, noisy="quantile", share=0.1)
    """

    perturbation: Perturbation = field(default_factory=Perturbation)
    features: Literal["items", "backbone"] | None = None
    noisy: Literal["cosine", "quantile", "ssdh18"] = "cosine"
    threshold: float = 0.5
    share: float = 0.1
    loss_noisy: PairLoss = "l2"
    loss_final: PairLoss = "likelihood"
    estimator: Literal["tanh", "sign"] = "tanh"
    n_neighbors: int = 20
    skip_pos: int = 2
    skip_neg: int = 0
    order: int = 1
    calibrate: bool = False
    balance: float = 0.0
    pairs: Literal["distilled", "noisy"] = "distilled"
    diagonal: Literal["as_is", "drop"] = "as_is"
    reinit: bool = True
    noisy_epochs: float = 10
    noisy_batch_size: int = 24
    epochs: float = 20
    batch_size: int = 80
    optimiser: OptimiserConfig = field(default_factory=lambda: OptimiserConfig(weight_decay=0.0, schedule="constant"))

    def __post_init__(self) -> None:
        super().__post_init__()
        name = "DistillHash"
        check_choice(name, (None, "items", "backbone"), features=self.features)
        check_choice(name, ("cosine", "quantile", "ssdh18"), noisy=self.noisy)
        check_range(name, "[0, 2]", threshold=self.threshold)
        check_range(name, "(0, 1)", share=self.share)
        check_choice(name, ("l2", "likelihood"), loss_noisy=self.loss_noisy, loss_final=self.loss_final)
        check_choice(name, ("tanh", "sign"), estimator=self.estimator)
        check_count(name, 1, n_neighbors=self.n_neighbors, order=self.order)
        check_count(name, 0, skip_pos=self.skip_pos, skip_neg=self.skip_neg)
        if self.order > self.n_neighbors**2:
            raise ValueError(
                f"{name}: order must be <= n_neighbors^2, the pairs of neighbours {self.n_neighbors**2}, "
                f"got {self.order}"
            )
        check_choice(name, ("distilled", "noisy"), pairs=self.pairs)
        check_choice(name, ("as_is", "drop"), diagonal=self.diagonal)
        check_range(name, "[0, 1]", balance=self.balance)
        if self.balance and not self.calibrate:
            raise ValueError(f"{name}: balance must be 0 without calibrate, got {self.balance}")
        check_bool(name, calibrate=self.calibrate, reinit=self.reinit)
        check_range(name, "(0, inf)", noisy_epochs=self.noisy_epochs, epochs=self.epochs)
        check_count(name, 2, noisy_batch_size=self.noisy_batch_size, batch_size=self.batch_size)
        if self.network.relaxation != "tanh":
            raise ValueError(f'{name}: network.relaxation must be "tanh", got {self.network.relaxation!r}')

    @property
    def of_backbone(self) -> bool:
        """`features`, or its rule: whether cosines are those of the backbone."""
        return self.features == "backbone" or (self.features is None and self.network.weights is not None)

    def modules(self, network: nn.Module, items: ItemSpec) -> dict[str, nn.Module]:
        """The student, and with distilled pairs a copy of it, the first network, which learns the noisy ones.

        Raises:
            TypeError: a network that is no `HashNetwork` where feature vectors of its backbone are needed.
            ValueError: a `HashNetwork` of the caller's with another relaxation.
        """
        if isinstance(network, HashNetwork) and network.relaxation != "tanh":
            raise ValueError(f'DistillHash: network must have relaxation "tanh", got {network.relaxation!r}')
        if self.of_backbone and not isinstance(network, HashNetwork):
            raise TypeError(
                f'DistillHash: network must be a HashNetwork with features="backbone", got {type(network).__name__}'
            )
        if self.pairs == "noisy":
            return {"student": network}
        return {"student": network, "first": copy.deepcopy(network)}

    def encoder(self, modules: dict[str, nn.Module]) -> nn.Module:
        """The student, which only `final` trains, so that validation scores nothing before it."""
        return modules["student"]

    def plan(self, data: TrainingSet, seed: int) -> Plan:
        """Four stages: `features`, `noisy`, `distil`, `final`; with noisy pairs the first and the last."""
        if len(data) < self.table_width:
            raise ValueError(
                f"DistillHash: data must have at least {self.table_width} items, the ranks that n_neighbors, skip_pos "
                f"and skip_neg reach, got {len(data)}"
            )
        # With labels in it, batches would have to be balanced over processes.
        data = data.without_labels()
        features, final = Stage("features", run=self.find_neighbours), self._training(1, "final", data, seed)
        if self.pairs == "noisy":
            return [features, final]
        return [features, self._training(0, "noisy", data, seed), Stage("distil", run=self.distil), final]

    def _training(self, number: int, name: str, data: TrainingSet, seed: int) -> Stage:
        """Stage `noisy` or `final`: batches of all items, which the targets of that stage are looked up for."""
        epochs, size = (self.epochs, self.batch_size) if number else (self.noisy_epochs, self.noisy_batch_size)
        kind = self.loss_final if number else self.loss_noisy
        target = self.kept_pairs if number and self.pairs == "distilled" else self.noisy_pairs
        module = "student" if number else "first"
        sampler = TwoStreamSampler(0, len(data), batch_size=size, labelled=0, seed=seed).in_rounds((number,))
        length = sampler.steps(epochs)

        def reads(state: State, cursor: Cursor) -> Iterator[Batch]:
            unlabelled = dataclasses.replace(state, data=data)
            return (unlabelled.batch(sampler.batch(step), step) for step in range(cursor.step, length))

        def step(state: State, batch: Batch, cursor: Cursor) -> dict[str, Tensor]:
            with state.drawing_from("student") as generator:
                h = state.modules[module](self.perturbation(batch.x, generator))
            signs = self.on_diagonal(target(state, batch.index))
            return {kind: signed_pairs(state.gather(h), signs, kind=kind)}

        return Stage(
            name,
            length,
            reads,
            step,
            optimisers={module: lambda state: self.optimiser.build(state.modules[module])},
            rate=lambda cursor: self.optimiser.rate(cursor.step, length),
        )

    @property
    def table_width(self) -> int:
        """Ranks of the neighbour table, the item itself among them."""
        return max(self.n_neighbors + max(self.skip_pos, self.skip_neg), 2)

    @torch.no_grad()
    def find_neighbours(self, state: State, cursor: Cursor) -> None:
        """Stage `features`: the neighbour table, and the threshold of the noisy labels."""
        if self.of_backbone:
            network = cast(HashNetwork, state.modules["student"])
            state.tensors["features"] = normalize(outputs_of_items(state, network, network.features))
        features = item_features(state.data, state.tensors, torch.arange(len(state.data), device=state.device))
        state.tensors["neighbours"] = neighbour_table(features, self.table_width)
        distances = pair_distances(features[sample_of_items(state)])
        if self.noisy == "quantile":
            threshold = quantile_threshold(distances, self.share)
        else:
            threshold = self.threshold if self.noisy == "cosine" else histogram_threshold(distances)
        near = distances < threshold
        if near.all() or not near.any():
            warnings.warn(
                f"DistillHash: below a distance of {threshold:.4g} {'all' if near.any() else 'none'} of the sampled "
                'pairs are similar; noisy="quantile" sets their share',
                stacklevel=2,
            )
        state.tensors["threshold"] = torch.tensor(threshold, dtype=torch.float64, device=state.device)

    def noisy_pairs(self, state: State, index: Tensor) -> Tensor:
        """S of the items at these places (b,): int8 (b, b) of +1 and -1."""
        features = item_features(state.data, state.tensors, index)
        # The diagonal whatever it is rounded to, or the item is of zeros.
        return noisy_signs(features, features, state.tensors["threshold"]).fill_diagonal_(1)

    @torch.no_grad()
    def distil(self, state: State, cursor: Cursor) -> None:
        """Stage `distil`: T in two planes of bits; without `reinit` the student takes the first network's weights.

        Raises:
            ValueError: no pair was kept, of either sign.
        """
        first = state.modules["first"]
        state.tensors["outputs"] = outputs_of_items(state, first, first)
        state.tensors["calibration"] = self.calibration(state)
        planes = sign_planes(self.distilled(state.tensors))
        if not any(plane.any() for plane in planes):
            raise ValueError(
                "DistillHash: distil: expected pairs to keep, got none of either sign, and final would learn nothing; "
                'skip_pos and skip_neg pass over neighbours that are twins, noisy="quantile" with calibrate=True '
                'judges by the share of similar pairs, pairs="noisy" does without distilling'
            )
        for name, plane in zip(("positive", "negative"), planes, strict=True):
            state.tensors[name] = plane
            if not plane.any():
                warnings.warn(
                    f"DistillHash: no {name} pair was kept; calibrate=True or other noisy_epochs may keep some",
                    stacklevel=2,
                )
        if not self.reinit:
            state.modules["student"].load_state_dict(first.state_dict())

    def calibration(self, state: State) -> Tensor:
        """a and b of a Theta + b, for what decides about +1 and about -1: float64 (2, 2)."""
        a, b, shift = 1.0, 0.0, 0.0
        if self.calibrate:
            index = sample_of_items(state)
            first, second = torch.triu_indices(len(index), len(index), offset=1, device=index.device)
            outputs = state.tensors["outputs"][index]
            h = outputs if self.estimator == "tanh" else torch.where(outputs > 0, 1.0, -1.0)
            theta, similar = (h @ h.T / 2)[first, second], (self.noisy_pairs(state, index) > 0)[first, second]
            a, b = fit_calibration(theta, similar)
            share = similar.double().mean().clamp(1e-6, 1 - 1e-6)
            shift = self.balance * float(-share.logit())
        return torch.tensor([[a, b], [a, b + shift]], dtype=torch.float64, device=state.device)

    def distilled(self, tensors: Mapping[str, Tensor], n_neighbors: int | None = None) -> Iterator[Tensor]:
        """T by blocks of rows, int8 (rows, n), from what the stages left in the run's tensors.

        Args:
            tensors: "outputs", "neighbours" and "calibration" of a run that has been through `distil`.
            n_neighbors: another number than the option, at most as many as the table has.

        Raises:
            ValueError: more neighbours than the table has.
        """
        count = self.n_neighbors if n_neighbors is None else n_neighbors
        table, outputs = tensors["neighbours"], tensors["outputs"]
        most = table.shape[1] - max(self.skip_pos, self.skip_neg)
        if not 1 <= count <= most:
            raise ValueError(f"DistillHash.distilled: n_neighbors must lie in [1, {most}], got {count}")
        codes = self.estimator == "sign"
        calibration, of_negatives = (tuple(pair) for pair in tensors["calibration"].tolist())
        return distil_pairs(
            pack(outputs) if codes else outputs,
            table,
            (self.skip_pos, self.skip_pos + count),
            (self.skip_neg, self.skip_neg + count),
            bits=outputs.shape[1] if codes else None,
            calibration=calibration,
            negative_calibration=of_negatives,
            order=self.order,
            rows=ROWS,
        )

    def kept_pairs(self, state: State, index: Tensor) -> Tensor:
        """T of the items at these places (b,): int8 (b, b) of +1, -1 and 0."""
        return signs_at((state.tensors["positive"], state.tensors["negative"]), index)

    def on_diagonal(self, target: Tensor) -> Tensor:
        """Targets of a batch with what `diagonal` says of an item and itself."""
        return target.fill_diagonal_(0) if self.diagonal == "drop" else target

    def accuracy(
        self,
        tensors: Mapping[str, Tensor],
        data: TrainingSet,
        true_labels: Tensor,
        n_neighbors: tuple[int, ...] = (),
    ) -> dict[str, PairAccuracy]:
        """How right noisy and distilled pair labels are, for those who know the true labels; training never does.

        Args:
            tensors: of the run, as `training.Run.tensors` reads them.
            data: what it was trained on.
            true_labels: of the items of `data`, in its order (`labels[data.rows]`), (n,) or multi-hot (n, classes).
            n_neighbors: further numbers of neighbours to distil with, from the same outputs.

        Returns:
            "noisy", "distilled", and "distilled, K neighbours" for each further number; without distilling "noisy".

        Raises:
            ValueError: more neighbours than the table has.
        """
        labels = self._pair_labels(tensors, data, n_neighbors)
        return {name: block_accuracy(blocks, true_labels) for name, blocks in labels.items()}

    def agreement(
        self, tensors: Mapping[str, Tensor], data: TrainingSet, n_neighbors: tuple[int, ...] = (), *, nearest: int = 5
    ) -> dict[str, PairAgreement]:
        """How far noisy labels of neighbouring pairs agree with noisy and distilled labels: a measure without labels.

        Args:
            tensors: of the run, as for `accuracy`.
            data: what it was trained on.
            n_neighbors: further numbers of neighbours to distil with, from the same outputs.
            nearest: others of an item that are its neighbours here, see `teachers.neighbour_agreement`.

        Returns:
            As of `accuracy`.

        Raises:
            ValueError: more neighbours than the table has.
        """
        table = tensors["neighbours"]
        if not 1 <= nearest < table.shape[1]:
            raise ValueError(f"DistillHash.agreement: nearest must lie in [1, {table.shape[1] - 1}], got {nearest}")
        labels = self._pair_labels(tensors, data, n_neighbors)
        features = item_features(data, tensors, torch.arange(len(data), device=table.device))
        return neighbour_agreement(labels, features, table[:, 1 : 1 + nearest], tensors["threshold"], rows=ROWS)

    def _pair_labels(
        self, tensors: Mapping[str, Tensor], data: TrainingSet, n_neighbors: tuple[int, ...]
    ) -> dict[str, Iterator[Tensor]]:
        """S, and T for some numbers of neighbours, by name and by blocks of rows."""
        features = item_features(data, tensors, torch.arange(len(data), device=tensors["neighbours"].device))
        found: dict[str, Iterator[Tensor]] = {
            "noisy": (noisy_signs(block, features, tensors["threshold"]) for block in features.split(ROWS))
        }
        if self.pairs == "distilled":
            found["distilled"] = self.distilled(tensors)
            found |= {f"distilled, {count} neighbours": self.distilled(tensors, count) for count in n_neighbors}
        return found
