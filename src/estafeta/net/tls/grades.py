"""What main.cf says about protocols, ciphers and options, in OpenSSL's terms. postconf(5): smtpd_tls_protocols,
smtpd_tls_ciphers, smtpd_tls_exclude_ciphers, tls_ssl_options, tls_disable_workarounds."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from estafeta.base import log

SSL3 = 0x0300
VERSIONS = {"sslv2": 0x0002, "sslv3": SSL3, "tlsv1": 0x0301, "tlsv1.1": 0x0302, "tlsv1.2": 0x0303, "tlsv1.3": 0x0304}
KNOWN = "known: SSLv3, TLSv1, TLSv1.1, TLSv1.2, TLSv1.3"
OUT = {SSL3: 1 << 25, 0x0301: 1 << 26, 0x0302: 1 << 28, 0x0303: 1 << 27, 0x0304: 1 << 29}
"""Protocol -> the option that leaves it out."""

CIPHER_SERVER_PREFERENCE = 1 << 22
NO_TICKET = 1 << 14
NO_RENEGOTIATION = 1 << 30
NO_SSL3 = 1 << 25

ENABLE = {
    "ENABLE_MIDDLEBOX_COMPAT": 1 << 20,
    "LEGACY_SERVER_CONNECT": 1 << 2,
    "NO_TICKET": NO_TICKET,
    "NO_COMPRESSION": 1 << 17,
    "NO_RENEGOTIATION": NO_RENEGOTIATION,
    "NO_SESSION_RESUMPTION_ON_RENEGOTIATION": 1 << 16,
    "PRIORITIZE_CHACHA": 1 << 21,
    "NO_ENCRYPT_THEN_MAC": 1 << 19,
}
WORKAROUNDS = {
    "CRYPTOPRO_TLSEXT_BUG": 1 << 31,
    "DONT_INSERT_EMPTY_FRAGMENTS": 1 << 11,
    "LEGACY_SERVER_CONNECT": 1 << 2,
    "TLSEXT_PADDING": 1 << 4,
    "SAFARI_ECDHE_ECDSA_BUG": 1 << 6,
    # Of libraries long gone: known, so that old configurations work, and without a bit.
    "MICROSOFT_BIG_SSLV3_BUFFER": 0,
    "MICROSOFT_SESS_ID_BUG": 0,
    "MSIE_SSLV2_RSA_PADDING": 0,
    "CVE-2005-2969": 0,
    "NETSCAPE_CHALLENGE_BUG": 0,
    "NETSCAPE_REUSE_CIPHER_CHANGE_BUG": 0,
    "CVE-2010-4180": 0,
    "SSLEAY_080_CLIENT_DH_BUG": 0,
    "SSLREF2_REUSE_CERT_TYPE_BUG": 0,
    "TLS_BLOCK_PADDING_BUG": 0,
    "TLS_D5_BUG": 0,
    "TLS_ROLLBACK_BUG": 1 << 23,
}
ALL_WORKAROUNDS = 1 << 31 | 1 << 11 | 1 << 4 | 1 << 6
"""SSL_OP_ALL"""


class BadSetting(ValueError):
    """A value that means nothing to TLS. `remedy`: what may be written instead, and where."""

    def __init__(self, text: str, remedy: str) -> None:
        super().__init__(text)
        self.remedy = remedy


def protocols(words: Iterable[str]) -> tuple[int, int, int]:
    """`>=TLSv1.2`, `!SSLv3`, `TLSv1.3` -> lowest version, highest (0: any), options that leave versions out.

    Raises BadSetting.
    """
    given = list(words)
    try:
        return _protocols(given)
    except BadSetting:
        remedy = "write protocols such as >=TLSv1.2 or !TLSv1 (*_tls_protocols, *_tls_mandatory_protocols); " + KNOWN
        raise BadSetting(f'Invalid TLS protocol list "{", ".join(given)}"', remedy) from None


def _protocols(words: list[str]) -> tuple[int, int, int]:
    low = high = 0
    wanted: set[int] = set()
    unwanted: set[int] = set()
    for word in ":".join(words).split(":"):
        mark, name = re.fullmatch(r"(>=|<=|!|)(.*)", word.strip(), re.DOTALL).groups()  # type: ignore[union-attr]
        if not name and mark != "!":
            continue
        version = _version(name, numbers=mark in (">=", "<="))
        if mark == ">=":
            low = version
        elif mark == "<=":
            high = version
        elif version in OUT:  # SSLv2 does not exist any more: neither wanting nor refusing it changes anything
            (unwanted if mark == "!" else wanted).add(version)
    if wanted:
        unwanted |= set(OUT) - wanted
    return low, high, sum(OUT[version] for version in unwanted)


def _version(name: str, *, numbers: bool) -> int:
    if numbers and re.fullmatch(r"0x[0-9a-fA-F]{1,4}|[1-9]\d{0,5}", name):
        return int(name, 0)
    if numbers and name == "0":
        return 0
    try:
        return VERSIONS[name.lower()]
    except KeyError:
        raise BadSetting(f'unknown TLS protocol "{name}"', KNOWN) from None


def cipher_list(grades: dict[str, str], grade: str, exclusions: Iterable[str]) -> str:
    """The list of a grade, less the exclusions. `grades`: grade -> OpenSSL's notation. Raises BadSetting."""
    grade = grade.lower()
    # Grades that no library has ciphers for any more: what is asked for is at least this.
    grade = "medium" if grade in ("low", "export") else grade
    if grade not in grades:
        remedy = f"write one of {', '.join(grades)} (*_tls_ciphers, *_tls_mandatory_ciphers)"
        raise BadSetting(f'invalid TLS cipher grade: "{grade}"', remedy)
    parts = [grades[grade]]
    for word in exclusions:
        if set(word) & set(":!+-@"):
            remedy = "write names alone (*_tls_exclude_ciphers, *_tls_mandatory_exclude_ciphers)"
            raise BadSetting(f'invalid unary operators in cipher exclusion: "{word}"', remedy)
        parts.append(f"!{word}")
    return ":".join(parts)


def options(words: Sequence[str], known: dict[str, int], what: str) -> int:
    """Names and numbers in hexadecimal -> bits. What is neither is left out, with a warning that names `what`."""
    bits = 0
    for word in words:
        if re.fullmatch(r"0[xX][0-9a-fA-F]{1,16}", word):
            bits |= int(word, 16)
        elif word.upper() in known:
            bits |= known[word.upper()]
        else:
            log.warning(f'unknown {what} value "{word}" in "{" ".join(words)}": write some of {", ".join(known)}')
    return bits
