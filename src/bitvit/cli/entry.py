"""Parser and error handling of the `bitvit` command."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from keyword import iskeyword
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

from rich_argparse import RawDescriptionRichHelpFormatter

import bitvit
from bitvit.cli.deferred_imports import import_modules
from bitvit.cli.output import open_closed_streams, print_error, print_note, tolerate_any_text
from bitvit.cli.termination import OrderlyEnd
from bitvit.errors import BitvitError, UsageError
from bitvit.image_files import refuse_special_file
from bitvit.model_files import local_file
from bitvit.trained import trained_model

# In the order of a user's work. Each module has HELP, EXAMPLES, add_arguments(parser) and run(arguments) -> exit code.
COMMANDS = (
    *("train", "study", "eval", "import", "export", "push", "predict", "info"),
    *("web", "report", "bench", "complexity", "inspect", "models"),
)

# Lightning saves the state of a training when SIGTERM comes.
_TRAINING = ("train", "study")

EXIT_OK = 0
EXIT_BUG = 1
EXIT_BAD_INPUT = 2

_DESCRIPTION = """\
1-bit vision transformers: train them on your own images and ship one small file that runs fast without PyTorch."""


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line, like every other error of the command.

    Overrides `section.key=value` may stand anywhere, also after options that follow other positional arguments.
    """

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse, and take late words of the form `key=value` for overrides."""
        found, rest = super().parse_known_args(args, namespace)
        if hasattr(found, "overrides"):
            late = [word for word in rest if "=" in word and not word.startswith("-")]
            found.overrides = [*found.overrides, *late]
            rest = [word for word in rest if word not in late]
        return found, rest

    def error(self, message: str) -> NoReturn:
        """Print one line and exit."""
        print_error(f"{message} (see {self.prog} --help)")
        raise SystemExit(EXIT_BAD_INPUT)


class PrintVersion(argparse.Action):
    """`--version`: asks for the version only where it is wanted, since that takes a few milliseconds."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        """Print it and exit."""
        print(f"bitvit {bitvit.__version__}")
        parser.exit()


def command_module(name: str) -> ModuleType:
    """Return the module of a command; where its name is a word of Python, the module's ends with an underscore."""
    return import_module(f"bitvit.cli.{name}_" if iskeyword(name) else f"bitvit.cli.{name}")


