"""Which settings count where postscreen speaks TLS in smtpd's place: smtpd's, in which postscreen_tls_* and
tlsproxy_tls_* take their places.

postscreen makes its context of them, and master knows by them which keys to keep for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from estafeta.config.instance import Config
from estafeta.net.tls import server

FOLLOWING = {
    "smtpd_starttls_timeout": ("postscreen_starttls_timeout",),
    "smtpd_tls_CAfile": ("postscreen_tls_CAfile", "tlsproxy_tls_CAfile"),
    "smtpd_tls_CApath": ("postscreen_tls_CApath", "tlsproxy_tls_CApath"),
    "smtpd_tls_always_issue_session_ids": (
        "postscreen_tls_always_issue_session_ids",
        "tlsproxy_tls_always_issue_session_ids",
    ),
    "smtpd_tls_ask_ccert": ("postscreen_tls_ask_ccert", "tlsproxy_tls_ask_ccert"),
    "smtpd_tls_ccert_verifydepth": ("postscreen_tls_ccert_verifydepth", "tlsproxy_tls_ccert_verifydepth"),
    "smtpd_tls_cert_file": ("postscreen_tls_cert_file", "tlsproxy_tls_cert_file"),
    "smtpd_tls_chain_files": ("postscreen_tls_chain_files", "tlsproxy_tls_chain_files"),
    "smtpd_tls_ciphers": ("postscreen_tls_ciphers", "tlsproxy_tls_ciphers"),
    "smtpd_tls_dcert_file": ("postscreen_tls_dcert_file", "tlsproxy_tls_dcert_file"),
    "smtpd_tls_dh1024_param_file": ("postscreen_tls_dh1024_param_file", "tlsproxy_tls_dh1024_param_file"),
    "smtpd_tls_dkey_file": ("postscreen_tls_dkey_file", "tlsproxy_tls_dkey_file"),
    "smtpd_tls_eccert_file": ("postscreen_tls_eccert_file", "tlsproxy_tls_eccert_file"),
    "smtpd_tls_eckey_file": ("postscreen_tls_eckey_file", "tlsproxy_tls_eckey_file"),
    "smtpd_tls_dh512_param_file": ("postscreen_tls_dh512_param_file", "tlsproxy_tls_dh512_param_file"),
    "smtpd_tls_eecdh_grade": ("postscreen_tls_eecdh_grade", "tlsproxy_tls_eecdh_grade"),
    "smtpd_tls_enable_rpk": ("postscreen_tls_enable_rpk", "tlsproxy_tls_enable_rpk"),
    "smtpd_tls_exclude_ciphers": ("postscreen_tls_exclude_ciphers", "tlsproxy_tls_exclude_ciphers"),
    "smtpd_tls_fingerprint_digest": ("postscreen_tls_fingerprint_digest", "tlsproxy_tls_fingerprint_digest"),
    "smtpd_tls_key_file": ("postscreen_tls_key_file", "tlsproxy_tls_key_file"),
    "smtpd_tls_loglevel": ("postscreen_tls_loglevel", "tlsproxy_tls_loglevel"),
    "smtpd_tls_loglevel_maps": ("postscreen_tls_loglevel_maps",),
    "smtpd_tls_mandatory_ciphers": ("postscreen_tls_mandatory_ciphers", "tlsproxy_tls_mandatory_ciphers"),
    "smtpd_tls_mandatory_exclude_ciphers": (
        "postscreen_tls_mandatory_exclude_ciphers",
        "tlsproxy_tls_mandatory_exclude_ciphers",
    ),
    "smtpd_tls_mandatory_protocols": ("postscreen_tls_mandatory_protocols", "tlsproxy_tls_mandatory_protocols"),
    "smtpd_tls_protocols": ("postscreen_tls_protocols", "tlsproxy_tls_protocols"),
    "smtpd_tls_req_ccert": ("postscreen_tls_req_ccert", "tlsproxy_tls_req_ccert"),
    "smtpd_tls_trace_size_limit": ("postscreen_tls_trace_size_limit",),
}
"""smtpd's parameters, and those that follow them."""


def level(conf: Config) -> str:
    """none, may or encrypt."""
    found = conf.postscreen_tls_security_level
    if found:
        return "encrypt" if found in server.UNSUPPORTED_LEVELS else found
    return "encrypt" if conf.postscreen_enforce_tls else "may" if conf.postscreen_use_tls else "none"


def as_smtpd(conf: Config, overrides: Mapping[str, str]) -> Config:
    """The configuration as if postscreen's TLS settings were smtpd's. `overrides`: the -o settings of the entry."""
    changes = {"smtpd_tls_security_level": level(conf)}
    for name, following in FOLLOWING.items():
        own = _set_by(conf, following)
        if own is not None:
            changes[name] = conf.value(own)
    return Config.build(conf.settings, {**overrides, **changes}, service=conf.service)


def origin(conf: Config, names: Sequence[str]) -> str:
    """As `server.origin`, of postscreen's own parameters where they take the places of smtpd's."""
    return server.origin(conf, [_set_by(conf, FOLLOWING.get(name, ())) or name for name in names])


def _set_by(conf: Config, following: Sequence[str]) -> str | None:
    """The first of these parameters that is set."""
    return next((each for each in following if conf.is_set(each)), None)
