"""Domain names in ASCII form, by both sets of rules."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from estafeta.mail import domain
from estafeta.mail.address import valid_hostname
from estafeta.net.dns_names import check_name


@pytest.fixture
def idna2003() -> Iterator[None]:
    domain.use_idna2003(True)
    yield
    domain.use_idna2003(False)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("plain.Example", "plain.Example"),
        ("correo.España.example", "correo.xn--espaa-rta.example"),
        ("faß.example", "xn--fa-hia.example"),
        ("ΒΌΛΟΣ.example", "xn--nxasmq6b.example"),
        ("βόλος.example", "xn--nxasmm1c.example"),
        ("例え。example", "xn--r8jz45g.example"),
        ("☃.example", "xn--n3h.example"),
        ("a..ñ.example", None),
        ("-ñ.example", None),
        ("ñ" * 70 + ".example", None),
        ("ñ\u2260\ud800.example", None),
    ],
)
def test_ascii_form(name: str, expected: str | None) -> None:
    assert domain.to_ascii(name) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("faß.example", "fass.example"),
        ("GROẞ.example", "gross.example"),
        ("βόλος.example", "xn--nxasmq6b.example"),
        ("a\u200db.example", "ab.example"),
        ("españa.example", "xn--espaa-rta.example"),
    ],
)
@pytest.mark.usefixtures("idna2003")
def test_enable_idna2003_compatibility(name: str, expected: str) -> None:
    assert domain.to_ascii(name) == expected
    assert check_name(name) == expected
    assert valid_hostname(name)
