"""oauth2:FILE: bearer tokens (OAUTHBEARER, XOAUTH2), checked by asking the identity provider. RFC 7628, RFC 7662.

Two ways: token introspection (`introspection_url`, with the id and secret of this client), or the user's own page
(`userinfo_url`, OpenID Connect Core 5.3), which a provider shows to who has a good token. A good token is remembered
for a while, and never longer than it lives.
"""

from __future__ import annotations

import base64
import http.client
import json
import socket
import ssl
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from estafeta.accounts import settings_file
from estafeta.accounts.local import Checking
from estafeta.accounts.source import Source, SourceDown
from estafeta.accounts.workers import Workers
from estafeta.net.dns import Resolver
from estafeta.net.dns_names import DnsError

THREADS = 8
LONGEST_ANSWER = 1 << 20
KEPT_AT_MOST = 10_000
SETTINGS = {
    "introspection_url": "",
    "userinfo_url": "",
    "client_id": "",
    "client_secret": "",
    "username_attribute": "email",
    "scope": "",
    "audience": "",
    "tls_ca_file": "",
    "timeout": "10s",
}


@dataclass(frozen=True, slots=True)
class Provider:
    """Whom to ask, and what to make of the answer."""

    url: str
    introspection: bool
    client_id: str = ""
    client_secret: str = field(default="", repr=False)
    username_attribute: str = "email"
    scope: frozenset[str] = frozenset()
    """Scopes that a token must have; known by introspection only."""
    audience: str = ""
    timeout: float = 10.0
    ca_file: str = ""


@dataclass(frozen=True, slots=True)
class Page:
    """An HTTP answer."""

    status: int
    body: bytes


Fetch = Callable[[Provider, str, list[str]], Page]
"""(provider, token, addresses of its host). Blocks. Raises OSError, http.client.HTTPException."""


def fetch(provider: Provider, token: str, addresses: list[str], context: ssl.SSLContext | None = None) -> Page:
    parts = urlsplit(provider.url)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    port = parts.port or (443 if parts.scheme == "https" else 80)
    if parts.scheme == "https":
        link: http.client.HTTPConnection = http.client.HTTPSConnection(
            parts.hostname or "", port, timeout=provider.timeout, context=context
        )
    else:
        link = http.client.HTTPConnection(parts.hostname or "", port, timeout=provider.timeout)
    # The name has been looked up already: this process may be in a chroot, where the C library knows no names.
    link._create_connection = lambda where, timeout, source=None: _connect(  # type: ignore[attr-defined]
        addresses, where[1], timeout
    )
    headers = {"Accept": "application/json", "Connection": "close"}
    try:
        if provider.introspection:
            body = urlencode({"token": token, "token_type_hint": "access_token"})
            headers["Content-Type"] = "application/x-www-form-urlencoded"
            if provider.client_id:
                # RFC 6749 2.3.1: both are form-encoded before they are put together.
                pair = f"{quote(provider.client_id, safe='')}:{quote(provider.client_secret, safe='')}"
                headers["Authorization"] = "Basic " + base64.b64encode(pair.encode()).decode("ascii")
            link.request("POST", path, body, headers)
        else:
            headers["Authorization"] = f"Bearer {token}"
            link.request("GET", path, headers=headers)
        answer = link.getresponse()
        text = answer.read(LONGEST_ANSWER + 1)
        if len(text) > LONGEST_ANSWER:
            raise http.client.HTTPException("the answer is too long")
        return Page(answer.status, text)
    finally:
        link.close()


def _connect(addresses: list[str], port: int, timeout: float) -> socket.socket:
    problem: OSError = OSError("the name has no address")
    for address in addresses:
        try:
            return socket.create_connection((address, port), timeout)
        except OSError as error:
            problem = error
    raise problem


@dataclass(frozen=True, slots=True)
class Verdict:
    """`user` None: no good token. `until`: seconds since the epoch, 0 if it was not said."""

    user: str | None
    until: float = 0.0


