"""The options of the command, as types of its parameters. The full reference is `docs/cli.md`."""

from gmmquant.cli.options import drawing, model, output, run

__all__ = ["drawing", "model", "output", "run"]
