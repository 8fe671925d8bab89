"""Small items in several modalities, and a method that trains on them in a second."""

import torch

from fasthash import methods
from fasthash.data import Modalities, TrainingSet
from fasthash.methods import State

SMALL = {
    "bits": 8,
    "network": {"hidden": 16},
    "batch_size": 16,
    "epochs": 2,
    "adversarial_rounds": 2,
    "selector_epochs": 1,
    "selector_queries": 4,
    "selector_share": 0.3,
    "refine_rounds": 2,
}


def skdch(**options):
    return methods.create("skdch", **{**SMALL, **options})


def items(names=("image", "text"), hidden=0, missing=False, multi_hot=False):
    """40 objects of three classes, 15 of them labelled; with `missing`, half of the last modality is not a number."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(40) % 3
    centres = torch.randn(3, 5, generator=generator)
    sources = {name: centres[labels] + torch.randn(40, 5, generator=generator) for name in names}
    present = {names[-1]: torch.arange(40) % 4 > 1} if missing else {}
    for name, there in present.items():
        sources[name][~there] = torch.nan
    labels[15:] = hidden
    if multi_hot:
        labels = torch.nn.functional.one_hot(labels, 3) | torch.nn.functional.one_hot((labels + labels // 2) % 3, 3)
    return TrainingSet(Modalities(sources, present), labels, range(15), range(15, 40))


def start(method, data):
    torch.manual_seed(0)
    return State(data, method.modules(method.hash_network(data.spec), data.spec))


def squared(a, b):
    return sum((x - y) ** 2 for x, y in zip(a, b, strict=True))
