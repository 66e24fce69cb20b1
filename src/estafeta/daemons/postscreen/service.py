"""The postscreen process: one for the service, since it alone knows who has passed.

accepted -> (proxy header) -> access list -> cache -> lobby, with tests before the greeting -> session, or on to smtpd

A client that is known or allowed goes on to smtpd at once. Others wait in the lobby for postscreen_greet_wait; those
who pass go on, those who are refused or tested further get a session of postscreen's own. POSTSCREEN_README.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from estafeta.base import log
from estafeta.config.instance import Config
from estafeta.mail.logline import delay_text
from estafeta.mail.shown import escaped, without_secrets
from estafeta.net.dns import Resolver
from estafeta.net.peer import plain
from estafeta.net.stream import Stream
from estafeta.services.passed import Origin
from estafeta.skeleton.service import Context, Service
from estafeta.tables.cache_cleanup import Cleanup
from estafeta.tables.cache_store import CacheStore
from estafeta.tables.table import TableDown
from estafeta.wire.haproxy import Header, ProxyError, parse_header

from . import record, replies
from .access import DUNNO, PERMIT, REJECT
from .handover import Handover
from .lobby import Line, Watch
from .policy import DROP, ENFORCE, Policy
from .rank import Ranks
from .session import Session
from .visitor import Visitor

EARLY_TALK = 1023
"""Bytes of what is said too early that are looked at."""
SHOWN = 100
SHOWN_HEADER = 600
LONGEST_HEADER = 1024
LAST_REPLY = 1024
"""Bytes read of a client that is sent away, so that the reply is not lost with the connection."""

Value = TypeVar("Value")


class PostscreenService(Service):
    """The one process."""

    style = "socket"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.watchdog_timeout = self.conf.postscreen_watchdog_timeout
        self._visitors: set[Visitor] = set()
        self._by_address: dict[str, int] = {}
        self._in_tests = 0
        self._under_stress = self._told_of_words = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._store: CacheStore | None = None
        self._empty = asyncio.Event()
        self._leaving = False
        self._headers: dict[Visitor, bytes] = {}
        """What has come of the headers that proxies send."""

    async def open(self) -> None:
        """Open cache, tables and keys, while the process still has its first identity.

        Raises TableError, ConfigError.
        """
        entry = self.context.entry
        stressed = Config.build(self.conf.settings, entry.overrides | {"stress": "yes"}, service=entry.name)
        self._policy = Policy(self.conf, stressed, entry.overrides, self.context.read_file)
        self._resolver = Resolver()
        self._ranks = Ranks(self.conf, self._resolver, self._ranked)
        if self.conf.postscreen_cache_map.strip():
            self._store = CacheStore.of("postscreen_cache_map", self.conf.postscreen_cache_map, self.conf)

    async def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        policy = self._policy
        self._lobby: Watch[Visitor] = Watch(self._loop, self._talks)
        self._proxies: Watch[Visitor] = Watch(self._loop, self._header_arrives)
        self._proxy_line: Line[Visitor] = Line(self._loop, self.conf.postscreen_upstream_proxy_timeout, self._no_header)
        self._line: Line[Visitor] = Line(self._loop, policy.calm.greeting, self._waited)
        self._short_line: Line[Visitor] = Line(self._loop, policy.stressed.greeting, self._waited)
        self._smtpd = Handover(self._loop, self.conf.smtpd_service_name)
        if self._store is not None:
            stale = record.long_gone(self.conf.postscreen_cache_retention_time)
            cleanup = Cleanup(self._store, self.conf.postscreen_cache_cleanup_interval, stale, time.time)
            self._run(cleanup.run())
            await asyncio.sleep(0)  # a small cache is clean before the first client

    def draining(self) -> None:
        """The skeleton need not wait for those who are in: `hand_over` does, when the next process may start."""
        self._leaving = True
        for visitor in self._visitors:
            _release(visitor)

    async def hand_over(self, make_way: Callable[[], None]) -> None:
        """The next process gets the cache and whoever comes from now on; who is in stays with us."""
        await self._close_store()
        make_way()
        while self._visitors or self._smtpd.waiting:
            self._empty.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._empty.wait(), 1.0)

    async def stop(self) -> None:
        for visitor in list(self._visitors):
            self._gone(visitor)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._ranks.stop()
        for each in (self._lobby, self._proxies, self._line, self._short_line, self._proxy_line, self._smtpd):
            each.close()
        await self._resolver.close()
        await self._close_store()

    async def _close_store(self) -> None:
        store, self._store = self._store, None
        if store is not None:
            await asyncio.to_thread(store.close)

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error(f"client lost: {error!r}")

    # --- arrival

    def accepted(self, client: socket.socket, release: Callable[[], None]) -> None:
        visitor = Visitor(client, release)
        try:
            peer, own = client.getpeername(), client.getsockname()
        except OSError as error:
            log.warning(f"getpeername: {error.strerror} -- dropping this connection")
            client.close()
            release()
            return
        if client.family == socket.AF_UNIX:
            peer = own = ("127.0.0.1", 0)
        visitor.address, visitor.port = plain(peer[0]), str(peer[1])
        visitor.own, visitor.own_port = plain(own[0]), str(own[1])
        self._visitors.add(visitor)
        if not self.conf.postscreen_upstream_proxy_protocol:
            self._arrive(visitor)
            return
        self._headers[visitor] = b""
        self._proxies.add(client.fileno(), visitor)
        self._proxy_line.add(visitor)

    def _header_arrives(self, visitor: Visitor) -> None:
        client, held = visitor.socket, self._headers.get(visitor, b"")
        assert client is not None
        try:
            data = client.recv(LONGEST_HEADER, socket.MSG_PEEK)
            if not data:
                self._bad_proxy(visitor, "EOF")
                return
            header = parse_header(held + data, ipv6=self._has_ipv6)
            # What follows the header is for smtpd to read, or for the tests to find.
            client.recv(len(data) if header is None else header.length - len(held))
        except ProxyError as problem:
            self._bad_proxy(visitor, f"{problem}: {escaped((held + data)[:SHOWN_HEADER])}")
            return
        except OSError as error:
            self._bad_proxy(visitor, error.strerror or "EOF")
            return
        if header is None:
            self._headers[visitor] = held + data
            self._proxies.add(client.fileno(), visitor)
            return
        del self._headers[visitor]
        self._meet(visitor, header)

    @property
    def _has_ipv6(self) -> bool:
        return bool({"all", "ipv6"} & set(self.conf.inet_protocols))

    def _meet(self, visitor: Visitor, header: Header) -> None:
        if header.client:
            visitor.address, visitor.port = header.client, header.client_port
            visitor.own, visitor.own_port = header.server, header.server_port
            visitor.proxied = True
        self._arrive(visitor)

    def _no_header(self, visitor: Visitor) -> None:
        if visitor in self._headers:
            self._bad_proxy(visitor, "time limit exceeded")

    def _bad_proxy(self, visitor: Visitor, problem: str) -> None:
        log.warning(f"haproxy read: {problem}")
        self._headers.pop(visitor, None)
        self._run(self._send_away(visitor, replies.RESOURCES_421, quietly=True))

    def _arrive(self, visitor: Visitor) -> None:
        log.info(f"CONNECT from {visitor.name} to [{visitor.own}]:{visitor.own_port}")
        count = self._by_address[visitor.address] = self._by_address.get(visitor.address, 0) + 1
        visitor.counted = True
        limit = self.conf.postscreen_client_connection_count_limit
        if limit and count > limit:
            log.info(f"NOQUEUE: reject: CONNECT from {visitor.name}: too many connections")
            self._refuse(visitor, replies.TOO_MANY_421)
        elif self._smtpd.waiting >= self.conf.postscreen_post_queue_limit:
            log.info(f"NOQUEUE: reject: CONNECT from {visitor.name}: all server ports busy")
            self._refuse(visitor, replies.PORTS_421)
        elif self._policy.access.quick:
            self._judged(visitor, _at_once(self._policy.access.verdict(visitor.address), DUNNO))
        else:
            self._run(self._ask_access(visitor))

    async def _ask_access(self, visitor: Visitor) -> None:
        verdict = await self._policy.access.verdict(visitor.address)
        if visitor in self._visitors:
            self._judged(visitor, verdict)

    def _judged(self, visitor: Visitor, verdict: str) -> None:
        """The access list has spoken."""
        if verdict == PERMIT:
            self._note(f"{self._policy.allow}LISTED", visitor)
            self._pass_on(visitor)
            return
        if verdict == REJECT:
            self._note(f"{self._policy.deny}LISTED", visitor)
            action = self.conf.postscreen_denylist_action
            if action == DROP:
                self._refuse(visitor, replies.DENIED_521)
                return
            if action == ENFORCE:
                visitor.refused, visitor.reply = True, replies.DENIED_550
        self._look_up(visitor)

    def _look_up(self, visitor: Visitor) -> None:
        """Who has passed before goes on; others are tested, if there is room."""
        policy = self._policy
        times = record.parse(self._store.get(visitor.address)) if self._store is not None else None
        visitor.known, visitor.times = times is not None, times or record.NOTHING
        visitor.todo = policy.rules.todo(visitor.times, time.time())
        if visitor.known and not visitor.todo and not visitor.refused:
            log.info(f"PASS OLD {visitor.name}")
            self._pass_on(visitor)
            return
        if not _at_once(policy.interfaces.matches_address("", visitor.own), False):
            self._note(f"{policy.allow}LIST VETO", visitor)
            visitor.refused = True
        if not visitor.todo and not visitor.refused:
            self._pass_on(visitor)
            return
        self._count_test(visitor)
        if self._in_tests >= self.conf.postscreen_pre_queue_limit:
            log.info(f"reject: connect from {visitor.name}: all screening ports busy")
            self._refuse(visitor, replies.SCREENING_421)
            return
        self._test(visitor)

    def _note(self, verdict: str, visitor: Visitor) -> None:
        """Log what a list says of a client; once also that the words are those of a former default."""
        log.info(f"{verdict} {visitor.name}")
        if self._policy.former_words and not self._told_of_words:
            self._told_of_words = True
            log.info(f"using backwards-compatible default setting respectful_logging=no for client {visitor.name}")

    # --- tests before the greeting

    def _test(self, visitor: Visitor) -> None:
        visitor.began = self._loop.time()
        if not visitor.todo & record.EARLY:
            self._converse(visitor)
            return
        client = visitor.socket
        assert client is not None
        if record.PREGREET in visitor.todo and not self._send(client, self._policy.teaser):
            self._hung_up(visitor)
            return
        if record.DNSBL in visitor.todo:
            visitor.rank = self._ranks.ask(visitor)
        self._lobby.add(client.fileno(), visitor)
        (self._short_line if self._under_stress else self._line).add(visitor)

    def _talks(self, visitor: Visitor) -> None:
        """Input, or its end, before the greeting."""
        client = visitor.socket
        assert client is not None
        try:
            # It stays where it is: whoever answers the client is to read it.
            data = client.recv(EARLY_TALK, socket.MSG_PEEK)
        except OSError:
            data = b""
        if not data:
            self._hung_up(visitor)
            return
        if record.PREGREET not in visitor.todo:
            return
        shown = escaped(without_secrets(data))[:SHOWN]
        log.info(f"PREGREET {len(data)} after {self._elapsed(visitor)} from {visitor.name}: {shown}")
        action = self.conf.postscreen_greet_action
        if action == DROP:
            self._refuse(visitor, replies.PROTOCOL_521)
            return
        if action == ENFORCE:
            visitor.refused, visitor.reply = True, replies.PROTOCOL_550
        visitor.unsure = True
        if visitor.rank is None or visitor.rank.done:
            self._conclude(visitor)

    def _ranked(self, visitor: Visitor) -> None:
        """The DNS lists have answered. Only who is good beyond doubt, or has nothing else to wait for, goes on now."""
        if not self._waits(visitor):
            return
        if visitor.unsure or record.PREGREET not in visitor.todo or self._is_trusted(visitor):
            self._conclude(visitor)

    def _waited(self, visitor: Visitor) -> None:
        if self._waits(visitor):
            self._conclude(visitor)

    def _waits(self, visitor: Visitor) -> bool:
        """Whether the client is still in the lobby: `began` is 0 when it has left."""
        return visitor.began > 0.0

    def _is_trusted(self, visitor: Visitor) -> bool:
        """Whether lists of good clients have it."""
        least = self.conf.postscreen_dnsbl_allowlist_threshold
        return least < 0 and visitor.rank is not None and visitor.rank.score <= least and not visitor.refused

    def _conclude(self, visitor: Visitor) -> None:
        """The time before the greeting is over."""
        client = visitor.socket
        assert client is not None
        self._lobby.remove(client.fileno())
        visitor.began = 0.0
        if self._is_trusted(visitor) and not visitor.unsure:
            assert visitor.rank is not None
            until = int(time.time()) + self._ranks.life(visitor.rank)
            visitor.times = tuple(max(when, until) for when in visitor.times)
            visitor.passed = visitor.todo
        elif not self._weigh(visitor):
            return
        if visitor.refused or visitor.left & record.LATE:
            self._converse(visitor)
            return
        self._remember(visitor)
        self._pass_on(visitor)

    def _weigh(self, visitor: Visitor) -> bool:
        """Take the results in. False: the client is sent away."""
        now, times = int(time.time()), list(visitor.times)
        if record.PREGREET in visitor.todo and not visitor.unsure:
            visitor.passed |= {record.PREGREET}
            times[record.PREGREET] = now + self.conf.postscreen_greet_ttl
        rank = visitor.rank
        if rank is not None and rank.score >= self.conf.postscreen_dnsbl_threshold:
            log.info(f"DNSBL rank {rank.score} for {visitor.name}")
            action = self.conf.postscreen_dnsbl_action
            if action in (DROP, ENFORCE):
                visitor.refused = True
                visitor.times = tuple(times)
                self._run(self._blame(visitor, rank.blamed, drop=action == DROP))
                return False
            visitor.todo -= {record.DNSBL}
            visitor.unsure = True
        elif rank is not None:
            visitor.passed |= {record.DNSBL}
            times[record.DNSBL] = now + self._ranks.life(rank)
        visitor.times = tuple(times)
        return True

    async def _blame(self, visitor: Visitor, domain: str, *, drop: bool) -> None:
        shown = await self._ranks.shown(domain)
        using = f" using {shown}" if shown else ""
        said = f"5.7.1 Service unavailable; client [{visitor.address}] blocked{using}"
        if visitor not in self._visitors:
            return
        if drop:
            await self._send_away(visitor, f"521 {said}")
            return
        visitor.reply = f"550 {said}"
        self._converse(visitor)

    # --- what becomes of a client

    def _converse(self, visitor: Visitor) -> None:
        # Who talked before the greeting has its answer coming instead.
        greet = record.PREGREET in visitor.passed or record.PREGREET not in visitor.todo
        self._run(self._session(visitor, greet))

    async def _session(self, visitor: Visitor, greet: bool) -> None:
        client = visitor.socket
        assert client is not None
        visitor.socket = None
        stream = Stream()
        try:
            await self._loop.connect_accepted_socket(lambda: stream, client)
        except OSError:
            client.close()
            self._gone(visitor)
            return
        session = Session(self._policy, stream, visitor, lambda: self._patience.command)
        try:
            await session.run(greet=greet)
            self._tested(visitor, session.ignored)
        finally:
            stream.close()
            if visitor in self._visitors:
                log.info(f"DISCONNECT {visitor.name}")
                self._gone(visitor)

    def _tested(self, visitor: Visitor, failed: frozenset[int]) -> None:
        """Take the results of the session in."""
        now, times = int(time.time()), list(visitor.times)
        for test in visitor.todo & record.LATE:
            if test in failed:
                times[test] = now + self._policy.rules.ignored_for
            elif test in visitor.passed:
                times[test] = now + self._policy.rules.life[test]
        visitor.times = tuple(times)
        self._remember(visitor)

    def _remember(self, visitor: Visitor) -> None:
        """Note what was passed, and say so if it was everything."""
        if visitor.refused or not visitor.passed:
            return
        if not visitor.left and not visitor.unsure:
            log.info(f"PASS {'OLD' if visitor.known else 'NEW'} {visitor.name}")
        if self._store is not None:
            self._store.put(visitor.address, record.packed(self._policy.rules.settled(visitor.times)))

    def _pass_on(self, visitor: Visitor) -> None:
        client = visitor.socket
        assert client is not None
        origin = None
        if visitor.proxied:
            origin = Origin(visitor.address, visitor.port, visitor.own, visitor.own_port)
        if self._smtpd.give(client, origin):
            self._gone(visitor)
        else:
            self._refuse(visitor, replies.PORTS_421)

    def _refuse(self, visitor: Visitor, reply: str) -> None:
        if self._policy.dressing.quick:
            _at_once(self._send_away(visitor, reply), None)
        else:
            self._run(self._send_away(visitor, reply))

    async def _send_away(self, visitor: Visitor, reply: str, *, quietly: bool = False) -> None:
        """Say something and hang up."""
        client = visitor.socket
        if client is not None:
            self._leave_lobby(visitor)
            text = await self._policy.dressing.dressed(reply, visitor)
            if self._send(client, f"{text}\r\n".encode("utf-8", "surrogateescape")):
                # Closing with input unread would destroy the reply on its way.
                with contextlib.suppress(OSError):
                    client.recv(LAST_REPLY)
        if visitor in self._visitors:
            if not quietly:
                log.info(f"DISCONNECT {visitor.name}")
            self._gone(visitor)

    def _hung_up(self, visitor: Visitor) -> None:
        log.info(f"HANGUP after {self._elapsed(visitor)} from {visitor.name} in tests before SMTP handshake")
        log.info(f"DISCONNECT {visitor.name}")
        self._gone(visitor)

    def _gone(self, visitor: Visitor) -> None:
        """Forget a client, and close what is open."""
        self._visitors.discard(visitor)
        self._leave_lobby(visitor)
        if visitor.socket is not None:
            visitor.socket.close()
            visitor.socket = None
        visitor.rank = None
        if visitor.counted:
            visitor.counted = False
            left = self._by_address[visitor.address] - 1
            if left:
                self._by_address[visitor.address] = left
            else:
                del self._by_address[visitor.address]
        if visitor.queued:
            visitor.queued = False
            self._in_tests -= 1
            if self._under_stress and self._in_tests <= self._policy.stress_ends:
                self._under_stress = False
                log.info(f"leaving STRESS mode with {self._in_tests} connections")
        _release(visitor)
        if self._leaving and not self._visitors:
            self._empty.set()

    def _leave_lobby(self, visitor: Visitor) -> None:
        visitor.began = 0.0
        if visitor.socket is not None:
            self._lobby.remove(visitor.socket.fileno())
            self._proxies.remove(visitor.socket.fileno())

    def _count_test(self, visitor: Visitor) -> None:
        visitor.queued = True
        self._in_tests += 1
        if not self._under_stress and self._in_tests >= self._policy.stress_begins:
            self._under_stress = True
            log.info(f"entering STRESS mode with {self._in_tests} connections")

    @property
    def _patience(self) -> Any:
        return self._policy.stressed if self._under_stress else self._policy.calm

    def _elapsed(self, visitor: Visitor) -> str:
        return delay_text(self._loop.time() - visitor.began, self.conf.delay_logging_resolution_limit)

    @staticmethod
    def _send(client: socket.socket, data: bytes) -> bool:
        """A few bytes on a fresh connection. False: it is gone, or it takes nothing, which no good client does."""
        try:
            return client.send(data) == len(data)
        except OSError:
            return False


def _release(visitor: Visitor) -> None:
    release, visitor.release = visitor.release, _nothing
    release()


def _nothing() -> None:
    """In the place of a release that has been made."""


def _at_once(asking: Coroutine[Any, Any, Value], unknown: Value) -> Value:
    """The answer of what does not wait. `unknown`, and logged, if it would have to, or a table cannot be asked."""
    try:
        asking.send(None)
    except StopIteration as done:
        value: Value = done.value
        return value
    except TableDown as error:
        log.warning(str(error))
        return unknown
    asking.close()
    log.warning("a table in postscreen_allowlist_interfaces must be waited for: use one that is a file")
    return unknown
