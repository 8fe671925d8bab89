"""Registers ops in Python and calls their compiled kernels: the only users of `torch.library` and of `_C`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from fasthash._native import _C, build_info

# Not `custom_op`: that decorator costs twice as much a call.
_library = torch.library.Library("fasthash", "DEF")


def register(schema: str, *, kernel: Callable[..., Any], fake: Callable[..., Any]) -> Callable[..., Any]:
    """Defines an op and returns it, ready to be called.

    Args:
        schema: name, arguments and results, as torch writes them.
        kernel: checks, allocates and runs, on CPU and CUDA alike.
        fake: checks and allocates; torch.compile traces with it.
    """
    name = schema.split("(")[0]
    _library.define(schema, tags=(torch.Tag.pt2_compliant_tag,))
    for key in ("CPU", "CUDA"):
        _library.impl(name, kernel, key)
    torch.library.register_fake(f"fasthash::{name}", fake, lib=_library)
    op: Callable[..., Any] = getattr(torch.ops.fasthash, name).default
    return op


def register_composite(schema: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """Defines an op that is made of other ops, on every device, and differentiable where they are."""
    name = schema.split("(")[0]
    _library.define(schema, tags=(torch.Tag.pt2_compliant_tag,))
    _library.impl(name, function, "CompositeImplicitAutograd")
    op: Callable[..., Any] = getattr(torch.ops.fasthash, name).default
    return op


def register_gradient(name: str, *, setup_context: Callable[..., None], backward: Callable[..., Any]) -> None:
    """Gives an op its gradient; both functions as `torch.library.register_autograd` takes them."""
    torch.library.register_autograd(f"fasthash::{name}", backward, setup_context=setup_context, lib=_library)


def refuse_gradient(name: str, op: Callable[..., Any], argument: str) -> None:
    """Makes an op with integer results raise when its float argument expects a gradient, instead of losing it."""

    def autograd(x: torch.Tensor) -> Any:
        if torch.is_grad_enabled() and x.requires_grad:
            raise RuntimeError(
                f"{name}: {argument} requires grad, but {name} is not differentiable; "
                f"pass {argument}.detach() or call it under torch.no_grad()"
            )
        with torch._C._AutoDispatchBelowAutograd():
            return op(x)

    _library.impl(name, autograd, "Autograd")


def table(x: torch.Tensor) -> tuple[int, int, int]:
    """Packed rows as the kernels take them: address, rows, bytes a row."""
    return x.data_ptr(), x.shape[0], x.shape[1]


def call(name: str, like: torch.Tensor, *arguments: Any) -> Any:
    """Runs a compiled kernel where a tensor lives: with torch's number of threads, or on the caller's current stream.

    Tensors become addresses, None becomes 0, tuples are spread out.
    """
    flat: list[Any] = []
    for argument in arguments:
        if isinstance(argument, tuple):
            flat.extend(argument)
        elif argument is None:
            flat.append(0)
        else:
            flat.append(argument.data_ptr() if isinstance(argument, torch.Tensor) else argument)
    if not on_cuda(like):
        return getattr(_C, name)(*flat, torch.get_num_threads())
    return getattr(cuda_kernels(name), name)(*flat, *stream(like))


def compiled(name: str) -> Any:
    """A compiled function of sizes alone."""
    return getattr(_C, name)


def on_cuda(x: torch.Tensor) -> bool:
    """Whether the CUDA kernels serve this tensor."""
    return x.is_cuda


def stream(x: torch.Tensor) -> tuple[int, int]:
    """The caller's current stream on the device of a tensor, and that device, which the kernels make current."""
    return torch.cuda.current_stream(x.device).cuda_stream, x.get_device()


def has_cuda_kernels() -> bool:
    """Whether the CUDA kernels are built in."""
    return hasattr(_C, "cuda")


def cuda_kernels(function: str) -> Any:
    """The compiled CUDA functions; says why when this build has none."""
    if not has_cuda_kernels():
        raise RuntimeError(f"{function}: this build has no CUDA kernels (CUDA {build_info()['cuda']})")
    return getattr(_C, "cuda")  # noqa: B009 (not every build has it, so the stubs do not)
