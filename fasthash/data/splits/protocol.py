"""What a protocol is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

# The parts that are drawn, in the order in which they are.
DRAWN = ("queries", "validation", "labelled", "unlabelled")


@dataclass(frozen=True)
class Protocol:
    """One way to split one form of a data set: published counts and the rule behind them.

    Attributes:
        name: what `make_split` and `read_split` call it.
        data: the data set, its form and the order of its items where that matters.
        items: items in this form; None where no source says.
        classes: classes of its labels.
        queries: items searched for.
        database: items searched; None where no source says.
        chosen: how items come into the parts. "per class": the same number of each class, drawn. "uniform": drawn
            from all items. "fixed": by their place in the data set, its queries last. "lists": by lists that authors
            published.
        source: who uses these counts.
        unknown: what the source leaves open, or what is ours.
        labelled: items trained on with their labels.
        unlabelled: items trained on without.
        searched: what the database holds.
        multi_label: items carry any number of classes; labels are multi-hot (items, classes) rather than ids (items,).
        balanced: all classes are of one size.
        some_without_label: items without any label belong to this form.
        validation: items set apart by the protocol itself for choosing options.
        query_classes: queries of each class, where the data set fixes them.

    Example:
        >>> from fasthash import data
        >>> protocol = next(p for p in data.protocols() if p.name == "cifar10-semi")
        >>> protocol.queries, protocol.labelled, protocol.unlabelled, protocol.database
        (1000, 5000, 54000, 54000)
        >>> print(protocol.rule)
        100 queries, 500 labelled of each class, drawn; unlabelled: the rest; database: all but queries and labelled
    """

    name: str
    data: str
    items: int | None
    classes: int
    queries: int
    database: int | None
    chosen: Literal["per class", "uniform", "fixed", "lists"]
    source: str
    unknown: str
    labelled: int = 0
    unlabelled: int = 0
    searched: Literal["all but queries", "all but queries and labelled", "queries"] = "all but queries"
    multi_label: bool = False
    balanced: bool = False
    some_without_label: bool = False
    validation: int = 0
    query_classes: tuple[int, ...] = ()

    @property
    def rule(self) -> str:
        """How the parts are chosen, in a sentence."""
        database = f"database: {self.searched}{' and validation' * bool(self.validation)}"
        if self.chosen == "lists":
            return f"lists of the authors; {database}"
        if self.chosen == "fixed":
            return f"the last {self.queries:,} items are queries, the others labelled; {database}"
        left, drawn, rest = self.items or 0, [], ""
        for part in DRAWN:
            count = getattr(self, part)
            left -= count
            if count and left:
                drawn.append(f"{count // self.classes if self.chosen == 'per class' else count:,} {part}")
            elif count:
                rest = f"; {part}: the rest"
        whole = " of each class" if self.chosen == "per class" else ""
        return f"{', '.join(drawn)}{whole}, drawn{rest}; {database}"

    @property
    def form(self) -> str:
        """The labels that this form of the data set has, for messages."""
        if self.multi_label:
            return f"multi-hot labels ({self.items}, {self.classes})"
        return f"class ids ({self.items},) from 0 to {self.classes - 1}"
