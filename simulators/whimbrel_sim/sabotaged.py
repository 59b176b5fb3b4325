"""Runs a command of the product with planted faults, for the tests of the tests.

``python -m whimbrel_sim.sabotaged whimbrel_agent no-resume run --config agent.toml``
"""

from __future__ import annotations

import runpy
import sys

from .sabotage import apply


def main() -> None:
    """Apply the named faults, then run the module as ``python -m`` would."""
    module, names, *arguments = sys.argv[1:]
    apply(names)
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