def judge(page: Page, provider: Provider, now: float) -> Verdict:
    """What the answer says. Raises ValueError where it says nothing about the token."""
    if not provider.introspection and page.status in (400, 401, 403):
        return Verdict(None)
    if page.status != 200:
        raise ValueError(f"{provider.url} answers with status {page.status}")
    try:
        said: Any = json.loads(page.body)
    except ValueError:
        said = None
    if not isinstance(said, dict):
        raise ValueError(f"{provider.url} does not answer with a JSON object")
    if provider.introspection and said.get("active") is not True:
        return Verdict(None)
    until = said.get("exp", 0)
    if not isinstance(until, int | float) or isinstance(until, bool):
        until = 0
    if until and until <= now:
        return Verdict(None)
    if not provider.scope <= frozenset(str(said.get("scope", "")).split()):
        return Verdict(None)
    audience = said.get("aud", [])
    if provider.audience and provider.audience not in (audience if isinstance(audience, list) else [audience]):
        return Verdict(None)
    user = said.get(provider.username_attribute)
    if not isinstance(user, str) or not user or not user.isprintable() or len(user) > 255:
        raise ValueError(f"{provider.url} says no {provider.username_attribute} (see username_attribute)")
    return Verdict(user, until)


class Oauth(Source):
    passwords = False
    tokens = True

    def __init__(
        self,
        name: str,
        provider: Provider,
        checking: Checking,
        *,
        fetch: Fetch | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`fetch` and `clock` are for tests."""
        self.name = name
        self._provider = provider
        self._good = checking.good
        self._owners: OrderedDict[bytes, str] = OrderedDict()
        self._asking = Workers(THREADS, 100)
        self._clock = clock
        self._fetch = fetch or self._over_http
        self._resolver: Resolver | None = None
        self._context: ssl.SSLContext | None = None

    def open(self) -> None:
        self._resolver = Resolver()
        if self._provider.url.startswith("https:"):
            self._context = ssl.create_default_context(cafile=self._provider.ca_file or None)

    async def stop(self) -> None:
        self._asking.stop()
        if self._resolver is not None:
            await self._resolver.close()

    async def owner(self, user: str, token: str) -> str | None:
        found = self._remembered(token)
        if found is None:
            found = await self._ask(token)
        if found is None or (user and user.casefold() != found.casefold()):
            return None
        return found

    def _remembered(self, token: str) -> str | None:
        key = self._good.key(self.name, token)
        owner = self._owners.get(key)
        return owner if owner is not None and self._good.known(self.name, token) else None

    async def _ask(self, token: str) -> str | None:
        provider = self._provider
        try:
            page = await self._asking.run(self._fetch, provider, token, await self._addresses())
            verdict = judge(page, provider, self._clock())
        except (ValueError, OSError, http.client.HTTPException) as error:
            raise SourceDown(f"{self.name}: {error}") from None
        if verdict.user is None:
            return None
        left = verdict.until - self._clock() if verdict.until else None
        self._good.remember(self.name, token, lifetime=left)
        self._owners[self._good.key(self.name, token)] = verdict.user
        while len(self._owners) > KEPT_AT_MOST:
            self._owners.popitem(last=False)
        return verdict.user

    async def _addresses(self) -> list[str]:
        host = urlsplit(self._provider.url).hostname or ""
        if self._resolver is None:
            return [host]
        try:
            return await self._resolver.native(host)
        except DnsError as error:
            raise OSError(f"{host}: {error}") from None

    def _over_http(self, provider: Provider, token: str, addresses: list[str]) -> Page:
        return fetch(provider, token, addresses, self._context)


def open_own(path: str, checking: Checking) -> Oauth:
    """`oauth2:PATH`. Raises ValueError, OSError."""
    said = settings_file.read(path, SETTINGS)
    url = said["introspection_url"] or said["userinfo_url"]
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{path}: write introspection_url = https://... or userinfo_url = https://...")
    if parts.username:
        raise ValueError(f"{path}: write client_id and client_secret on lines of their own, not into the URL")
    try:
        _ = parts.port
    except ValueError:
        raise ValueError(f"{path}: {url}: no such port") from None
    provider = Provider(
        url=url,
        introspection=bool(said["introspection_url"]),
        client_id=said["client_id"],
        client_secret=said["client_secret"],
        username_attribute=said["username_attribute"],
        scope=frozenset(said["scope"].replace(",", " ").split()),
        audience=said["audience"],
        timeout=settings_file.duration(said["timeout"], "timeout", path) or 10.0,
        ca_file=said["tls_ca_file"],
    )
    return Oauth(f"oauth2:{path}", provider, checking)
