"""All protocols, by name."""

from __future__ import annotations

from fasthash.data.splits._multi_label import MULTI_LABEL
from fasthash.data.splits._single_label import SINGLE_LABEL
from fasthash.data.splits.protocol import Protocol

PROTOCOLS = {protocol.name: protocol for protocol in (*SINGLE_LABEL, *MULTI_LABEL)}


def protocols() -> tuple[Protocol, ...]:
    """All protocols that `make_split` and `read_split` know.

    Example:
        >>> from fasthash import data
        >>> [protocol.name for protocol in data.protocols() if protocol.data.startswith("Wikipedia")]
        ['wikipedia', 'wikipedia-693']
    """
    return tuple(PROTOCOLS.values())


def find(function: str, name: str) -> Protocol:
    """The protocol of this name, for `function`.

    Raises:
        ValueError: there is none.
    """
    if name not in PROTOCOLS:
        raise ValueError(f"{function}: protocol: expected one of {', '.join(PROTOCOLS)}; got {name!r}")
    return PROTOCOLS[name]
