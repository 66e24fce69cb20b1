"""Classes of domains. ADDRESS_CLASS_README."""

from __future__ import annotations

import asyncio

from tests.talk.stage import logged

from estafeta.config.instance import Config
from estafeta.routing.answer import MAILBOX
from estafeta.routing.domains import Domains


def test_a_domain_in_two_classes_is_told_once() -> None:
    async def ask(domains: Domains) -> None:
        for domain in ("a.test", "A.test", "b.test"):
            assert await domains.class_of(domain, local=False) == MAILBOX

    conf = Config.for_test(virtual_mailbox_domains="a.test, b.test", relay_domains="a.test, b.test")
    with logged() as lines:
        asyncio.run(ask(Domains(conf)))
    assert lines == [
        f"warning: do not list domain {domain} in BOTH virtual_mailbox_domains and relay_domains"
        for domain in ("a.test", "b.test")
    ]
