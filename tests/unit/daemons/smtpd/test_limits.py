"""What a session says to clients and users that are over a limit, with anvil in the same process.

The replies and log lines are those of Postfix, which tests/compat/cases/anvil compares.
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from tests.support.anvil import Anvil
from tests.talk.stage import Names, Stage

from estafeta.config.instance import Config
from estafeta.daemons.smtpd.limits import EXEMPT, ClientLimits
from estafeta.daemons.smtpd.user_limits import UserLimits, parse_limits
from estafeta.services.anvil import AnvilClient

BASIS = {
    "smtpd_relay_restrictions": "reject_unauth_destination",
    "mydestination": "here.example",
    "local_recipient_maps": "",
    "mynetworks": "192.0.2.200",
    "myhostname": "mx.example.com",
    "smtpd_error_sleep_time": "0",
    "alias_maps": "",
    "notify_classes": "",
}
CLIENT = ("host.example", "192.0.2.1")


class Place:
    """Anvil, and sessions that it counts."""

    def __init__(self, anvil: Anvil, settings: dict[str, str]) -> None:
        self.anvil = anvil
        self.settings = settings
        self.client = AnvilClient(timeout=5.0, connect=anvil.connect)

    def stage(self, client: tuple[str, str] = CLIENT, names: Names | None = None) -> Stage:
        stage = Stage(self.settings, client, names)
        conf = stage.policy.conf
        stage.policy.limits = ClientLimits.of(conf, self.client, "smtp")
        stage.policy.user_limits = UserLimits.of(conf, self.client)
        return stage


def play(tmp_path: Path, work: Callable[[Place], Awaitable[Any]], **settings: str) -> None:
    async def run() -> None:
        anvil = Anvil(Config.for_test(data_directory=str(tmp_path)))
        await anvil.service.open()
        await anvil.service.start()
        await work(Place(anvil, BASIS | settings))
        await anvil.service.stop()

    asyncio.run(run())


async def said(stage: Stage, *lines: str) -> list[str]:
    """The last line of the answer to each."""
    return [(await stage.send(f"{line}\r\n".encode())).decode().splitlines()[-1] for line in lines]


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


# --- clients


def test_connections_at_a_time(tmp_path: Path, lines: list[str]) -> None:
    async def work(place: Place) -> None:
        first, second = place.stage(), place.stage()
        assert (await first.start()).startswith(b"220")
        assert await second.start() == b"421 4.7.0 mx.example.com Error: too many connections from 192.0.2.1\r\n"
        assert second.transport.closed
        assert (
            "warning: Connection concurrency limit exceeded: 2 from host.example[192.0.2.1] for service smtp" in lines
        )
        await first.hang_up()
        await settle()
        assert (await place.stage().start()).startswith(b"220")

    play(tmp_path, work, smtpd_client_connection_count_limit="1")


def test_nobody_is_turned_away_while_anvil_cannot_be_asked(tmp_path: Path, lines: list[str]) -> None:
    async def work(place: Place) -> None:
        place.anvil.down = ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")
        for _ in range(3):
            stage = place.stage()
            assert (await stage.start()).startswith(b"220")
            assert (await said(stage, "EHLO x", "MAIL FROM:<a@b.example>"))[1] == "250 2.1.0 Ok"
        problems = [line for line in lines if "anvil" in line]
        assert problems == ["warning: problem talking to server private/anvil: Connection refused"]

    play(tmp_path, work, smtpd_client_connection_count_limit="1", smtpd_client_message_rate_limit="1")


def test_exempt_clients_cost_no_question(tmp_path: Path) -> None:
    async def work(place: Place) -> None:
        stage = place.stage(("unknown", "192.0.2.200"))
        await stage.start()
        await said(stage, "EHLO x", "MAIL FROM:<a@b.example>")
        assert stage.session.visit is EXEMPT
        assert place.anvil.links == []

    play(tmp_path, work, smtpd_client_message_rate_limit="1")


def test_the_question_leaves_before_the_name_is_known_unless_the_name_matters(tmp_path: Path) -> None:
    async def work(place: Place) -> None:
        class Waiting(Names):
            """Says who a client is when anvil was asked."""

            async def ptr(self, address: str) -> str | None:
                await settle()
                asked.append(place.anvil.asked)
                return None

        asked: list[int] = []
        stage = place.stage(("", "192.0.2.1"), Waiting())
        assert (await stage.start()).startswith(b"220")
        place.settings = place.settings | {"smtpd_client_event_limit_exceptions": "friend.example"}
        assert (await place.stage(("", "192.0.2.1"), Waiting()).start()).startswith(b"220")
        assert asked == [1, 1]
        assert place.anvil.asked == 2

    play(tmp_path, work)


def test_without_limits_there_is_nothing_to_do() -> None:
    conf = Config.for_test(smtpd_client_connection_count_limit="0")
    client = AnvilClient()
    assert ClientLimits.of(conf, client, "smtp") is None
    assert UserLimits.of(conf, client) is None
    assert ClientLimits.of(Config.for_test(), client, "smtp") is not None


@pytest.mark.parametrize(
    "address, ident",
    [
        ("192.0.2.77", "smtp:192.0.2.0/24"),
        ("2001:db8:1:2:3::4", "smtp:2001:db8:1::/48"),
        ("unknown", "smtp:unknown"),
    ],
)
def test_a_client_may_be_a_whole_network(address: str, ident: str) -> None:
    conf = Config.for_test(smtpd_client_ipv4_prefix_length="24", smtpd_client_ipv6_prefix_length="48")
    assert ClientLimits(conf, AnvilClient(), "smtp").ident(address) == ident


def test_by_default_an_ipv4_client_is_its_address_and_an_ipv6_client_its_network() -> None:
    limits = ClientLimits(Config.for_test(), AnvilClient(), "smtp")
    assert limits.ident("192.0.2.77") == "smtp:192.0.2.77"
    assert limits.ident("2001:db8::ffff:0:1") == "smtp:2001:db8::f000:0:0/84"


def test_ipv6_clients_of_one_network_share_their_counts(tmp_path: Path) -> None:
    async def work(place: Place) -> None:
        assert (await place.stage(("unknown", "2001:db8::1:1")).start()).startswith(b"220")
        reply = await place.stage(("unknown", "2001:db8::2:2")).start()
        assert reply == b"421 4.7.0 mx.example.com Error: too many connections from 2001:db8::2:2\r\n"

    play(tmp_path, work, smtpd_client_connection_rate_limit="1")


# --- users


async def send(place: Place, recipients: int = 1, *, bdat: bool = False, user: str = "ana") -> tuple[Stage, list[str]]:
    """Log in as XCLIENT does, and send a message: the answers to its content, and QUIT."""
    stage = place.stage()
    await stage.start()
    stage.session.login = user
    stage.session.login_method = "PLAIN"
    await said(stage, "EHLO x", "MAIL FROM:<a@b.example>", *["RCPT TO:<x@here.example>"] * recipients)
    if bdat:
        return stage, await said(stage, "BDAT 3 LAST\r\nx")
    answers = await said(stage, "DATA")
    if answers[0].startswith("354"):
        answers = await said(stage, "x\r\n.")
    return stage, answers


@pytest.mark.parametrize("bdat", [False, True])
def test_over_the_limit_a_message_is_held_and_the_postmaster_told_once(
    tmp_path: Path, lines: list[str], bdat: bool
) -> None:
    told: list[str] = []

    async def work(place: Place) -> None:
        for number in range(4):
            stage, (answer,) = await send(place, bdat=bdat, user="Ana" if number else "ana")
            assert answer.startswith("250 2.0.0 Ok")
            held = stage.gate.messages[0].held
            assert held == ("user message rate limit exceeded" if number > 1 else "")
            told.extend(str(task.get_coro()) for task in stage.policy.postmaster._tasks)
            await stage.hang_up()
        where = "BDAT" if bdat else "DATA"
        warning = f"hold: {where} from host.example[192.0.2.1]"
        assert [line.partition(": ")[2].partition(": ")[2] for line in lines if "rate limit exceeded" in line] == [
            f"User message rate limit exceeded: 3 from Ana (limit 2/3600s): {warning}",
            f"User message rate limit exceeded: 4 from Ana (limit 2/3600s): {warning}",
        ]
        assert len(told) == 1

    play(tmp_path, work, estafeta_user_message_rate_limit="2")


def test_recipients_of_all_messages_count_and_defer_puts_off(tmp_path: Path) -> None:
    async def work(place: Place) -> None:
        assert (await send(place, 3))[1][0].startswith("250 2.0.0 Ok")
        stage, answers = await send(place, 3)
        assert answers == ["450 4.7.1 Error: too many recipients from user ana, try again later"]
        assert stage.gate.begun == []
        assert (await send(place, 3, bdat=True))[1] == answers
        assert (await send(place, 2))[1][0].startswith("250 2.0.0 Ok")  # still within the limit
        assert (await send(place, 1, user="bob"))[1][0].startswith("250 2.0.0 Ok")

    play(tmp_path, work, estafeta_user_recipient_rate_limit="5", estafeta_user_limit_action="defer")


def test_tables_give_single_users_other_limits(tmp_path: Path, lines: list[str]) -> None:
    table = "inline:{{bulk=messages=0}, {@corp.example=messages=2, recipients=9}, {odd=much}}"

    async def work(place: Place) -> None:
        for user, passed in {"bulk": 5, "eve@corp.example": 2, "ana": 1, "odd": 1}.items():
            held = [(await send(place, user=user))[0].gate.messages[0].held for _ in range(5)]
            assert held.count("") == passed, user
        assert sum("bad limits 'much': write messages=100 recipients=500" in line for line in lines) == 5

    play(tmp_path, work, estafeta_user_message_rate_limit="1", estafeta_user_limit_maps=table)


def test_a_table_that_is_down_leaves_the_usual_limits(tmp_path: Path, lines: list[str]) -> None:
    async def work(place: Place) -> None:
        held = [(await send(place))[0].gate.messages[0].held for _ in range(2)]
        assert held == ["", "user message rate limit exceeded"]
        assert any("the usual limits apply to ana" in line for line in lines)

    play(tmp_path, work, estafeta_user_message_rate_limit="1", estafeta_user_limit_maps="fail:now")


def test_who_has_not_logged_in_has_no_such_limit(tmp_path: Path) -> None:
    async def work(place: Place) -> None:
        for _ in range(2):
            stage = place.stage()
            await stage.start()
            await said(stage, "EHLO x", "MAIL FROM:<a@b.example>", "RCPT TO:<x@here.example>", "DATA")
            await said(stage, "x\r\n.")
            assert stage.gate.messages[0].held == ""

    play(tmp_path, work, estafeta_user_message_rate_limit="1")


@pytest.mark.parametrize(
    "text, limits",
    [
        ("messages=100 recipients=500", (100, 500)),
        ("RECIPIENTS=7", (1, 7)),
        ("messages=0, recipients=0", (0, 0)),
        ("", (1, 2)),
        ("messages", None),
        ("messages=-1", None),
        ("messages=1 senders=2", None),
    ],
)
def test_limits_in_a_table(text: str, limits: tuple[int, int] | None) -> None:
    assert parse_limits(text, (1, 2)) == limits
