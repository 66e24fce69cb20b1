"""check_policy_service: a server of the site's own decides. SMTPD_POLICY_README.

The argument is `inet:host:port` or `unix:path` (relative to the queue directory), or `{ that, name=value ... }` with
settings of its own in place of the smtpd_policy_service_* parameters. The answer is an action of access(5).
"""

from __future__ import annotations

import itertools
import os
import socket
import time

from estafeta.config.instance import Config
from estafeta.config.kinds import parse_seconds
from estafeta.daemons.smtpd.policy import Policy
from estafeta.daemons.smtpd.restrictions.access import act
from estafeta.daemons.smtpd.restrictions.evaluate import Check, Run, Verdict, restriction_with
from estafeta.mail.xtext import encode as encode_xtext
from estafeta.net.policy_client import PolicyDown, PolicyService
from estafeta.tables.braces import inside, members_of
from estafeta.wire.policy import encode_request

_number = itertools.count(1).__next__
_began = int(time.time())


@restriction_with("check_policy_service")
def check_policy_service(argument: str, policy: Policy) -> Run:
    """Ask a policy server, and do what it says."""
    client = policy.policy_client(parse_service(argument, policy.conf))
    service = client.service

    async def run(check: Check) -> Verdict:
        request = encode_request(attributes(check, service.policy_context))
        try:
            action = await client.ask(request, check.session.transaction)
        except PolicyDown:
            action = service.default_action
        return await act(check, (action, "policy query"), service.endpoint, "check_policy_service")

    return run


def parse_service(argument: str, conf: Config) -> PolicyService:
    """Raises ValueError, which names what is wrong."""
    endpoint, *settings = members_of(argument) or [argument]
    values: dict[str, str] = {}
    for setting in settings:
        braced = inside(setting) if setting.startswith("{") else None
        name, equals, value = (braced or setting).partition("=")
        if not equals or name.strip() not in SETTINGS:
            raise ValueError(f'unknown option "{setting}": write one of {", ".join(SETTINGS)}, as in timeout=10s')
        values[name.strip()] = value.strip()
    path, host, port = _place(endpoint)

    def number(name: str, value: int, least: int) -> int:
        if name in values:
            value = parse_seconds(values[name]) if name not in PLAIN else int(values[name])
        if value < least:
            raise ValueError(f"{name}={value} is too small: the least is {least}")
        return value

    return PolicyService(
        endpoint,
        path,
        host,
        port,
        timeout=number("timeout", conf.smtpd_policy_service_timeout, 1),
        max_idle=number("max_idle", conf.smtpd_policy_service_max_idle, 1),
        max_ttl=number("max_ttl", conf.smtpd_policy_service_max_ttl, 1),
        request_limit=number("request_limit", conf.smtpd_policy_service_request_limit, 0),
        try_limit=number("try_limit", conf.smtpd_policy_service_try_limit, 1),
        retry_delay=number("retry_delay", conf.smtpd_policy_service_retry_delay, 1),
        default_action=values.get("default_action", conf.smtpd_policy_service_default_action),
        policy_context=values.get("policy_context", conf.smtpd_policy_service_policy_context),
    )


PLAIN = frozenset({"request_limit", "try_limit"})
"""Numbers that are no times."""
SETTINGS = (
    "timeout",
    "max_idle",
    "max_ttl",
    "request_limit",
    "try_limit",
    "retry_delay",
    "default_action",
    "policy_context",
)


def _place(endpoint: str) -> tuple[str, str, int]:
    """(path, "", 0) or ("", host, port). Raises ValueError."""
    kind, _, rest = endpoint.partition(":")
    if kind in ("unix", "local") and rest:
        return rest, "", 0
    host, _, port = rest.rpartition(":")
    host = host.removeprefix("[").removesuffix("]") or "localhost"
    if kind == "inet" and port.isascii() and port.isdigit():
        return "", host, int(port)
    if kind == "inet" and port:
        try:
            return "", host, socket.getservbyname(port, "tcp")
        except OSError:
            raise ValueError(f'unknown service "{port}" in "{endpoint}": write a port number') from None
    raise ValueError(f'bad policy server "{endpoint}": write inet:host:port or unix:path')


def attributes(check: Check, context: str) -> dict[str, str | int]:
    """What the server is told. Fields that are not known are empty."""
    session, transaction = check.session, check.session.transaction
    client, tls = session.client, session.stream.tls
    recipient = check.recipient
    at_end = check.where in ("DATA", "END-OF-MESSAGE", "BDAT")
    if recipient is None and at_end and transaction.count == 1:
        recipient = transaction.recipients[0].address
    instance = f"{os.getpid():x}.{_began:x}.{client.port}"  # what comes before MAIL belongs to no message
    if transaction.sender is not None:
        transaction.instance = transaction.instance or _number()
        instance = f"{instance}.{transaction.instance:x}"
    certificate = tls if tls is not None and tls.certificate else None
    if certificate is not None and check.policy.former is not None:
        check.policy.former.fingerprint(check.policy.conf)
    return {
        "request": "smtpd_access_policy",
        "protocol_state": "DATA" if check.where == "BDAT" else check.where,
        "protocol_name": session.protocol,
        "client_address": client.address,
        "client_name": client.name,
        "client_port": client.port,
        "reverse_client_name": client.reverse_name,
        "server_address": session.own_address,
        "server_port": session.own_port,
        "helo_name": session.helo or "",
        "sender": check.sender or "",
        "recipient": recipient or "",
        "recipient_count": transaction.count if at_end else 0,
        "queue_id": session.queue_id,
        "instance": instance,
        "size": transaction.size,
        "etrn_domain": session.etrn_domain or "",
        "stress": check.policy.conf.stress,
        "sasl_method": session.login_method,
        "sasl_username": session.login,
        "sasl_sender": transaction.login_sender,
        "ccert_subject": encode_xtext(certificate.subject) if certificate else "",
        "ccert_issuer": encode_xtext(certificate.issuer) if certificate else "",
        "ccert_fingerprint": certificate.certificate_fingerprint if certificate else "",
        "ccert_pubkey_fingerprint": certificate.public_key_fingerprint if certificate else "",
        "encryption_protocol": tls.protocol if tls else "",
        "encryption_cipher": tls.cipher if tls else "",
        "encryption_keysize": tls.bits if tls else 0,
        "policy_context": context,
    }
