"""The `bitvit` command: one module a subcommand, each importing what it needs only when it runs."""

from bitvit.cli.entry import build_parser, main

__all__ = ["build_parser", "main"]
