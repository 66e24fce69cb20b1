"""How much one who has logged in may send: estafeta_user_*. A feature of our own, for the day a password is stolen.

Asked once a message, before its content: anvil(8) counts over all processes and all addresses that the user comes from.
A message over the limit is accepted and held, or put off, and never lost; the log says so for each, the postmaster is
written to once for each user and time unit. docs/limits.md.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from estafeta.base import log
from estafeta.config.instance import Config
from estafeta.services.anvil import MESSAGES_OVER, AnvilClient, Standing
from estafeta.services.postmaster import POLICY
from estafeta.tables.maps import Maps
from estafeta.tables.table import TableDown

if TYPE_CHECKING:
    from estafeta.daemons.smtpd.session import Session

LONGEST_NAME = 250
"""Of a user, in characters: more is counted as one that begins so."""
_WORD = re.compile(r"(messages|recipients)=(\d{1,9})")


class UserLimits:
    """One a process; `UserLimits.of` says whether there is anything to do."""

    def __init__(self, conf: Config, anvil: AnvilClient) -> None:
        self._anvil = anvil
        self._default = conf.estafeta_user_message_rate_limit, conf.estafeta_user_recipient_rate_limit
        self._maps = Maps.open(conf.estafeta_user_limit_maps, name="estafeta_user_limit_maps")
        self._hold = conf.estafeta_user_limit_action == "hold"

    @classmethod
    def of(cls, conf: Config, anvil: AnvilClient) -> UserLimits | None:
        """None where there is no limit for anybody."""
        limited = conf.estafeta_user_message_rate_limit or conf.estafeta_user_recipient_rate_limit
        return cls(conf, anvil) if limited or conf.estafeta_user_limit_maps else None

    async def check(self, session: Session, where: str) -> bytes | None:
        """Count the message that is about to come (`where`: DATA or BDAT). A reply if it is put off; if it is to be
        held, the transaction knows."""
        user = session.login[:LONGEST_NAME].lower()
        messages, recipients = await self._limits(user)
        if not messages and not recipients:
            return None
        count = session.transaction.count
        try:
            known = await self._anvil.sending(user, count, messages, recipients, anyway=self._hold)
        except OSError as error:
            log.warning(f"problem talking to server {error.filename}: {error.strerror or error}")
            return None
        if known is None or not known.over:
            return None
        return self._over(session, where, known, messages, recipients)

    def _over(self, session: Session, where: str, known: Standing, messages: int, recipients: int) -> bytes | None:
        kind, value, limit = "recipient", known.recipients, recipients
        if known.over & MESSAGES_OVER:
            kind, value, limit = "message", known.messages, messages
        told = f"User {kind} rate limit exceeded: {value} from {session.login} (limit {limit}/{known.unit}s)"
        action = "hold" if self._hold else "defer"
        log.warning(f"{session.queue_id or 'NOQUEUE'}: {told}: {action}: {where} from {session.client.namaddr}")
        if known.first:
            self._tell_postmaster(session, f"{kind}s", limit, known.unit)
        if self._hold:
            session.transaction.hold = session.transaction.hold or f"user {kind} rate limit exceeded"
            return None
        session.trouble |= POLICY
        return session.policy.to_wire(f"450 4.7.1 Error: too many {kind}s from user {session.login}, try again later")

    def _tell_postmaster(self, session: Session, kinds: str, limit: int, unit: int) -> None:
        what = "held in the queue" if self._hold else "put off"
        session.policy.postmaster.write(
            f"user {session.login} is over the limit of {limit} {kinds} in {unit} seconds",
            [
                f"The user {session.login} has sent more than {limit} {kinds} within {unit} seconds,",
                f"last from the client {session.client.namaddr}.",
                "",
                f"What this user sends is {what} until the {unit} seconds are over. If the password has been",
                "stolen, change it first. To look at held mail: postqueue -p, postcat -q QUEUE_ID; to delete",
                "it: postsuper -d QUEUE_ID; to send it: postsuper -H QUEUE_ID. Who is near a limit: estafeta limits.",
                "There is no other notice about this user in this time.",
            ],
        )

    async def _limits(self, user: str) -> tuple[int, int]:
        """Most messages, most recipients. A table that is down, or makes no sense, changes nothing."""
        if not self._maps:
            return self._default
        found = None
        for key in (user, f"@{user.rpartition('@')[2]}") if "@" in user else (user,):
            try:
                found = await self._maps.find(key)
            except TableDown as error:
                log.warning(f"estafeta_user_limit_maps: {error}: the usual limits apply to {user}")
                return self._default
            if found is not None:
                break
        if found is None:
            return self._default
        limits = parse_limits(found, self._default)
        if limits is None:
            log.warning(
                f"estafeta_user_limit_maps: {user}: bad limits {found[:100]!r}: write messages=100 recipients=500"
            )
            return self._default
        return limits


def parse_limits(text: str, default: tuple[int, int]) -> tuple[int, int] | None:
    """`messages=100 recipients=500`, or one of them: (100, 500). None if it is something else."""
    limits = dict(zip(("messages", "recipients"), default, strict=True))
    for word in text.replace(",", " ").split():
        match = _WORD.fullmatch(word.lower())
        if match is None:
            return None
        limits[match[1]] = int(match[2])
    return limits["messages"], limits["recipients"]
