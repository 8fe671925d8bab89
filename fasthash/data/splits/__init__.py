"""Named splits (protocols): which items are queries, database, labelled and unlabelled.

A protocol is data: counts, a rule, a source, and what the source leaves open. `make_split` draws its parts from labels,
`read_split` reads the lists that authors published, `draw_split` draws parts of one's own data, `keep_labelled` leaves
fewer labels; all give a `Split`, which checks itself.
"""

from fasthash.data.splits.draw import make_split
from fasthash.data.splits.lists import ListedSplit, read_split
from fasthash.data.splits.own import draw_split, keep_labelled
from fasthash.data.splits.protocol import Protocol
from fasthash.data.splits.published import protocols
from fasthash.data.splits.split import Split

__all__ = ["ListedSplit", "Protocol", "Split", "draw_split", "keep_labelled", "make_split", "protocols", "read_split"]
