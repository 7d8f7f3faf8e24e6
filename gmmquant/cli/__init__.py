"""The command: the only folder that prints, and that knows typer and rich."""
