"""Restrictions on the client's name."""

from __future__ import annotations

import asyncio

import pytest
from tests.talk.dialogue import BASE
from tests.talk.stage import Stage

from estafeta.daemons.smtpd.restrictions.evaluate import Check, Refusal, judge
from estafeta.net.peer import Client


@pytest.mark.parametrize(
    "name_status, reverse_status, code",
    [(2, 2, 0), (5, 2, 550), (5, 5, 0), (4, 2, 450), (4, 4, 0)],
    ids=["confirmed", "does not lead back", "no name", "cannot be looked up", "neither can"],
)
def test_reject_unknown_forward_client_hostname(name_status: int, reverse_status: int, code: int) -> None:
    """A name that does not lead back to the address is refused; to have none is another restriction's matter."""

    async def main() -> Refusal | None:
        settings = {
            "smtpd_client_restrictions": "reject_unknown_forward_client_hostname",
            "unknown_client_reject_code": "550",
        }
        stage = Stage(BASE | settings)
        stage.session.client = Client(
            "unknown", "192.0.2.9", reverse_name="r.example", name_status=name_status, reverse_status=reverse_status
        )
        check = Check(stage.session, "RCPT", "a@b.example", "user@example.com")
        return await judge(check, stage.policy.client, "unknown[192.0.2.9]", "Client host") or check.defer_if_permit

    refusal = asyncio.run(main())
    assert (refusal.code if refusal else 0) == code