def build_parser() -> Parser:
    """Return the parser of the whole command line."""
    parser = Parser(
        prog="bitvit",
        description=_DESCRIPTION,
        epilog="examples:\n"
        "  bitvit train --recipe gsb-micro --data digits --out runs/digits\n"
        "  bitvit export runs/digits digits.bitvit\n"
        "  bitvit predict digits.bitvit photo.png",
        formatter_class=RawDescriptionRichHelpFormatter,
    )
    parser.add_argument("--version", action=PrintVersion, nargs=0, help="show the version and exit")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name in COMMANDS:
        module = command_module(name)
        sub = commands.add_parser(
            name,
            help=module.HELP,
            description=module.HELP[0].upper() + module.HELP[1:] + ".",
            epilog="examples:\n" + "\n".join(f"  {line}" for line in module.EXAMPLES),
            formatter_class=RawDescriptionRichHelpFormatter,
        )
        module.add_arguments(sub)
        sub.set_defaults(command_function=module.run)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    0: done. 2: the user's input is wrong, reported as one line `error: ...`. 130: interrupted by Ctrl-C, 143: by
    SIGTERM. 1: internal error.
    With `BITVIT_DEBUG=1` in the environment exceptions are raised instead, with their traceback.
    """
    debug = os.environ.get("BITVIT_DEBUG", "") not in ("", "0")
    open_closed_streams()
    tolerate_any_text()
    with OrderlyEnd() as end:
        return _run(argv, end, debug)


def _run(argv: Sequence[str] | None, end: OrderlyEnd, debug: bool) -> int:
    try:
        refuse_empty_arguments(sys.argv[1:] if argv is None else argv)
        arguments = build_parser().parse_args(argv)
        refuse_special_files(arguments)
        note = find_model(arguments)
        import_modules(getattr(arguments, "imports", []))
        if arguments.command in _TRAINING:
            end.release()
        code = int(arguments.command_function(arguments))
        sys.stdout.flush()
        if note and code == EXIT_OK:
            print_note(note)
        return code
    except BrokenPipeError:
        # The reader (`| head`) has gone: nothing is left to say, and the interpreter's own flush at exit must not fail.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_OK
    except KeyboardInterrupt as interrupt:
        if debug:
            raise
        print_error(str(interrupt) or "interrupted")
        return end.exit_code
    except (BitvitError, OSError) as error:
        if debug:
            raise
        print_error(describe(error))
        return EXIT_BAD_INPUT
    except ModuleNotFoundError as error:
        if debug or (error.name or "").startswith("bitvit"):
            raise
        print_error(f"this command needs the package {error.name}: {_extra_with(error.name)}")
        return EXIT_BAD_INPUT
    except Exception as error:
        if debug:
            raise
        print_error(
            f"{type(error).__name__}: {error} (internal error, please report it; BITVIT_DEBUG=1 shows the traceback)"
        )
        return EXIT_BUG


def refuse_empty_arguments(argv: Sequence[str]) -> None:
    """Refuse arguments without text: a path of no letters would be the current folder.

    Raises:
        UsageError: there is one.
    """
    for position, word in enumerate(argv):
        if not word or (word.startswith("--") and word.endswith("=")):
            after = f" (after {argv[position - 1]})" if position and not word else f" ({word})" if word else ""
            raise UsageError(f"an argument is empty{after}; is a shell variable unset?")


def refuse_special_files(arguments: argparse.Namespace) -> None:
    """Refuse pipes, sockets and devices as arguments: reading one could wait for ever.

    What the shell hands over as `<(command)` is read. The images of `predict` are looked at one by one.

    Raises:
        UsageError: an argument, or the value of an override, is one.
    """
    for name, value in vars(arguments).items():
        if name == "images":
            continue
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, str | Path):
                text = str(item).partition("=")[2] if name == "overrides" else str(item)
                if text and not text.startswith(("/dev/fd/", "/proc/self/fd/")) and not Path(text).is_dir():
                    refuse_special_file(text, UsageError)


def find_model(arguments: argparse.Namespace) -> str | None:
    """Put the file's path in the place of an address on the hub, or of the name of a file that comes with bitvit.

    Returns:
        A note for the user, where more than one file may have been meant.

    Raises:
        HubError: the hub has no such file, refuses access, or cannot be reached.
    """
    name = getattr(arguments, "model_argument", None)
    if name is None or (named := getattr(arguments, name)) is None:
        return None
    found = local_file(named, or_folder=arguments.model_or_folder)
    setattr(arguments, name, found)
    if trained_model(str(named)) is not None:
        if found == named:
            return f"note: this was the local {named}, not the network that comes with bitvit"
        if Path(f"{named}.bitvit").is_file():
            return f"note: this was the network that comes with bitvit; the local file is called {named}.bitvit"
    return None


def _extra_with(package: str | None) -> str:
    if package == "huggingface_hub":
        return "pip install 'bitvit[hub]'"
    if package in ("onnx", "onnxruntime"):
        return "pip install 'bitvit[onnx]'"
    extra = "bench" if (package or "").startswith(("onnx", "openvino")) else "train"
    return f"pip install 'bitvit[{extra}]'"


def describe(error: Exception) -> str:
    """Return the one line that says what was wrong: `path: reason` for errors of the operating system."""
    if isinstance(error, OSError) and error.strerror:
        path = error.filename2 or error.filename
        return f"{path}: {error.strerror.lower()}" if path else error.strerror.lower()
    return str(error) or type(error).__name__
