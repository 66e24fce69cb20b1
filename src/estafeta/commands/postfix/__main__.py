"""`python -m estafeta.commands.postfix`."""

import sys

from . import main

sys.exit(main())
