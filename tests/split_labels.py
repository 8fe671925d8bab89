"""Labels of the sizes that protocols are for."""

import functools

import numpy as np

from fasthash.data import load_digits, protocols

PROTOCOLS = {protocol.name: protocol for protocol in protocols()}


def synthetic_labels(name):
    """Labels of the form that a protocol is for: right counts, arbitrary content, fixed."""
    return _labels(PROTOCOLS[name].data)


@functools.cache
def _labels(data):
    forms = [protocol for protocol in PROTOCOLS.values() if protocol.data == data]
    protocol = next((form for form in forms if form.chosen == "fixed"), forms[0])
    rng = np.random.default_rng(12345)
    if protocol.name == "digits-semi":
        return load_digits()[1].numpy()
    if protocol.chosen == "fixed":
        queries = np.repeat(np.arange(protocol.classes), protocol.query_classes)
        first = np.arange(protocol.items - len(queries)) % protocol.classes
        return np.concatenate([rng.permutation(first), rng.permutation(queries)])
    if not protocol.multi_label:
        return rng.permutation(np.repeat(np.arange(protocol.classes), protocol.items // protocol.classes))
    labels = rng.random((protocol.items, protocol.classes)) < 0.05
    if not protocol.some_without_label:
        labels[np.arange(protocol.items), rng.integers(protocol.classes, size=protocol.items)] = True
    return labels
