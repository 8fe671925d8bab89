"""Train a method: set everything up, run its plan, keep the run folder."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from fasthash.data import TrainingSet
from fasthash.methods import Cursor, Method, State, walk
from fasthash.networks import ModalNetwork
from fasthash.training.averaging import add_average, check_plan, taking_over
from fasthash.training.checkpoint import latest_checkpoint, load_checkpoint
from fasthash.training.config import Config
from fasthash.training.encoding import evaluating
from fasthash.training.interrupt import Interrupt
from fasthash.training.keeper import EarlyStop, Keeper
from fasthash.training.log import check_tensorboard
from fasthash.training.loop import Loop, make_optimisers
from fasthash.training.progress import Progress, default_progress
from fasthash.training.ranks import Ranks, launch
from fasthash.training.run import Run, describe, find_run, write_start
from fasthash.training.seeds import seed_everything
from fasthash.training.validation import Validation


def fit(
    method: Method,
    data: TrainingSet,
    config: Config,
    *,
    validation: Validation | None = None,
    network: nn.Module | None = None,
    progress: Progress | None = None,
    attach: Mapping[str, str] | None = None,
    resume_hint: str = "call fit again with Config(..., resume=True) to go on",
) -> Run:
    """Train a method and leave a run folder.

    The same method, data, config, versions and machine give the same weights; on a CPU also bit for bit (with the same
    number of torch threads), and also if the run was stopped or killed and resumed. Ctrl-C saves and stops; a second
    one stops at once. The folder appears with the first step that is done: what cannot start leaves nothing.

    Under torchrun each process calls this with the same arguments; the losses are those of the whole batch, and the
    first process writes the folder, which all must be able to read to resume.

    Args:
        method: what to train, as `methods.create` makes it.
        data: what it may read.
        config: how.
        validation: items that score the run, so that its best weights are kept, and `config.patience` can end it.
        network: a hash network (n, ...) -> (n, bits) in (-1, 1) in place of the method's own; it is trained in place,
            and `load` must be given one like it.
        progress: what shows the run; None = a bar on a terminal, else lines.
        attach: texts by file name, put into the folder beside what `fit` writes.
        resume_hint: how to go on, for the messages of Ctrl-C and of a folder that holds a run.

    Returns:
        The run folder.

    Raises:
        FileExistsError: the folder holds a run and config.resume is off.
        FloatingPointError: a loss is no number any more.
        ImportError: lightning-fabric is missing, or TensorBoard where it is asked for.
        KeyboardInterrupt: Ctrl-C; the run can be resumed.
        TypeError: a stage whose step returns no mapping of losses.
        ValueError: no folder named, "16-mixed" on a CPU, a folder whose run had other options or another kind of
            device, a network of another width, patience without validation, a running mean of a method that has its
            own, or a stage with too few batches.

    Example:
        >>> import tempfile
        >>> from fasthash import data, methods, training
        >>> images, labels = data.load_digits()
        >>> split = data.make_split("digits-semi", labels)
        >>> method = methods.create("pts3h", bits=32, epochs=1)
        >>> items = data.TrainingSet.from_split(images, labels, split)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     run = training.fit(method, items, training.Config(folder), progress=training.Silent())
        ...     training.load(run).encode(images[split.queries]).shape
        torch.Size([300, 4])
    """
    if not config.folder:
        raise ValueError("fit: config.folder must name a folder, got ''")
    if config.patience is not None and validation is None:
        raise ValueError("fit: validation must be given for config.patience, got None")
    if config.tensorboard:
        check_tensorboard()
    if network is not None:
        _check_network(network, data, method.bits)
    own_network = network is not None
    if validation is not None:
        validation = validation.read_as(data.source.reading)

    seed_everything(config.seed)
    fabric = launch(config)
    ranks = Ranks(fabric)
    network = method.hash_network(data.spec) if network is None else network
    modules = {name: module.to(fabric.device) for name, module in method.modules(network, data.spec).items()}
    for module in modules.values():
        ranks.share_first([*module.parameters(), *module.buffers()])
    if validation is not None:
        validation.check(method.encoder(modules))
    state = State(data, modules, config.seed, fabric.device, rank=ranks.rank, ranks=ranks.count)
    state.gather_rows = ranks.gather if ranks.count > 1 else None
    plan = method.plan(data, config.seed)
    stages = list(walk(plan))
    optimisers = make_optimisers(plan, state)
    if config.ema is not None:
        check_plan(method, plan, config.ema)
        add_average(method, modules, config.ema)
        plan = taking_over(method, plan)

    description = describe(method, data, config, own_network=own_network, validation=validation, ranks=ranks.count)
    run = find_run(config, description, resume_hint) if ranks.writes else Run(config.folder)
    start, rest = Cursor(stages[0][0]), dict[str, Any]()
    saved = ranks.first(latest_checkpoint(run.checkpoints) if config.resume else None)
    if saved:
        cursor, rest = load_checkpoint(saved, state, optimisers)
        if cursor is None:
            return run
        start = cursor
        fabric.strategy.precision.load_state_dict(rest["precision"])
        _check_threads(rest["threads"], fabric.device)
        _check_versions(run.config()["versions"], description["versions"])

    progress = progress or default_progress(method.name)
    keeper = Keeper(
        run,
        config,
        method,
        state,
        optimisers,
        ranks,
        fabric.strategy.precision,
        progress,
        validation=validation,
        saved=rest,
        start=lambda: write_start(run, description, data, ranks.count, attach or {}),
        hint=resume_hint,
    )
    loop = Loop(fabric, plan, state, optimisers, clip=config.clip, on_step=keeper.step, on_pause=keeper.pause)
    with Interrupt() as keeper.interrupt, keeper.showing(sum(stage.length for _, stage in stages)):
        try:
            loop.run(start)
            keeper.finish(stages[-1][1])
        except EarlyStop:
            keeper.finish(None)
        if keeper.interrupt.asked:
            message = f"stopped at the end; the run in {str(run.path)!r} is complete"
            if ranks.writes:
                progress.note(message)
            raise KeyboardInterrupt(message)
    ranks.any(False)  # waits until the folder is whole for all
    return run


def _check_network(network: nn.Module, data: TrainingSet, bits: int) -> None:
    branches = [(network, data.shape)]
    if isinstance(network, ModalNetwork):
        if network.names != tuple(name for name, _ in data.spec.modalities):
            raise ValueError(
                f"fit: network must have the modalities {[name for name, _ in data.spec.modalities]} of data, "
                f"got {list(network.names)}"
            )
        branches = [(network.branch(name), shape) for name, shape in data.spec.modalities]
    for branch, of_item in branches:
        with evaluating(branch):
            shape = tuple(branch.cpu()(torch.zeros(1, *of_item)).shape)
        if shape != (1, bits):
            raise ValueError(f"fit: network must turn one item into (1, {bits}), got {shape}")


def _check_versions(before: Mapping[str, str], now: Mapping[str, str]) -> None:
    others = [name for name in ("fasthash", "torch", "numpy") if before.get(name) != now.get(name)]
    if others:
        had, has = (", ".join(f"{name} {found.get(name)}" for name in others) for found in (before, now))
        warnings.warn(f"fit: the run had {had} and goes on with {has}, which may compute other bits", stacklevel=3)


def _check_threads(before: int, device: torch.device) -> None:
    now = torch.get_num_threads()
    if device.type == "cpu" and now != before:
        warnings.warn(
            f"fit: the run had {before} torch threads and goes on with {now}, which may round sums in another way; "
            f"torch.set_num_threads({before}) before gives the same bits",
            stacklevel=3,
        )
