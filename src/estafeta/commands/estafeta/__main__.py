"""`python -m estafeta.commands.estafeta`."""

import sys

from . import main

sys.exit(main())
