"""Transforms of torchvision (v2) by name, applied to each image of a batch on its own."""

from __future__ import annotations

import ast
from functools import lru_cache
from typing import Any

import torch
from torch import Generator, Tensor


def check_transform(owner: str, text: str) -> tuple[str, tuple[Any, ...], dict[str, Any]]:
    """Name and arguments of a transform such as ``ColorJitter(0.4, hue=0.1)``; arguments are plain values.

    Raises:
        TypeError: text that is none.
        ValueError: another form.
    """
    if not isinstance(text, str):
        raise TypeError(f"{owner}: transforms must be texts such as 'ColorJitter(0.4)', got {text!r}")
    try:
        call = ast.parse(text, mode="eval").body
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name):
            positional = tuple(ast.literal_eval(value) for value in call.args)
            named = {word.arg: ast.literal_eval(word.value) for word in call.keywords if word.arg}
            if len(named) == len(call.keywords):
                return call.func.id, positional, named
    except (SyntaxError, ValueError):
        pass
    raise ValueError(f"{owner}: transforms must be texts such as 'ColorJitter(0.4)', got {text!r}")


def apply_transforms(x: Tensor, transforms: tuple[str, ...], generator: Generator) -> Tensor:
    """Each image of x (n, channels, height, width) through the transforms in turn, each with draws of its own.

    They draw from torch's default generator of the CPU, which is seeded for each image from `generator` and left as it
    was.

    Raises:
        ImportError: torchvision is missing.
        ValueError: a transform that torchvision does not have, or one that changes the size of images.
    """
    made = [_made(text) for text in transforms]
    seeds = torch.randint(2**62, (len(x),), generator=generator, device=generator.device).tolist()
    default = torch.default_generator
    outside = default.get_state()
    try:
        images = []
        for image, seed in zip(x, seeds, strict=True):
            default.manual_seed(seed)
            for transform in made:
                image = transform(image)
            images.append(image)
    finally:
        default.set_state(outside)
    if any(image.shape != x.shape[1:] for image in images):
        raise ValueError(
            f"Perturbation: transforms must keep the shape {tuple(x.shape[1:])} of images, got {tuple(images[0].shape)}"
        )
    return torch.stack(images) if images else x


@lru_cache
def _made(text: str) -> Any:
    try:
        from torchvision.transforms import v2
    except ImportError as error:
        raise ImportError("Perturbation: transforms need torchvision; pip install 'fasthash[vision]'") from error
    name, positional, named = check_transform("Perturbation", text)
    if not hasattr(v2, name):
        raise ValueError(f"Perturbation: transforms must name one of torchvision.transforms.v2, got {name!r}")
    return getattr(v2, name)(*positional, **named)
