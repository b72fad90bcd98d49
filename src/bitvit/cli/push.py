"""`bitvit push`: a `.bitvit` file to the Hugging Face Hub, with its model card."""

from __future__ import annotations

import argparse

from bitvit.cli.arguments import MODEL_HELP, add_model_argument
from bitvit.cli.output import print_note, print_table, table

HELP = "upload a .bitvit file to the Hugging Face Hub, with a model card made from its provenance"
EXAMPLES = (
    "bitvit push digits.bitvit user/digits --license apache-2.0",
    "bitvit push digits.bitvit user/digits --show-card",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_model_argument(parser, "file", metavar="FILE", help=MODEL_HELP)
    parser.add_argument("repository", metavar="USER/NAME", help="where to; made if there is no such repository")
    parser.add_argument("--license", metavar="ID", help="licence that the card states, such as apache-2.0")
    parser.add_argument(
        "--private", action="store_true", default=None, help="make a new repository private (default: as your account)"
    )
    parser.add_argument("--revision", metavar="BRANCH", help="branch to commit to (default: the main branch)")
    parser.add_argument("--message", metavar="TEXT", help="commit message")
    parser.add_argument("--replace-card", action="store_true", help="replace a card that bitvit did not write, too")
    parser.add_argument("--show-card", action="store_true", help="print the card and upload nothing")


def run(arguments: argparse.Namespace) -> int:
    """Upload, and print the address."""
    if arguments.show_card:
        from bitvit.hub import HubAddress
        from bitvit.program import read_file
        from bitvit.publishing import model_card

        repository = HubAddress.parse(arguments.repository).repository
        size = arguments.file.stat().st_size if arguments.file.is_file() else 0
        print(model_card(read_file(arguments.file), size, repository, arguments.license), end="")
        return 0
    from bitvit.publishing import push

    pushed = push(
        arguments.file,
        arguments.repository,
        private=arguments.private,
        license=arguments.license,
        revision=arguments.revision,
        message=arguments.message,
        replace_card=arguments.replace_card,
    )
    rows = [["address", pushed.address], ["commit", pushed.url]]
    result = table("", ["", ""], rows, numeric_from=2)
    result.show_header = False
    print_table(result)
    if not pushed.has_new_card:
        print_note("the repository's own card was kept (--replace-card writes over it)")
    elif pushed.license is None:
        print_note("the card states no licence (--license apache-2.0, for example)")
    print_note(f"next: bitvit predict {pushed.address} photo.jpg")
    return 0
