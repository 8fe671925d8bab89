"""`fasthash train`: a method on data, into a run folder; or a stopped run, resumed."""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Annotated, Any, NoReturn

from fasthash import methods, training
from fasthash.cli import usage
from fasthash.cli.recipe import RECIPE, DataOptions, Recipe, open_split, read_recipe, report_on, training_set

USAGE = """fasthash train METHOD [options]
       fasthash train --config FILE.yaml [options]
       fasthash train --resume RUN"""
EPILOG = """examples:
  fasthash train pts3h --preset digits --bits 48 --out runs/first
  fasthash train pts3h --data cifar10 --root data/cifar10 --labels 5000 --bits 48
  fasthash train pts3h --bits 48 --print-config > run.yaml
  fasthash train --config run.yaml --seed 1
  fasthash train --resume runs/first
`fasthash train METHOD --help` shows the options of a method, of the data and of the training."""


def main(arguments: Sequence[str]) -> None:
    """Parse, train, report."""
    parser = _first_parser()
    named = bool(arguments) and not arguments[0].startswith("-")
    first, rest = parser.parse_known_args(arguments[1:] if named else arguments)
    if named and arguments[0] not in methods.available():
        names = methods.available()
        close = usage.near(arguments[0], names)
        parser.error(f"expected a METHOD, one of {', '.join(names)}, got {arguments[0]!r}{close}")
    sources = [f"METHOD {arguments[0]}"] if named else []
    sources += [f"--{name}" for name in ("config", "resume") if getattr(first, name) is not None]
    if not sources and (not arguments or any(word in ("-h", "--help") for word in rest)):
        parser.print_help()
        sys.exit(0 if arguments else 2)
    if len(sources) != 1:
        parser.error(f"expected one of METHOD, --config FILE and --resume RUN, got {' and '.join(sources) or 'none'}")
    if first.resume is not None:
        if rest or first.preset or first.out or first.print_config:
            parser.error("--resume: expected no option but --no-report beside it: the run folder holds them all")
        _resume(Path(first.resume), first.report)
        return
    if first.config is not None and first.preset is not None:
        parser.error("--preset: expected a METHOD beside it, got --config")
    if first.config is not None:
        recipe = Recipe.read(first.config)
    else:
        recipe = Recipe(methods.create(arguments[0], preset=first.preset))
    recipe = _override(recipe, rest)
    if first.out is not None:
        recipe = dataclasses.replace(recipe, training=dataclasses.replace(recipe.training, folder=first.out))
    if first.print_config:
        print(recipe.to_yaml(), end="")
        return
    _train(recipe, first.report)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Wrong words, in one line."""
        usage.refuse(self.prog, message)


def _first_parser() -> argparse.ArgumentParser:
    """What decides about the other options; tyro reads those."""
    parser = _Parser(
        "fasthash train",
        usage=USAGE,
        description="Train a hash network and report on it. METHOD is one of " + ", ".join(methods.available()) + ".",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        add_help=False,  # `--help` behind a METHOD is for tyro
        allow_abbrev=False,
    )
    parser.add_argument("--config", metavar="FILE", help="YAML to start from, as --print-config writes it")
    parser.add_argument("--resume", metavar="RUN", help="run folder of a stopped run to go on with")
    parser.add_argument("--preset", help="options found for some data, to start from")
    parser.add_argument("--out", metavar="RUN", help="run folder; default runs/METHOD-DATA-BITS-SEED")
    parser.add_argument("--print-config", action="store_true", help="print the whole configuration as YAML and stop")
    parser.add_argument("--no-report", dest="report", action="store_false", help="leave out the report after training")
    return parser


def _override(recipe: Recipe, arguments: Sequence[str]) -> Recipe:
    """The recipe with the options of the command line."""
    import tyro

    flat = tyro.conf.arg(name="")
    options = dataclasses.make_dataclass(
        "Options",
        [
            ("method", Annotated[type(recipe.method), flat]),
            ("data", Annotated[DataOptions, flat]),
            ("training", Annotated[_training_options(), flat]),
        ],
        frozen=True,
    )
    config = {field.name: getattr(recipe.training, field.name) for field in dataclasses.fields(_training_options())}
    name = recipe.method.name
    with usage.one_line(f"fasthash train {name}"):
        found: Any = tyro.cli(
            options,
            default=options(recipe.method, recipe.data, _training_options()(**config)),
            args=list(arguments),
            prog=f"fasthash train {name}",
            description=(type(recipe.method).__doc__ or "").split("\n\n")[0] + " See also `fasthash train --help`.",
        )
    return Recipe(found.method, found.data, dataclasses.replace(recipe.training, **dataclasses.asdict(found.training)))


@cache
def _training_options() -> type[Any]:
    """`training.Config` without what `train` itself asks for."""
    fields = [f for f in dataclasses.fields(training.Config) if f.name not in ("folder", "resume")]
    kinds = training.Config.__annotations__
    made = dataclasses.make_dataclass(
        "Training", [(f.name, kinds[f.name], dataclasses.field(default=f.default)) for f in fields], frozen=True
    )
    made.__doc__, made.__module__ = training.Config.__doc__, training.Config.__module__
    return made


def _train(recipe: Recipe, report: bool) -> None:
    config = recipe.training
    if not config.folder:
        data = recipe.data.data.replace("/", "-")
        name = f"{recipe.method.name}-{data}-{recipe.method.bits}-{config.seed}"
        recipe = dataclasses.replace(recipe, training=dataclasses.replace(config, folder=str(Path("runs") / name)))
    _fit(recipe.with_absolute_paths(), report)


def _resume(folder: Path, report: bool) -> None:
    recipe = read_recipe("train: --resume", folder)
    config = dataclasses.replace(recipe.training, folder=str(folder), resume=True)
    _fit(dataclasses.replace(recipe, training=config), report)


def _fit(recipe: Recipe, report: bool) -> None:
    """Train, with the recipe in the folder from the beginning on; then report."""
    dataset, split = open_split(recipe.data, recipe.training.seed)
    first = os.environ.get("RANK", "0") == "0"  # of the processes that torchrun started
    if first:
        print(split, flush=True)
    data = training_set(recipe, dataset, split)
    validation = None
    if len(split.validation):
        validation = training.Validation.from_split(data.source, dataset.labels, split)
    folder = Path(recipe.training.folder)
    run = training.fit(
        recipe.method,
        data,
        recipe.training,
        validation=validation,
        attach={RECIPE: recipe.to_yaml()},
        resume_hint=f"fasthash train --resume {folder} goes on",
    )
    if not first:
        return
    if report:
        print(report_on(run, dataset, split))
    print(f"\nWritten to {folder}/")
