"""`python -m estafeta.commands.postmulti`."""

import sys

from estafeta.commands.postmulti import main

if __name__ == "__main__":
    sys.exit(main())
