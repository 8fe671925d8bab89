"""The `fasthash` command: `commands.py` says what each sub-command takes, a file of its name does the work."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from fasthash.cli import usage
from fasthash.cli.commands import COMMANDS, GROUPS


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of the `fasthash` command; `usage.ENDING` says what its exit codes mean."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    try:
        _run(arguments)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader, such as `head`, has seen enough; what Python would still flush must go nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (ValueError, TypeError, ImportError, OSError, FloatingPointError) as error:
        sys.exit(f"fasthash: {error}")
    except KeyboardInterrupt as error:
        if not error.args:  # `fit` has told its own
            print("fasthash: stopped", file=sys.stderr)
        sys.exit(130)


def _run(arguments: Sequence[str]) -> None:
    prog, description, commands, ending = "fasthash", usage.DESCRIPTION, COMMANDS, usage.ENDING
    while True:
        first, rest = (arguments[0], arguments[1:]) if arguments else ("", [])
        if first in ("", "-h", "--help"):
            print(usage.page(prog, description, commands, ending))
            sys.exit(0 if first else 2)
        if first == "--version" and commands is COMMANDS:
            import fasthash

            print(f"fasthash {fasthash.__version__}")
            return
        usage.check_command(prog, first, commands)
        if commands is COMMANDS and first == "train":
            from fasthash.cli.train import main as train_main

            train_main(rest)
            return
        if commands is COMMANDS and first in GROUPS:
            prog, description, commands, ending = f"{prog} {first}", COMMANDS[first].__doc__ or "", GROUPS[first], ""
            arguments = rest
            continue
        usage.parse(commands[first], f"{prog} {first}", rest)()
        return
