"""compatibility_level: which release's defaults apply, and what to say where the former default is still in use.

Defaults that became safer over time depend on the level in their declaration
(`${{$compatibility_level} <level {1} ? {yes} : {no}}`). A daemon whose decision hangs on such a default asks
`legacy_default` for the line to log, so that the administrator sees what would change. The texts are those that
log watchers know. postconf(5): compatibility_level.
"""

from __future__ import annotations

from typing import Protocol

from .expand import level

LAST_LEVEL = "3.6"
"""The newest level that changes any default; a site that has dealt with all warnings sets it."""

LEGACY_BELOW: dict[str, str] = {
    "append_dot_mydomain": "1",
    "mynetworks_style": "2",
    "relay_domains": "2",
    "smtpd_relay_restrictions": "1",
    "smtpd_tls_fingerprint_digest": "3.6",
    "smtp_tls_fingerprint_digest": "3.6",
    "lmtp_tls_fingerprint_digest": "3.6",
    "smtpd_relay_before_recipient_restrictions": "3.6",
    "smtputf8_enable": "1",
}
"""Parameter -> the level from which its newer default applies."""


class Values(Protocol):
    def value(self, name: str) -> str: ...
    def raw_value(self, name: str) -> str: ...
    def is_set(self, name: str) -> bool: ...
    def origin(self, name: str) -> str: ...


def uses_legacy_default(conf: Values, name: str) -> bool:
    """Whether `name` is not set and the level keeps its former default."""
    return not conf.is_set(name) and level(conf.value("compatibility_level")) < level(LEGACY_BELOW[name])


def chroot_default(conf: Values) -> bool:
    """What `-` means in the chroot column of master.cf."""
    return level(conf.value("compatibility_level")) < level("1")


def legacy_default(conf: Values, name: str, consequence: str) -> str:
    """The line to log when the former default of `name` decided something; '' when it did not.

    `consequence` continues the sentence: `to rewrite "x" to "x.example.com"`.
    """
    if not uses_legacy_default(conf, name):
        return ""
    return f"using backwards-compatible default setting {name}={conf.value(name)} {consequence}"


def notices(conf: Values) -> list[str]:
    """What `postfix start`, `check` and `reload` say about an old level, in lines; empty for a current one."""
    if level(conf.value("compatibility_level")) >= level(LAST_LEVEL):
        return []
    return [
        "Postfix is running with backwards-compatible default settings",
        "See http://www.postfix.org/COMPATIBILITY_README.html for details",
        f'To disable backwards compatibility use "postconf compatibility_level={LAST_LEVEL}" and "postfix reload"',
    ]


_NEW_NAMES: tuple[tuple[str, str], ...] = (
    ("smtpd_use_tls", "smtpd_tls_security_level"),
    ("smtpd_enforce_tls", "smtpd_tls_security_level"),
    ("smtp_use_tls", "smtp_tls_security_level"),
    ("smtp_enforce_tls", "smtp_tls_security_level"),
    ("lmtp_use_tls", "lmtp_tls_security_level"),
    ("lmtp_enforce_tls", "lmtp_tls_security_level"),
    ("smtp_tls_per_site", "smtp_tls_policy_maps"),
    ("lmtp_tls_per_site", "lmtp_tls_policy_maps"),
    ("virtual_maps", "virtual_alias_maps"),
    ("fallback_relay", "smtp_fallback_relay"),
    ("authorized_verp_clients", "smtpd_authorized_verp_clients"),
    ("postscreen_blacklist_action", "postscreen_denylist_action"),
    ("postscreen_dnsbl_whitelist_threshold", "postscreen_dnsbl_allowlist_threshold"),
    ("postscreen_whitelist_interfaces", "postscreen_allowlist_interfaces"),
)
"""Former name -> the name that took its place and wins where both are set."""


def overlaps(conf: Values) -> list[str]:
    """A remark for each former name that is set beside the name that took its place."""
    return [
        f"{conf.origin(old)}: parameter {old} is overruled by {new} ({conf.origin(new)}); remove {old}"
        for old, new in _NEW_NAMES
        if conf.is_set(old) and conf.is_set(new) and conf.raw_value(old)
    ]
