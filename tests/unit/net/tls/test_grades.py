"""What main.cf says about protocols, ciphers and options."""

from __future__ import annotations

import pytest

from estafeta.net.tls import grades
from estafeta.net.tls.grades import OUT, BadSetting, cipher_list, options, protocols


def test_lowest_and_highest() -> None:
    assert protocols([">=TLSv1.2"]) == (0x0303, 0, 0)
    assert protocols([">=TLSv1", "<=TLSv1.2"]) == (0x0301, 0x0303, 0)
    assert protocols([">=0x0302"]) == (0x0302, 0, 0)
    assert protocols([">=0"]) == (0, 0, 0)


def test_names_leave_the_others_out() -> None:
    assert protocols(["TLSv1.2", "tlsv1.3"]) == (0, 0, OUT[0x0300] | OUT[0x0301] | OUT[0x0302])


def test_exclusions_as_in_old_configurations() -> None:
    assert protocols(["!SSLv2", "!SSLv3:!TLSv1"]) == (0, 0, OUT[0x0300] | OUT[0x0301])
    assert protocols([]) == (0, 0, 0)


def test_an_unknown_protocol_is_told_with_the_list() -> None:
    with pytest.raises(BadSetting, match=r'Invalid TLS protocol list "TLSv1\.2, TLSv9"'):
        protocols(["TLSv1.2", "TLSv9"])


def test_exclusions_come_behind_the_grade() -> None:
    assert cipher_list({"medium": "HIGH:MEDIUM"}, "Medium", ["aNULL", "RC4"]) == "HIGH:MEDIUM:!aNULL:!RC4"


def test_grades_of_the_past_mean_medium() -> None:
    assert cipher_list({"medium": "M"}, "export", []) == "M"
    with pytest.raises(BadSetting, match="invalid TLS cipher grade"):
        cipher_list({"medium": "M"}, "strange", [])


def test_an_exclusion_is_no_expression() -> None:
    with pytest.raises(BadSetting, match="invalid unary operators"):
        cipher_list({"medium": "M"}, "medium", ["-ALL"])


def test_options_by_name_and_number(said: list[str]) -> None:
    assert options(["no_ticket", "0x10"], grades.ENABLE, "tls_ssl_options") == grades.NO_TICKET | 0x10
    assert not said
    assert options(["nonsense", "NO_TICKET"], grades.ENABLE, "tls_ssl_options") == grades.NO_TICKET
    assert len(said) == 1 and 'unknown tls_ssl_options value "nonsense" in "nonsense NO_TICKET"' in said[0]


def test_sslv2_alone_changes_nothing() -> None:
    assert protocols(["SSLv2"]) == protocols(["!SSLv2"]) == protocols([">="]) == (0, 0, 0)
