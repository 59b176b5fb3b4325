"""``scripts/soak worlds|images|check``."""

import sys

from .command import main

sys.exit(main())
