"""What `fasthash` says before a command runs: the first page of help, wrong words in one line, shell completion."""

from __future__ import annotations

import contextlib
import difflib
import functools
import inspect
import io
import re
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Annotated, Any, NoReturn, Union, get_type_hints

Commands = Mapping[str, Callable[..., None]]

DESCRIPTION = "Binary codes for retrieval: pack and search them, train the networks that make them, measure the result."
ENDING = """\
examples:
  fasthash demo
  fasthash train pts3h --preset digits --bits 48 --out runs/first
  fasthash encode --input embeddings.npy --out codes.safetensors
  fasthash index build --codes codes.safetensors --out all.fasthash
  fasthash search --index all.fasthash --queries codes.safetensors --k 10

options:
  -h, --help   this page; `fasthash COMMAND --help` is that of a command
  --version    print the version

exit codes:
  0    done, or the reader of a pipe has seen enough
  1    an error, told in one line
  2    wrong words on the command line
  3    evaluate --strict: the report has a warning
  130  stopped by Ctrl-C, or a run by SIGTERM

environment:
  FASTHASH_CACHE      folder for unpacked arrays of .npz files and for features
  FASTHASH_CPU_LEVEL  scalar, avx2, avx512 or neon; default the fastest of this machine
  FASTHASH_CUDA_PATH  auto, counting, popcount or tensor; results are the same
  FASTHASH_METHODS    modules, by commas, that register methods of one's own"""


def page(prog: str, description: str, commands: Commands, ending: str = "") -> str:
    """The help of a command that has commands."""
    width = max(map(len, commands)) + 2
    lines = [f"usage: {prog} COMMAND [options]", "", description, "", "commands:"]
    for name, function in commands.items():
        lines.append(f"  {name:<{width}}{inspect.getdoc(function).splitlines()[0]}")  # type: ignore[union-attr]
    return "\n".join([*lines, "", ending or f"`{prog} COMMAND --help` is the help of a command."])


def refuse(prog: str, text: str, hint: str = "") -> NoReturn:
    """Ends with code 2 and one line."""
    print(f"{prog}: {text} ({hint or f'`{prog} --help` tells more'})", file=sys.stderr)
    sys.exit(2)


def near(word: str, words: Collection[str]) -> str:
    """A suggestion to put behind an error, if there is one."""
    found = difflib.get_close_matches(word, words, n=1, cutoff=0.5)
    return f", did you mean {found[0]}?" if found else ""


def check_command(prog: str, word: str, commands: Commands) -> None:
    """Refuses a word that is no command."""
    if word not in commands:
        refuse(prog, f"expected a command, one of {', '.join(commands)}, got {word!r}{near(word, commands)}")


def check_options(prog: str, arguments: Sequence[str], known: Collection[str], required: Sequence[str] = ()) -> None:
    """Refuses options that are not known, then asks for those that are missing."""
    given = ["--" + word[2:].split("=")[0].replace("_", "-") for word in arguments if re.match(r"--[A-Za-z]", word)]
    if "--help" in given or "-h" in arguments:
        return
    for option in given:
        if option not in known and not option.startswith("--tyro-"):
            refuse(prog, f"{option}: no such option{near(option, known)}")
    missing = [option for option in required if option not in given]
    if missing:
        refuse(prog, f"expected {' and '.join(missing)}, which {'are' if len(missing) > 1 else 'is'} not there")


def options_of(function: Callable[..., None]) -> tuple[list[str], list[str]]:
    """The options of a command, and those that it cannot do without."""
    known, required = [], []
    for name, parameter in inspect.signature(function).parameters.items():
        option = "--" + name.replace("_", "-")
        known += [option, f"--no-{option[2:]}"] if isinstance(parameter.default, bool) else [option]
        if parameter.default is inspect.Parameter.empty and "Positional" not in str(parameter.annotation):
            required.append(option)
    return known, required


@contextlib.contextmanager
def one_line(prog: str) -> Iterator[None]:
    """What tyro has to say of wrong words, without the box around it."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            yield
    except SystemExit as error:
        if error.code == 2 and said.getvalue():
            rows = [re.sub(r"[╭╮╰╯│─]+", " ", row).strip() for row in said.getvalue().splitlines()]
            words = " ".join(row for row in rows[1:] if row)  # the first is a title
            for end in ("For full helptext", "Argument helptext:"):
                words = words.partition(end)[0]
            refuse(prog, " ".join(words.split()).rstrip(":"))
        raise


def parse(function: Callable[..., None], prog: str, arguments: Sequence[str]) -> Callable[[], None]:
    """The call of a command that these words ask for; ends with help (0) or with what is wrong (2)."""
    import tyro

    check_options(prog, arguments, *options_of(function))
    call: list[Callable[[], None]] = []

    def keep(*args: Any, **kwargs: Any) -> None:
        call.append(lambda: function(*args, **kwargs))

    # tyro calls what it parses for; the call is kept, so that what the command prints goes where it should.
    keep.__doc__, keep.__signature__ = _laid_out(function), inspect.signature(function)  # type: ignore[attr-defined]
    keep.__annotations__, keep.__module__ = _quiet(function), function.__module__
    with one_line(prog):
        tyro.cli(keep, prog=prog, args=list(arguments), config=(tyro.conf.DisallowNone, tyro.conf.FlagCreatePairsOff))
    return call[0]


def completion(shell: str, commands: Commands, groups: Mapping[str, Commands]) -> str:
    """The script that completes words of `fasthash` in a shell, as tyro writes it."""
    import tyro

    from fasthash import methods

    def union(kinds: Sequence[Any]) -> Any:
        return functools.reduce(lambda a, b: Union[a, b], kinds)  # noqa: UP007 (`|` takes no Annotated on Python 3.10)

    def tree(name: str, function: Callable[..., None]) -> Any:
        if name in groups:
            function = union([tree(inner, groups[name][inner]) for inner in groups[name]])
        elif name == "train":
            function = union([tree(method, lambda: None) for method in methods.available()])
        return Annotated[Any, tyro.conf.subcommand(name=name, constructor=function)]

    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.suppress(SystemExit):
        tyro.cli(
            union([tree(name, function) for name, function in commands.items()]),
            prog="fasthash",
            args=["--tyro-print-completion", shell],
            config=(tyro.conf.DisallowNone, tyro.conf.FlagCreatePairsOff),
        )
    return said.getvalue()


def _laid_out(function: Callable[..., None]) -> str:
    """A docstring in which each example is a paragraph, which tyro would else join."""
    return re.sub(r"\n(?=Example: )", "\n\n", inspect.getdoc(function) or "")


def _quiet(function: Callable[..., None]) -> dict[str, Any]:
    """Annotations with which help says no `(default: None)`: what stands for None is in the text."""
    import tyro

    hints = get_type_hints(function, include_extras=True)
    empty = tyro.conf.arg(help_behavior_hint="(optional)")
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.default is None:
            hints[name] = Annotated[hints[name], empty]
    return hints
