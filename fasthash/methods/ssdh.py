"""SSDH: a ranking of labelled items, an online graph of all items, and pseudo-labels of a class head."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from fasthash.data import Batch, ItemSpec, TrainingSet
from fasthash.losses import (
    classification,
    draw_columns,
    draw_pairs,
    draw_triplets,
    graph_embedding,
    label_similarity,
    pairwise_likelihood,
    quantization,
    triplet_ranking,
)
from fasthash.methods._options import check_choice, check_count, check_range
from fasthash.methods.plan import Plan
from fasthash.methods.registry import register
from fasthash.methods.state import State
from fasthash.methods.two_stream import TwoStreamMethod
from fasthash.networks import HashNetwork
from fasthash.ops import pack
from fasthash.teachers import (
    CodeBank,
    EMATeacher,
    class_pair_probability,
    far_window,
    near_count,
    near_far_lists,
    near_far_lists_of_codes,
    pseudo_label_candidates,
    rampup_weight,
)

_MEAN = "mean_"  # before the names of the networks whose running means they are


@register("ssdh")
@dataclass(frozen=True)
class SSDH(TwoStreamMethod):
    """Semi-supervised deep hashing.

    Zhang and Peng, "SSDH: Semi-supervised Deep Hashing for Large Scale Image Retrieval", TCSVT 2017; losses and draws
    follow the authors' release, term by term. J = J_class + w_rank J_rank + lam (w_pair J_embedding + J_pseudo), on
    h = sigmoid(z) of the logits z of the hash head; distances are those of h, never of codes. Options whose default is
    None, "backbone" and "codes" graphs, "bce" and "softmax" class losses, and the bank are reconstructed or ours; so is
    all that `teacher`, `pseudo_loss`, `w_likelihood`, `q` and `ramp` switch on.

    Attributes:
        labelled_fraction: share of labelled items in a batch.
        lam: weight of the terms that unlabelled items enter.
        w_rank, w_pair: weights of ranking and embedding.
        graph: by what items are near and far: "hash" = h, "backbone" = feature vectors, "codes" = packed codes.
        graph_scope: where near items are looked for: "batch", or "bank" = the codes of all training items, rewritten as
            items pass; they enter as constants of 0 and 1. Far items come from the batch, by `graph`.
        k: length of the near list, the item itself included; at most a third of the batch.
        exclude_self: leave an item out of its own near and positive lists. In the bank an item finds its own code,
            which pulls its outputs to it like a quantisation.
        far_window: start and length of the far ranks; None = `teachers.far_window`.
        margin_rank: of the ranking, on squared distances.
        margin_pair: of the embedding and the pseudo-labels, on distances; None = 2.5 at 12 bits, else
            min(3, 0.72 sqrt(bits)), which is 3 from 18 bits on.
        max_draws: trials to draw a triplet.
        cls: class loss "squared", "bce" or "softmax", "none" = no class head; None = "softmax" for class ids,
            "squared" for multi-hot labels.
        pseudo: use the pseudo-labels of the class head.
        w_pseudo: their weight, beside w_pair.
        pseudo_loss: "contrastive", one positive and one negative of each item as released; or "likelihood", all pairs
            by the likelihood of DPSH on u = 2 h - 1 (products scaled down to those of 16 bits), whose targets are the
            probabilities of a common class by the class head.
        w_likelihood: weight of that likelihood over the pairs of labelled items; the release has none.
        teacher: pseudo-labels come from running means of network and class head, on a second view of the items.
        ema_ramp, ema_max: largest decay of these means during the ramp and after it.
        q: weight of the quantisation of u = 2 h - 1, which the release does not have; of the labelled items alone with
            lam = 0, which reads no others.
        ramp: share of the epochs in which lam rises, from 0 in the first epoch; 0 = lam from the first step.
        encode_with: whose codes count after training, "student" or "teacher".

    Raises:
        TypeError: an option of the wrong kind.
        ValueError: an unknown choice, a number out of range, pseudo-labels without a class head, or no term at all.

    Example:
        >>> from fasthash import methods
        >>> method = methods.create("ssdh", bits=48, lam=0.2)
    """

    epochs: float = 50
    labelled_fraction: float = 0.5
    lam: float = 0.1
    w_rank: float = 1.0
    w_pair: float = 1.0
    graph: Literal["hash", "backbone", "codes"] = "hash"
    graph_scope: Literal["batch", "bank"] = "batch"
    k: int = 8
    exclude_self: bool = False
    far_window: tuple[int, int] | None = None
    margin_rank: float = 1.0
    margin_pair: float | None = None
    max_draws: int = 10
    cls: Literal["squared", "bce", "softmax", "none"] | None = None
    pseudo: bool = True
    w_pseudo: float = 1.0
    pseudo_loss: Literal["contrastive", "likelihood"] = "contrastive"
    w_likelihood: float = 0.0
    teacher: bool = False
    ema_ramp: float = 0.99
    ema_max: float = 0.999
    q: float = 0.0
    ramp: float = 0.0
    encode_with: Literal["student", "teacher"] = "student"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("SSDH", ("hash", "backbone", "codes"), graph=self.graph)
        check_choice("SSDH", ("batch", "bank"), graph_scope=self.graph_scope)
        check_choice("SSDH", ("squared", "bce", "softmax", "none", None), cls=self.cls)
        check_range("SSDH", "[0, 1]", labelled_fraction=self.labelled_fraction)
        check_range("SSDH", "[0, inf)", lam=self.lam, w_rank=self.w_rank, w_pair=self.w_pair)
        check_range("SSDH", "[0, inf)", margin_rank=self.margin_rank, margin_pair=self.margin_pair)
        check_choice("SSDH", ("contrastive", "likelihood"), pseudo_loss=self.pseudo_loss)
        check_choice("SSDH", ("student", "teacher") if self.teacher else ("student",), encode_with=self.encode_with)
        check_range("SSDH", "[0, inf)", w_pseudo=self.w_pseudo, w_likelihood=self.w_likelihood, q=self.q)
        check_range("SSDH", "[0, 1]", ramp=self.ramp)
        check_range("SSDH", "[0, 1)", ema_ramp=self.ema_ramp, ema_max=self.ema_max)
        check_count("SSDH", 1, k=self.k, max_draws=self.max_draws)
        if self.far_window is not None and not (
            len(self.far_window) == 2 and self.far_window[0] >= 0 and self.far_window[1] >= 1
        ):
            raise ValueError(f"SSDH: far_window must be (start >= 0, length >= 1), got {self.far_window}")
        if self.pseudo and self.cls == "none":
            raise ValueError('SSDH: pseudo must be False without a class head, got True and cls="none"')
        if self.cls == "none" and not self.w_rank and not (self.lam and self.w_pair):
            raise ValueError("SSDH: w_rank, lam and w_pair must leave a term, got none")

    def labelled_a_batch(self) -> int:
        """`labelled_fraction` of a batch, rounded."""
        return round(self.labelled_fraction * self.batch_size)

    def modules(self, network: nn.Module, items: ItemSpec) -> dict[str, nn.Module]:
        """The student, a class head on its feature vectors where there are classes, and the means of both if asked.

        Raises:
            TypeError: a network that is no `HashNetwork`, of which feature vectors and logits are needed.
        """
        if not isinstance(network, HashNetwork):
            raise TypeError(f"SSDH: network must be a HashNetwork, got {type(network).__name__}")
        modules: dict[str, nn.Module] = {"student": network}
        if self.cls != "none" and items.classes:
            modules["classifier"] = self._classifier(network.feature_size, items.classes)
        if self.teacher:
            modules |= {_MEAN + name: EMATeacher(module, decay_max=self.ema_ramp) for name, module in modules.items()}
        return modules

    def _classifier(self, features: int, classes: int) -> nn.Linear:
        classifier = nn.Linear(features, classes)
        # As released; the hash head keeps the weights that it came with.
        nn.init.normal_(classifier.weight, std=0.01)
        nn.init.zeros_(classifier.bias)
        return classifier

    def encoder(self, modules: dict[str, nn.Module]) -> nn.Module:
        """The network that `encode_with` names."""
        return modules["student" if self.encode_with == "student" else _MEAN + "student"]

    def plan(self, data: TrainingSet, seed: int) -> Plan:
        """One stage, `train`.

        Raises:
            ValueError: cls="softmax" with multi-hot labels.
        """
        if self.cls == "softmax" and data.labels.ndim == 2:
            raise ValueError('SSDH: cls must be "squared" or "bce" with multi-hot labels, got "softmax"')
        return super().plan(data, seed)

    def student_optimiser(self, state: State) -> Optimizer:
        """What moves the student and the class head, both heads at the same rate."""
        return self.optimiser.build(
            *(state.modules[name] for name in ("student", "classifier") if name in state.modules)
        )

    def losses(self, state: State, batch: Batch, epoch: float) -> dict[str, Tensor]:
        """The weighted terms of one step, by name."""
        # Without lam the unlabelled items are not read.
        outputs = self.outputs(state, batch, labelled_only=not self.lam)
        h, labels = torch.sigmoid(outputs["z"]), batch.labels[: batch.labelled]
        losses = {}
        if "classes" in outputs:
            kind = self.class_loss(labels)
            losses["class"] = classification(outputs["classes"][: batch.labelled], labels, kind=kind)  # type: ignore[arg-type]
        if self.w_rank or self.w_likelihood:
            similarity, known = label_similarity(labels)
        if self.w_rank:
            # With one class an item the first draw is always accepted.
            draws = self.max_draws if labels.ndim == 2 else 1
            triplets = draw_triplets(similarity, known, draws=draws, generator=state.generator("triplets"))
            losses["rank"] = self.w_rank * triplet_ranking(h, triplets, margin=self.margin_rank)
        if self.w_likelihood:
            pairs = pairwise_likelihood(2 * h[: batch.labelled] - 1, similarity, mask=known, scale=self.scale)
            losses["likelihood"] = self.w_likelihood * pairs
        if self.q:
            losses["quantization"] = self.q * quantization(2 * h - 1)
        lam = rampup_weight(epoch, self.ramp * self.epochs, self.lam) if self.ramp else self.lam
        if self.lam and self.w_pair:
            losses["embedding"] = lam * self.w_pair * self.embedding_term(state, batch, h, outputs)
        if self.lam and self.pseudo and self.w_pseudo and "classes" in outputs:
            classes = self.mean_classes(state, batch) if self.teacher else outputs["classes"]
            losses["pseudo"] = lam * self.w_pseudo * self.pseudo_term(state, batch, h, classes)
        return losses

    def mean_classes(self, state: State, batch: Batch) -> Tensor:
        """Class logits (n, classes) by the running means, on the second view of the items."""
        network, classifier = (cast(EMATeacher, state.modules[_MEAN + name]) for name in ("student", "classifier"))
        x = batch.views[min(1, len(batch.views) - 1)]
        with torch.no_grad(), state.drawing_from("teacher") as generator:
            classes = classifier(cast(HashNetwork, network.model).features(self.perturbation(x, generator)))
        return self.gathered(state, batch, classes)

    def outputs(self, state: State, batch: Batch, *, labelled_only: bool = False) -> dict[str, Tensor]:
        """What the networks make of a random view of the batch, gathered from all processes.

        Returns:
            "z" (n, bits), logits of the hash head; "classes" (n, classes), logits of the class head if there is one;
            "features" (n, features) if the graph needs them.
        """
        network = cast(HashNetwork, state.modules["student"])
        x = batch.labelled_x() if labelled_only else batch.x
        with state.drawing_from("student") as generator:
            features = network.features(self.perturbation(x, generator))
            found = {"z": network.head(features)}
        if "classifier" in state.modules:
            found["classes"] = state.modules["classifier"](features)
        if self.graph == "backbone":
            found["features"] = features.detach()
        return {name: self.gathered(state, batch, value) for name, value in found.items()}

    def embedding_term(self, state: State, batch: Batch, h: Tensor, outputs: dict[str, Tensor]) -> Tensor:
        """J_embedding of all items of the batch."""
        items, z = len(h), outputs["z"]
        k, window = near_count(items, self.k), far_window(items, self.bits, self.far_window)
        if self.graph == "codes":
            near, far = near_far_lists_of_codes(z, k, window, exclude_self=self.exclude_self)
        else:
            points = h if self.graph == "hash" else outputs["features"]
            near, far = near_far_lists(points, k, window, exclude_self=self.exclude_self)
        generator = state.generator("graph")
        if self.graph_scope == "batch":
            return graph_embedding(h, draw_pairs(near, far, generator=generator), margin=self.margin)
        bank, codes, index = (
            CodeBank(state.tensors, len(state.data), self.bits, h.device),
            pack(z.detach()),
            batch.index[:items],
        )
        bank.write(index, codes)
        _, near = bank.nearest(codes, self.k, exclude=index if self.exclude_self else None)
        pairs = draw_pairs(near, far, generator=generator)
        constants = (bank.outputs(pairs[:, 1]) + 1) / 2
        # Places of the near items are rows of the bank, which `constants` stand for.
        pairs[:, 1] = pairs[:, 0]
        return graph_embedding(h, pairs, margin=self.margin, constants=constants)

    def pseudo_term(self, state: State, batch: Batch, h: Tensor, classes: Tensor) -> Tensor:
        """J_pseudo of the unlabelled items of the batch."""
        first = batch.labelled
        if self.pseudo_loss == "likelihood":
            kind: Literal["softmax", "sigmoid"] = "softmax" if self.class_loss(batch.labels) == "softmax" else "sigmoid"
            target = class_pair_probability(classes, batch.labels, kind=kind)[first:]
            others = ~torch.eye(len(h), dtype=torch.bool, device=h.device)[first:]
            u = 2 * h - 1
            return pairwise_likelihood(u[first:], target, u, mask=others, scale=self.scale)
        positive, negative = pseudo_label_candidates(classes, batch.labels)
        if self.exclude_self:
            positive.fill_diagonal_(False)
        both = torch.cat([positive[first:], negative[first:]])
        sides = draw_columns(both, generator=state.generator("pseudo")).view(2, -1)
        pairs = torch.stack([torch.arange(first, len(h), device=h.device), *sides], 1)
        return graph_embedding(h, pairs, margin=self.margin)

    def after_step(self, state: State, step: int, epoch_length: float) -> None:
        """The running means move towards their networks."""
        for name, module in state.modules.items():
            if name.startswith(_MEAN):
                mean = cast(EMATeacher, module)
                mean.decay_max = self.ema_ramp if step < self.ramp * self.epochs * epoch_length else self.ema_max
                mean.update(state.modules[name.removeprefix(_MEAN)], step)

    def class_loss(self, labels: Tensor) -> str:
        """`cls`, or its rule."""
        return self.cls or ("softmax" if labels.ndim == 1 else "squared")

    @property
    def margin(self) -> float:
        """`margin_pair`, or its rule."""
        if self.margin_pair is not None:
            return self.margin_pair
        return 2.5 if self.bits == 12 else min(3.0, 0.72 * math.sqrt(self.bits))
