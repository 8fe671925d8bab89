"""What a run is made from: method, data and training options, on the command line or in a YAML file."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from fasthash import training
from fasthash.data import Dataset, Split, TrainingSet, array_names, draw_split, keep_labelled, make_split, open_dataset
from fasthash.data.splits.draw import hold_out
from fasthash.evaluation import DirectionReports, RetrievalReport
from fasthash.methods import Method, create
from fasthash.methods.registry import from_mapping

RECIPE = "recipe.yaml"


@dataclass(frozen=True)
class ItemOptions:
    """How the items of one's own data are read; each option is for some data sets, see `data.open_dataset`.

    Attributes:
        key: of features: key of the items in the file.
        labels: of features: key of the labels in the file, or FILE or FILE:KEY.
        views: of features: keys or files of further views of the items.
        modalities: of features: keys of the items in each modality, for a method across them; in place of key. An item
            whose row there is NaN as a whole lacks that modality.
        scale: of features: factor of uint8 values; default 1 / 255.
        offset: of features: added after it.
        channels_last: of features: items are images (height, width, channels).
        lists: of list: text files of lines `path id` or `path 0 1 0 ...`.
        size: of folder and list: side to which images are scaled, pixels.
        channels: of folder and list: 3 or 1.
        crop: of folder and list: share of the side by which random views are cut.
        workers: of folder and list: threads that decode.
    """

    key: str | None = None
    labels: str | None = None
    views: tuple[str, ...] = ()
    modalities: tuple[str, ...] = ()
    scale: float | None = None
    offset: float | None = None
    channels_last: bool = False
    lists: tuple[str, ...] = ()
    size: int | None = None
    channels: int | None = None
    crop: float | None = None
    workers: int | None = None

    def given(self) -> dict[str, Any]:
        """Those that are set, by name."""
        values = dataclasses.asdict(self).items()
        return {name: value for name, value in values if value is not False and value not in (None, ())}


@dataclass(frozen=True)
class DataOptions:
    """Which items, and which of them are queries, labelled and unlabelled.

    Attributes:
        data: digits, cifar10, fashion-mnist, mnist, torchvision/NAME, or features, folder, list for one's own.
        root: the folder that holds it; for features the file.
        items: how one's own items are read.
        protocol: a published split by name; default the semi-supervised one of the data set where there is one, else a
            draw by the numbers below.
        labels: labelled items, evenly over the classes; default those of the protocol, of which the others are left
            out.
        queries: items searched for, where no protocol says it; default about a tenth, at most what the smallest class
            has beside its labelled items for each class.
        validation: items held out of the labelled ones, by which the best weights are kept.
        split_seed: of the split; default --seed.
        standardise: give every dimension mean 0 and deviation 1 over the training items; for features.
    """

    data: str = "digits"
    root: str | None = None
    items: ItemOptions = field(default_factory=ItemOptions)
    protocol: str | None = None
    labels: int | None = None
    queries: int | None = None
    validation: int = 0
    split_seed: int | None = None
    standardise: bool = False


@dataclass(frozen=True)
class Recipe:
    """A run to be made: what `fasthash train` reads, prints and leaves in the run folder."""

    method: Method
    data: DataOptions = field(default_factory=DataOptions)
    training: training.Config = field(default_factory=lambda: training.Config(folder=""))

    def to_yaml(self) -> str:
        """As YAML that `read` takes."""
        config = {k: v for k, v in dataclasses.asdict(self.training).items() if k != "resume"}
        whole = {
            "method": self.method.name,
            "options": dataclasses.asdict(self.method),
            "data": dataclasses.asdict(self.data),
            "training": config,
        }
        text: str = yaml.safe_dump(_plain(whole), sort_keys=False)
        return text

    def with_absolute_paths(self) -> Recipe:
        """The same, with every path absolute: what a run folder keeps, so that the run goes on from any place.

        Raises:
            FileNotFoundError, ValueError: a root that is no file of arrays, where it should be one.
        """
        data, items = self.data, self.data.items
        if data.root is not None:
            keys = array_names(data.root) if data.data == "features" else ()
            items = dataclasses.replace(
                items,
                labels=None if items.labels is None else _absolute(items.labels, keys),
                views=tuple(_absolute(view, keys) for view in items.views),
                lists=tuple(_absolute(file) for file in items.lists),
            )
            data = dataclasses.replace(data, root=_absolute(data.root), items=items)
        method, weights = self.method, self.method.network.weights_file
        if weights is not None:
            network = dataclasses.replace(method.network, weights=_absolute(weights))
            method = dataclasses.replace(method, network=network)
        return dataclasses.replace(self, method=method, data=data)

    @classmethod
    def read(cls, path: str | Path, where: str = "train: --config") -> Recipe:
        """From a YAML file; what it leaves out stays at its default. Errors begin with `where` and the file.

        Raises:
            TypeError: a value of another kind.
            ValueError: no such file, no YAML, or unknown keys.
        """
        where = f"{where} {str(path)!r}"
        try:
            found = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise ValueError(f"{where}: expected a YAML file: {error}") from error
        if not isinstance(found, dict) or not isinstance(found.get("method"), str):
            raise ValueError(f"{where}: expected a mapping with the key method, got {type(found).__name__}")
        unknown = set(found) - {"method", "preset", "options", "data", "training"}
        if unknown:
            raise ValueError(
                f"{where}: expected the keys method, preset, options, data, training, got {', '.join(sorted(unknown))}"
            )
        parts = {name: {} if found.get(name) is None else found[name] for name in ("options", "data", "training")}
        for name, part in parts.items():
            if not isinstance(part, dict):
                raise ValueError(f"{where}: {name}: expected a mapping, got {part!r}")
        if not isinstance(found.get("preset"), str | None):
            raise TypeError(f"{where}: preset must be a text, got {found['preset']!r}")
        return cls(
            create(found["method"], preset=found.get("preset"), **parts["options"]),
            from_mapping(DataOptions, parts["data"], f"{where}: data"),
            from_mapping(training.Config, {"folder": "", **parts["training"]}, f"{where}: training"),
        )


def open_split(options: DataOptions, seed: int) -> tuple[Dataset, Split]:
    """The data set and its split.

    Raises:
        FileNotFoundError, ImportError, TypeError, ValueError: data that is not there, or options that do not go
            together.
    """
    dataset = open_dataset(options.data, options.root, **options.items.given())
    labels, seed = dataset.labels, seed if options.split_seed is None else options.split_seed
    protocol = options.protocol or _usual(dataset)
    if protocol is None:
        return dataset, _draw(dataset, options, seed)
    if options.queries is not None:
        raise ValueError(f"train: --queries: expected none beside the protocol {protocol}, got {options.queries}")
    split = make_split(protocol, labels, seed)
    if options.labels is not None and options.labels != len(split.labelled):
        split = keep_labelled(split, labels, options.labels, seed=seed)
    return dataset, hold_out("train: --validation", split, labels, options.validation, seed)


def read_recipe(where: str, folder: Path) -> Recipe:
    """The recipe that `fasthash train` left in a run folder; errors begin with `where`.

    Raises:
        ValueError: there is none.
    """
    if not (folder / RECIPE).is_file():
        raise ValueError(f"{where}: expected a run folder of `fasthash train`, with its {RECIPE}, got {str(folder)!r}")
    return Recipe.read(folder / RECIPE, where)


def training_set(recipe: Recipe, dataset: Dataset, split: Split) -> TrainingSet:
    """What training may read."""
    return TrainingSet.from_split(dataset.source, dataset.labels, split, standardise=recipe.data.standardise)


def check_data(where: str, run: training.Run, data: TrainingSet) -> None:
    """Refuse data that are not those of a run; errors begin with `where`.

    Raises:
        ValueError: other items, labels or another split than the run was trained on.
    """
    trained, found = run.config()["items"]["digest"], data.digest()
    if found != trained:
        raise ValueError(
            f"{where}: expected the items, labels and split that {str(run.path)!r} was trained on (digest {trained}), "
            f"got others (digest {found}): its data have changed since"
        )


def report_on(run: training.Run, dataset: Dataset, split: Split, **options: Any) -> RetrievalReport | DirectionReports:
    """The report on the split's queries, encoded on a GPU where there is one, and kept in the run folder.

    Items of the database without a class id are left out: whether they are answers is not known. Of a network of
    several modalities one for each direction.
    """
    labels = dataset.labels[split.database]
    database = split.database[labels >= 0] if labels.ndim == 1 else split.database
    unknown = len(split.database) - len(database)
    left_out = f" ({unknown:,} without a label are left out)" if unknown else ""
    print(f"encoding {len(split.queries):,} queries and {len(database):,} items{left_out}", file=sys.stderr, flush=True)
    sides: dict[str, Any] = {
        "queries": dataset.source.select(split.queries),
        "database": dataset.source.select(database),
        "query_labels": dataset.labels[split.queries],
        "database_labels": dataset.labels[database],
        "device": run.accelerator(),
    }
    if training.load(run).modalities:
        if (length := options.pop("length", None)) is not None:
            raise ValueError(f"evaluate: --length: expected none for a run of several modalities, got {length}")
        return training.report_directions(run, **sides, **options)
    return training.report_run(run, database_rows=database, **sides, **options)


def _usual(dataset: Dataset) -> str | None:
    """The semi-supervised protocol that fits a data set, if there is one and no other."""
    found = [name for name in dataset.protocols if name.endswith("-semi")]
    return found[0] if len(found) == 1 else None


def _draw(dataset: Dataset, options: DataOptions, seed: int) -> Split:
    labels = dataset.labels
    if options.labels is None:
        fitting = ", ".join(dataset.protocols) or "none fits"
        raise ValueError(
            f"train: --labels: expected how many items are labelled, or a --protocol ({fitting}), got none"
        )
    if options.queries is not None and options.queries < 1:
        raise ValueError(f"train: --queries: expected at least 1, got {options.queries}")
    sizes = np.unique(labels[labels >= 0], return_counts=True)[1] if labels.ndim == 1 else np.array([len(labels)])
    classes = max(len(sizes), 1)
    # A tenth of all items, or what the smallest class has beside its labelled ones.
    most = int(sizes.min(initial=len(labels))) - options.labels // classes
    for name, count in {"labels": options.labels, "validation": options.validation, "queries": options.queries}.items():
        if count is not None and labels.ndim == 1 and count % classes:
            near = max(count // classes, 1) * classes
            raise ValueError(
                f"train: --{name}: expected as many of each of {classes} classes, such as {near}, got {count}"
            )
    queries = options.queries
    if labels.ndim == 1 and most < 1:
        raise ValueError(
            f"train: --labels: expected fewer than {sizes.min()} of each class, the items of the smallest one, for one "
            f"at least is a query, got {options.labels} for {classes} classes"
        )
    if queries is None:
        queries = max(min(round(len(labels) / 10 / classes), most), 1) * classes
    return draw_split(
        labels,
        queries=queries,
        labelled=options.labels - options.validation,
        validation=options.validation,
        seed=seed,
        name=dataset.name,
    )


def _absolute(name: str, keys: Sequence[str] = ()) -> str:
    """The absolute path of FILE, or FILE:KEY; a key of the data's own file stays."""
    return name if name in keys else str(Path(name).absolute())


def _plain(value: Any) -> Any:
    """Tuples as lists, which is all that YAML has."""
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    return [_plain(part) for part in value] if isinstance(value, list | tuple) else value
