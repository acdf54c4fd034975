"""The command: parse, call one library function, print."""

from untrained.cli.commands import main

__all__ = ["main"]
