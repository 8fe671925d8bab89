"""What each sub-command of `fasthash` takes; the work is in the file of its name, imported when it is asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal

import tyro

Ties = Literal["expected", "index", "best", "worst"]
Runs = Annotated[
    tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="RUN [RUN ...]", help_behavior_hint="(one or more)")
]


def demo(out: str = "runs/demo", seed: int = 0) -> None:
    """Train on real handwritten digits, search, and print an honest report.

    Example: fasthash demo --out runs/demo

    Trains a network on 100 labelled digits and PTS3H on the same labels plus 1,197 unlabelled digits, with the same
    seed, network and budget; encodes, packs and searches with the packed ops; writes config, metrics, codes and
    pictures to a folder. Under two minutes on two cores.

    Args:
        out: folder to write to; what a demo left there before is replaced.
        seed: of the split, the networks and the batches.
    """
    from fasthash.cli.demo import run

    run(out, seed)


def train() -> None:
    """Train a hash network on images or features, and report on it.

    Example: fasthash train pts3h --data cifar10 --root data/cifar10 --labels 5000 --bits 48
    """
    raise AssertionError("main hands `train` on before its options are read")


def encode(
    input: str,
    out: str,
    run: str | None = None,
    which: Literal["best", "last"] | None = None,
    length: int | None = None,
    modality: str | None = None,
) -> None:
    """Turn vectors or images into packed codes: by their signs, or by the trained network of a run.

    Example: fasthash encode --input embeddings.npy --out codes.safetensors
    Example: fasthash encode --run runs/first --input images.npy --out codes.npy

    Input is read in blocks (an array of a .npz file is unpacked for that, into the folder that FASTHASH_CACHE names);
    the output appears when it is whole.

    Args:
        input: .npy, .npz or .safetensors file, FILE or FILE:KEY, one row an item. With a run, uint8 is read as its
            training items were, with their scale, offset and order of channels.
        out: .npy or .safetensors file to write; the latter states the width of the codes.
        run: run folder whose network encodes; default the sign of each value.
        which: weights of the run; default the best where it was validated, else the last.
        length: bits of the codes, of a run that learnt several; default those it was trained for, the shortest.
        modality: which one the input is, for a run of several.
    """
    from fasthash.cli.encode import run as encode_file

    encode_file(input, out, run, which, length, modality)


def evaluate(
    query_codes: str | None = None,
    database_codes: str | None = None,
    query_labels: str | None = None,
    database_labels: str | None = None,
    run: str | None = None,
    which: Literal["best", "last"] | None = None,
    length: int | None = None,
    bits: int | None = None,
    k: tuple[int, ...] = (10, 100, 1000, 5000),
    radius: int = 2,
    ties: Ties = "expected",
    gain: Literal["exponential", "linear"] = "exponential",
    empty: Literal["zero", "skip"] = "zero",
    relevance: Literal["share", "identical"] = "share",
    query_features: str | None = None,
    database_features: str | None = None,
    json: str | None = None,
    markdown: str | None = None,
    plots: str | None = None,
    strict: bool = False,
) -> None:
    """Evaluate binary codes: mAP, precision, recall, NDCG, curves, alarms, each with its convention.

    Example: fasthash evaluate --query-codes q.npz:b --database-codes d.npy --query-labels a.npy --database-labels b.npy
    Example: fasthash evaluate --run runs/first

    Either the four files of codes and labels, or a run folder of `fasthash train`, whose queries and database are then
    encoded again; its report.json, report.md and plots are replaced.

    Files are .npy, .npz or .safetensors; name an array inside as FILE:KEY. Codes are packed uint8 rows, or matrices
    of one column a bit (bit = x > 0); labels are class ids (-1 = none) or multi-hot matrices. When queries and database
    are the same array, no query meets itself.

    Args:
        query_codes: file with the codes of the queries.
        database_codes: file with the codes of the database.
        query_labels: file with the labels of the queries.
        database_labels: file with the labels of the database.
        run: run folder, in place of the four files.
        which: weights of the run; default the best where it was validated, else the last.
        length: bits of the codes, of a run that learnt several; default those it was trained for, the shortest.
        bits: code width; default that of the file's metadata, or 8 for each byte of packed codes.
        k: numbers of ranks.
        radius: of the Hamming ball, inclusive.
        ties: order among equal distances.
        gain: of NDCG, 2^g - 1 or g for g shared labels.
        empty: queries without a hit or a relevant item score 0, or leave the mean.
        relevance: share a label, or have identical label sets.
        query_features: file with features of the queries; rows found in the database raise an alarm.
        database_features: file with features of the database.
        json: file to write the report to as JSON.
        markdown: file to write the table to as Markdown.
        plots: folder to draw pictures into (needs matplotlib).
        strict: exit with code 3 when there is a warning.
    """
    from fasthash.cli.evaluate import Output, evaluate_files, evaluate_run

    files = (query_codes, database_codes, query_labels, database_labels)
    options = {"k": k, "radius": radius, "ties": ties, "gain": gain, "empty": empty, "relevance": relevance}
    output = Output(json, markdown, plots, strict)
    if run is not None:
        others = {"--bits": bits, "codes and labels": any(files), "features": query_features or database_features}
        evaluate_run(run, which, others, {"length": length, **options}, output)
        return
    for name, value in {"which": which, "length": length}.items():
        if value is not None:
            raise ValueError(f"evaluate: --{name}: expected a --run beside it, got {value} alone")
    evaluate_files(files, bits, (query_features, database_features), options, output)


def audit(
    query_codes: str,
    database_codes: str,
    query_labels: str,
    database_labels: str,
    bits: int | None = None,
    k: int = 5000,
    query_features: str | None = None,
    database_features: str | None = None,
    json: str | None = None,
) -> None:
    """Show what common public code would print as mAP for these codes, beside the value that no order of ties moves.

    Example: fasthash audit --query-codes c.npz:q --database-codes c.npz:d --query-labels q.npy --database-labels d.npy

    Files as for `fasthash evaluate`.

    Args:
        query_codes: file with the codes of the queries.
        database_codes: file with the codes of the database.
        query_labels: file with the labels of the queries.
        database_labels: file with the labels of the database.
        bits: code width; default that of the file's metadata, or 8 for each byte of packed codes.
        k: window of the conventions that have one.
        query_features: file with real-valued features of the queries, for the convention that re-ranks by them.
        database_features: file with those of the database.
        json: file to write the table to as JSON.
    """
    from fasthash.cli.audit import run

    files = (query_codes, database_codes, query_labels, database_labels)
    run(files, bits, (query_features, database_features), k, json)


def report(runs: Runs = (), out: str | None = None) -> None:
    """Write one HTML page of runs: metrics, curves, history, codes, retrieval grids, side by side.

    Example: fasthash report runs/first
    Example: fasthash report runs/first runs/second --out report.html

    The page loads nothing, so that it can be sent or put beside a paper. Differences are taken to the first run. What
    a run folder lacks is said in its place.

    Args:
        runs: run folders of `fasthash train`, or of `training.fit`.
        out: file to write; default report.html in the first run folder.
    """
    from fasthash.cli.report import run

    run(runs, out)


def index_build(
    codes: tuple[str, ...],
    out: str,
    ids: str | None = None,
    documents: str | None = None,
    store: Literal["int8", "float16", "float32"] = "float16",
    bits: int | None = None,
    overwrite: bool = False,
) -> None:
    """Make an index file from files of codes.

    Example: fasthash index build --codes a.npy b.npz:codes --out all.fasthash

    Files are .npy, .npz or .safetensors; name an array inside as FILE:KEY. Codes are packed uint8 rows, or matrices of
    one column a bit (bit = x > 0). The index file appears when it is whole: after a crash, run the same again.

    Args:
        codes: files of codes, in this order.
        out: index file to write.
        ids: file of whole numbers, one for each code; default 0, 1, 2, ...
        documents: file of vectors, one for each code, that `fasthash search --rescore` scores.
        store: how the index keeps documents.
        bits: code width; default that of the files' metadata, the columns, or 8 for each byte of packed codes.
        overwrite: replace an index file that is there.
    """
    from fasthash.cli.index import build

    build(codes, out, ids, documents, store, bits, overwrite)


def index_add(
    index: str,
    codes: tuple[str, ...],
    ids: str | None = None,
    documents: str | None = None,
    out: str | None = None,
    expect: int | None = None,
) -> None:
    """Add codes to an index file.

    Example: fasthash index add --index all.fasthash --codes new.npy --ids new-ids.npy

    Files as for `fasthash index build`. The file is replaced when the new one is whole: a crash leaves the old one.
    Codes without --ids get running numbers, so adding a file twice has it twice, unless --expect says how many codes
    are there before; ids that are there already are refused.

    Args:
        index: index file.
        codes: files of codes, in this order.
        ids: file of whole numbers, one for each code; default running numbers.
        documents: file of vectors, one for each code, for an index that stores them.
        out: index file to write instead of replacing the old one.
        expect: number of codes that the index has before; with another one nothing is added.
    """
    from fasthash.cli.index import add

    add(index, codes, ids, documents, out, expect)


def index_info(index: str, verify: bool = False) -> None:
    """Print what an index file holds.

    Example: fasthash index info --index all.fasthash --verify

    Args:
        index: index file.
        verify: also read it all and check its checksums.
    """
    from fasthash.cli.index import info

    info(index, verify)


def search(
    index: str,
    queries: str,
    k: int = 10,
    radius: int | None = None,
    rescore: bool = False,
    oversample: int | None = None,
    filter: str | None = None,
    out: str | None = None,
) -> None:
    """Search an index file: the nearest codes of each query, exactly.

    Example: fasthash search --index all.fasthash --queries q.npy --k 10 --out found.jsonl

    Queries are a .npy, .npz or .safetensors file (FILE:KEY) of packed uint8 rows, or of a matrix of one column a bit. A
    line of JSON for each query has its number, ids and distances (or scores); a .npz file has them as arrays, with -1
    for places without a code. The output file appears when it is whole. The index is mapped, not read into memory.

    Args:
        index: index file.
        queries: file of queries.
        k: how many for each query.
        radius: instead of k: all codes within this many bits, inclusive.
        rescore: queries are floats; score the nearest k * oversample with the documents of the index, or its codes.
        oversample: with --rescore, codes that are scored for each one returned; default 4.
        filter: file of the ids that may be returned, or of a boolean for each code of the index.
        out: .jsonl or .npz file to write; default JSON lines on the standard output.
    """
    from fasthash.cli.search import run

    run(index, queries, k, radius, rescore, oversample, filter, out)


def index() -> None:
    """Make, extend and describe index files: fasthash index build, add or info."""


def info(json: bool = False) -> None:
    """Print what this installation is made of, and a line for bug reports.

    Example: fasthash info
    Example: fasthash info --json

    Args:
        json: print it as JSON.
    """
    from fasthash.cli.info import run

    run(json)


def completion(shell: tyro.conf.Positional[Literal["bash", "zsh", "fish"]]) -> None:
    """Print the script with which a shell completes the words of `fasthash`.

    Example: eval "$(fasthash completion bash)"

    That line in ~/.bashrc has it in each shell; for zsh, write the script to a file _fasthash in a folder of $fpath.

    Args:
        shell: that completes.
    """
    from fasthash.cli.usage import completion as script

    print(script(shell, COMMANDS, GROUPS))


COMMANDS: dict[str, Callable[..., None]] = {
    "demo": demo,
    "train": train,
    "encode": encode,
    "index": index,
    "search": search,
    "evaluate": evaluate,
    "audit": audit,
    "report": report,
    "info": info,
    "completion": completion,
}
# Commands that have commands of their own.
GROUPS: dict[str, dict[str, Callable[..., None]]] = {
    "index": {"build": index_build, "add": index_add, "info": index_info},
}
