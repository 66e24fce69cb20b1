"""sendmail(1): hand in mail, and the other faces of the same command (mailq, newaliases, `-bs`, `-q`)."""

from estafeta.commands.sendmail.main import main

__all__ = ["main"]
