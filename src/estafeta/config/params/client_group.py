"""What the SMTP and the LMTP client share: one declaration for `smtp_mail_timeout` and `lmtp_mail_timeout`.

Read as `conf.client("smtp")` or `conf.client("lmtp")`. The parts are in `client_session_group.py`,
`client_routing_group.py` and `client_tls_group.py`; this is where the two clients differ.
"""

from __future__ import annotations

from typing import ClassVar

from .client_routing_group import ClientContentGroup, ClientRoutingGroup, ClientSaslGroup
from .client_session_group import ClientSessionGroup
from .client_tls_group import ClientTlsDetailsGroup, ClientTlsPolicyGroup


class ClientGroup(
    ClientSessionGroup,
    ClientRoutingGroup,
    ClientContentGroup,
    ClientSaslGroup,
    ClientTlsPolicyGroup,
    ClientTlsDetailsGroup,
):
    """Settings of the SMTP or LMTP client, by suffix."""

    prefixes: ClassVar[tuple[str, ...]] = ("smtp_", "lmtp_")
    # LMTP says LHLO where SMTP says EHLO.
    renamed: ClassVar[dict[str, str]] = {
        "lmtp_helo_name": "lmtp_lhlo_name",
        "lmtp_helo_timeout": "lmtp_lhlo_timeout",
        "lmtp_discard_ehlo_keywords": "lmtp_discard_lhlo_keywords",
        "lmtp_discard_ehlo_keyword_address_maps": "lmtp_discard_lhlo_keyword_address_maps",
    }
    defaults: ClassVar[dict[str, str]] = {
        "lmtp_connect_timeout": "0s",
        "lmtp_fallback_relay": "",
        "lmtp_requiretls_policy": "opportunistic",
        "lmtp_skip_quit_response": "no",
        "lmtp_tcp_port": "24",
        "lmtp_tls_secure_cert_match": "nexthop",
        "lmtp_tls_security_level": "",
    }
    only: ClassVar[dict[str, str]] = {
        "always_send_ehlo": "smtp_",
        "never_send_ehlo": "smtp_",
        "tls_dane_insecure_mx_policy": "smtp_",
        "assume_final": "lmtp_",
    }
