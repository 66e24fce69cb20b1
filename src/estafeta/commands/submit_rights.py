"""Who may hand in mail with `sendmail`: authorized_submit_users, by login name."""

from __future__ import annotations

import os
import pwd

from estafeta.config.instance import Config

ANYONE = ("static:anyone",)


def login_name(uid: int) -> str:
    """The account's name; "unknown" for a uid without one, as the parameter's lists may have it."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return "unknown"


class SubmitRights:
    """The list of one configuration, and who is asking."""

    def __init__(self, conf: Config) -> None:
        self._allowed = conf.authorized_submit_users
        self._uid = os.getuid()

    def refusal(self) -> str:
        """Why the caller may not; "" if he may. The superuser and the mail owner are no exceptions."""
        if self._allowed == ANYONE:
            return ""
        return self._looked_up(login_name(self._uid))

    def _looked_up(self, name: str) -> str:
        # Tables and an event loop cost a command more than all the rest; hardly anybody has such a list.
        import asyncio

        from estafeta.tables.match import MatchList
        from estafeta.tables.table import TableDown

        try:
            allowed = asyncio.run(MatchList.open(self._allowed, name="authorized_submit_users").matches_domain(name))
        except TableDown as down:
            return f"User {name}({self._uid}): cannot tell whether submission is allowed: {down}"
        return "" if allowed else f"User {name}({self._uid}) is not allowed to submit mail"
