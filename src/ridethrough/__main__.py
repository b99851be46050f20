"""``python -m ridethrough`` is the command ``ridethrough``."""

import sys

from .cli import main

sys.exit(main())
