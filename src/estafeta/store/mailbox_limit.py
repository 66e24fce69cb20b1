"""A mailbox that is not to grow as large as one message may be: a slip of the administrator.

local(8) and virtual(8) deliver nothing while it lasts, as in Postfix. Were mail returned because it does not fit, one
line in main.cf would send back what every other program has accepted.
"""

from __future__ import annotations

from estafeta.base import log
from estafeta.config.instance import Config


def contradiction(conf: Config, name: str) -> bool:
    """Whether size limit `name` of mailboxes is below that of messages; an error in the log then says what to do."""
    of_mailbox: int = getattr(conf, name)
    of_message = conf.message_size_limit
    if not of_mailbox or (of_message and of_mailbox >= of_message):
        return False
    what = "smaller than message_size_limit" if of_message else "limited but message_size_limit is unlimited"
    remedy = f"make it {of_message} or more" if of_message else "make it 0, or set message_size_limit"
    log.error(
        f"{conf.origin(name)}: configuration error: {name} is {what}: mail waits in the queue; {remedy}, and reload"
    )
    return True
