"""Domain names in the form that DNS knows: `correo.españa.example` -> `correo.xn--espaa-rta.example`. RFC 5890, UTS 46.

Every conversion of the mail system goes through here: what is looked up in DNS, what is checked for being a host name,
what main.cf asks for. Which rules hold for a handful of letters (`ß`, the final sigma, joiners) is one setting of the
whole process, as it decides which domain a name means.
"""

from __future__ import annotations

import unicodedata

MOST_LABEL = 63

_TRANSITIONAL = {ord("ß"): "ss", ord("ẞ"): "ss", ord("ς"): "σ", 0x200C: None, 0x200D: None}
"""The letters that IDNA2003 replaced, or left out: UTS 46 section 4, "deviation characters"."""

_transitional = False


def use_idna2003(wanted: bool) -> None:
    """enable_idna2003_compatibility, once at the start of a process."""
    global _transitional
    _transitional = wanted


class DomainError(ValueError):
    """The text has no ASCII form; says why."""


def a_labels(domain: str) -> str:
    """The domain in lower case with its non-ASCII labels in `xn--` form. Raises DomainError.

    As in Postfix (ICU's UTS 46 without the stricter rules), symbols that IDNA 2008 leaves out are let through: whether
    such a domain exists is for DNS to say.
    """
    import idna  # takes a while to load, and few ever need it

    if _transitional:
        domain = domain.translate(_TRANSITIONAL)
    try:
        mapped = idna.uts46_remap(domain, std3_rules=False)
    except (idna.IDNAError, UnicodeError) as error:
        raise DomainError(str(error)) from None
    return ".".join(map(_a_label, mapped.split(".")))


def _a_label(label: str) -> str:
    if label.isascii():
        return label
    if label.startswith("-") or label.endswith("-") or label[2:4] == "--":
        raise DomainError("misplaced hyphen")
    if unicodedata.category(label[0]).startswith("M"):
        raise DomainError("label begins with a combining mark")
    ascii_form = "xn--" + label.encode("punycode").decode("ascii")
    if len(ascii_form) > MOST_LABEL:
        raise DomainError("label too long")
    return ascii_form


def to_ascii(domain: str) -> str | None:
    """As `a_labels`; None for what has no such form. An ASCII domain is returned as it is."""
    if domain.isascii():
        return domain
    try:
        encoded = a_labels(domain)
    except DomainError:
        return None
    return encoded if all(encoded.removesuffix(".").split(".")) else None
