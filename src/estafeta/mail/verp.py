"""Variable envelope return paths: a sender address that names the recipient. VERP_README.

`list@origin` writing to `user@domain` becomes `list+user=domain@origin`, so that a mailing list knows whose copy came
back without reading the report. The two delimiters come with the message.
"""

from __future__ import annotations


def verp_sender(delimiters: str, sender: str, recipient: str) -> str:
    """The sender of the copy for one recipient. `delimiters`: two characters. The null sender stays as it is."""
    if not sender:
        return ""
    local, at, origin = sender.rpartition("@")
    if not at:
        local, origin = sender, ""
    user, at_domain, domain = recipient.rpartition("@")
    named = f"{user}{delimiters[1]}{domain}" if at_domain else recipient
    return f"{local}{delimiters[0]}{named}{at}{origin}"


def usable(delimiters: str, allowed: str) -> bool:
    """Whether these may be delimiters: verp_delimiter_filter."""
    return len(delimiters) == 2 and all(character in allowed for character in delimiters)
