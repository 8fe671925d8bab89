"""The `fasthash` command: one file a sub-command, each imported only when it is asked for."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence


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


def info() -> None:
    """Print version, compiler, CPU levels, CUDA and library versions of this installation."""
    from fasthash.cli.info import run

    run()


COMMANDS: dict[str, Callable[..., None]] = {"demo": demo, "info": info}


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of the `fasthash` command; exits with 1 and one line for an error the user can mend."""
    import tyro

    import fasthash

    arguments = sys.argv[1:] if arguments is None else list(arguments)
    if arguments == ["--version"]:
        print(f"fasthash {fasthash.__version__}")
        return
    try:
        tyro.extras.subcommand_cli_from_dict(
            COMMANDS, prog="fasthash", description="Binary codes for retrieval.", args=arguments
        )
    except (ValueError, TypeError, ImportError, OSError) as error:
        sys.exit(f"fasthash: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
