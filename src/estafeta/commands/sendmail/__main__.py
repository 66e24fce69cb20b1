"""`python -m estafeta.commands.sendmail`."""

import sys

from estafeta.commands.sendmail.main import main

if __name__ == "__main__":
    sys.exit(main())
