"""The subcommands of ``whimbrel-sim``: one module each, with ``add_parser`` and ``run``."""
