"""verify(8) as a process: asked over its socket, with another host at the other end of the probe."""

from __future__ import annotations

import asyncio
import smtplib
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from tests.support.site import Site
from tests.support.smtp_sink import SmtpSink

from estafeta.services.verify import BOUNCE, DEFER, OK, TODO, Answer, Verifier

VERIFY = "verify unix - - n - 1 verify"
REFUSED = "550 5.1.1 no such user"


async def known(verifier: Verifier, address: str) -> Answer:
    """The answer when the probe has come to its end."""
    return await verifier.ask(address, polls=400, pause=0.05)


def talk(tmp_path: Path, work: Callable[[Site, Verifier, SmtpSink], Awaitable[None]], **main: str) -> None:
    async def whole() -> None:
        sink = SmtpSink({"RCPT": lambda line: REFUSED if "<bad@" in line else "250 2.1.5 fine"})
        await sink.listen()
        settings = {"transport_maps": f"inline:{{{{far.example=smtp:[127.0.0.1]:{sink.port}}}}}"}
        site = Site(tmp_path, main=settings | main, services=[VERIFY])
        await asyncio.to_thread(site.start)
        try:
            verifier = Verifier(str(site.queue / "private/verify"), 20.0)
            await work(site, verifier, sink)
            verifier.close()
        finally:
            await asyncio.to_thread(site.stop)
            await sink.close()

    asyncio.run(asyncio.wait_for(whole(), 100))


def test_what_a_probe_found_out_survives_a_restart_and_a_reload(tmp_path: Path) -> None:
    async def work(site: Site, verifier: Verifier, sink: SmtpSink) -> None:
        assert (await verifier.ask("good@far.example")).status == TODO
        good = await known(verifier, "good@far.example")
        assert (good.status, good.text) == (OK, "250 2.1.5 fine")
        bad = await known(verifier, "bad@far.example")
        assert bad.status == BOUNCE
        assert REFUSED in bad.text
        assert (await known(verifier, "ann@nowhere.invalid")).status in (DEFER, BOUNCE)
        assert sink.messages == []
        probes = len(sink.talks)
        await asyncio.to_thread(site.reload)
        # Over the same connection object: another process answers.
        assert (await verifier.ask("good@far.example")).status == OK
        await asyncio.to_thread(site.stop)
        await asyncio.to_thread(site.start)
        assert (await verifier.ask("bad@far.example")).status == BOUNCE
        assert len(sink.talks) == probes

    talk(tmp_path, work)


def test_without_a_map_nothing_is_written(tmp_path: Path) -> None:
    async def work(site: Site, verifier: Verifier, sink: SmtpSink) -> None:
        assert (await known(verifier, "good@far.example")).status == OK
        assert not list(site.data.glob("verify*"))

    talk(tmp_path, work, address_verify_map="")


def test_smtpd_asks_about_senders_and_recipients(tmp_path: Path) -> None:
    restrictions = "reject_unverified_sender, permit_mynetworks, reject"

    async def work(site: Site, verifier: Verifier, sink: SmtpSink) -> None:
        for address in ("bad@far.example", "good@far.example"):
            await known(verifier, address)

        def dialogue() -> tuple[int, int]:
            with site.client() as client:
                client.ehlo("client.example")
                client.mail("bad@far.example")
                refused = client.rcpt("ann@example.test")[0]
                client.rset()
                client.mail("good@far.example")
                return refused, client.rcpt("ann@example.test")[0]

        assert await asyncio.to_thread(dialogue) == (550, 250)

    talk(tmp_path, work, smtpd_recipient_restrictions=restrictions, unverified_sender_reject_code="550")


def test_smtpd_puts_off_when_verify_is_away(tmp_path: Path) -> None:
    main = {"smtpd_recipient_restrictions": "reject_unverified_recipient", "ipc_timeout": "5"}
    with Site(tmp_path, main=main) as site, site.client() as client:
        client.ehlo("client.example")
        with pytest.raises(smtplib.SMTPRecipientsRefused) as refused:
            client.sendmail("a@b.example", ["ann@example.test"], "x")
        assert refused.value.recipients["ann@example.test"][0] == 450
        site.wait_for("warning: verify service failure")
