"""The `fasthash` command: one file a sub-command, each imported only when it is asked for."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from typing import Literal

Ties = Literal["expected", "index", "best", "worst"]


def demo(out: str = "runs/demo", seed: int = 0) -> None:
    """Train on real handwritten digits, search, and print an honest report. Under two minutes on two cores.

    Trains a network on 100 labelled digits and PTS3H on the same labels plus 1,197 unlabelled digits, with the same
    seed, network and budget; encodes, packs and searches with the packed ops; writes config, metrics, codes and
    pictures to a folder.

    Args:
        out: folder to write to; what a demo left there before is replaced.
        seed: of the split, the networks and the batches.
    """
    from fasthash.cli.demo import run

    run(out, seed)


def train() -> None:
    """Train a hash network on images or features, and report on it; `fasthash train --help` tells more.

    Example: fasthash train pts3h --data cifar10 --root data/cifar10 --labels 5000 --bits 48
    """
    raise AssertionError("main hands `train` on before its options are read")


def encode(
    input: str,
    out: str,
    run: str | None = None,
    which: Literal["best", "last"] | None = None,
) -> None:
    """Turn vectors or images into packed codes: by their signs, or by the trained network of a run.

    Example: fasthash encode --input embeddings.npy --out codes.safetensors
    Example: fasthash encode --run runs/first --input images.npy --out codes.npy

    Input is read in blocks; the output appears when it is whole.

    Args:
        input: .npy, .npz or .safetensors file, FILE or FILE:KEY, one row an item.
        out: .npy or .safetensors file to write; the latter states the width of the codes.
        run: run folder whose network encodes; default the sign of each value.
        which: weights of the run; default the best where it was validated, else the last.
    """
    from fasthash.cli.encode import run as encode_file

    encode_file(input, out, run, which)


def evaluate(
    query_codes: str | None = None,
    database_codes: str | None = None,
    query_labels: str | None = None,
    database_labels: str | None = None,
    run: str | None = None,
    which: Literal["best", "last"] | None = None,
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
        evaluate_run(run, which, {"bits": bits, "codes and labels": any(files)}, options, output)
    else:
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


def info() -> None:
    """Print version, compiler, CPU levels, CUDA and library versions of this installation."""
    from fasthash.cli.info import run

    run()


COMMANDS: dict[str, Callable[..., None]] = {
    "demo": demo,
    "train": train,
    "encode": encode,
    "evaluate": evaluate,
    "audit": audit,
    "info": info,
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of the `fasthash` command; exits with 1 and one line for an error the user can mend."""
    import tyro

    import fasthash

    arguments = sys.argv[1:] if arguments is None else list(arguments)
    if arguments == ["--version"]:
        print(f"fasthash {fasthash.__version__}")
        return
    try:
        if arguments[:1] == ["train"]:
            from fasthash.cli.train import main as train_main

            train_main(arguments[1:])
            return
        tyro.extras.subcommand_cli_from_dict(
            COMMANDS, prog="fasthash", description="Binary codes for retrieval.", args=arguments
        )
    except BrokenPipeError:
        # The reader, such as `head`, has seen enough; what Python would still flush must go nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (ValueError, TypeError, ImportError, OSError) as error:
        sys.exit(f"fasthash: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
