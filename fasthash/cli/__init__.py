"""The `fasthash` command: `commands.py` says what each sub-command takes, a file of its name does the work."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from fasthash.cli.commands import COMMANDS, GROUPS


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of the `fasthash` command; exits with 1 and one line for an error the user can mend."""
    import tyro

    import fasthash

    arguments = sys.argv[1:] if arguments is None else list(arguments)
    if arguments == ["--version"]:
        print(f"fasthash {fasthash.__version__}")
        return
    commands, prog, description = COMMANDS, "fasthash", "Binary codes for retrieval."
    if arguments and arguments[0] in GROUPS:
        commands, prog = GROUPS[arguments[0]], f"fasthash {arguments[0]}"
        description = COMMANDS[arguments[0]].__doc__ or ""
        del arguments[0]
    try:
        if arguments[:1] == ["train"]:
            from fasthash.cli.train import main as train_main

            train_main(arguments[1:])
            return
        tyro.extras.subcommand_cli_from_dict(commands, prog=prog, description=description, args=arguments)
    except BrokenPipeError:
        # The reader, such as `head`, has seen enough; what Python would still flush must go nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (ValueError, TypeError, ImportError, OSError, FloatingPointError) as error:
        sys.exit(f"fasthash: {error}")
    except KeyboardInterrupt as error:
        if not error.args:  # `fit` has told its own
            print("fasthash: stopped", file=sys.stderr)
        sys.exit(130)
