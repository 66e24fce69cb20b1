"""A family of names: one declaration, one parameter for each prefix."""

from __future__ import annotations

from typing import ClassVar

from estafeta.config.kinds import flag, seconds, text
from estafeta.config.params.group import Group, declarations, members


class Base(Group):
    key_file = text("$<prefix>cert_file", "The key that belongs to the certificate.")


class Pair(Base):
    prefixes: ClassVar[tuple[str, ...]] = ("smtp_", "lmtp_")
    renamed: ClassVar[dict[str, str]] = {"lmtp_helo_timeout": "lmtp_lhlo_timeout"}
    defaults: ClassVar[dict[str, str]] = {"lmtp_lhlo_timeout": "10s"}
    only: ClassVar[dict[str, str]] = {"always_send_ehlo": "smtp_"}

    helo_timeout = seconds("300s", "How long to wait for the answer to HELO.")
    always_send_ehlo = flag("yes", "Whether to try EHLO in any case.")


def test_declarations_of_base_classes_come_first() -> None:
    assert [name for name, _ in declarations(Pair)] == ["key_file", "helo_timeout", "always_send_ehlo"]


def test_the_prefix_is_put_into_names_and_defaults() -> None:
    found = {member.attribute: member for member in members(Pair, "smtp_")}
    assert found["key_file"].name == "smtp_key_file"
    assert found["key_file"].parameter.default == "$smtp_cert_file"


def test_a_renamed_member_keeps_its_attribute_and_gets_its_own_default() -> None:
    found = {member.attribute: member for member in members(Pair, "lmtp_")}
    assert found["helo_timeout"].name == "lmtp_lhlo_timeout"
    assert found["helo_timeout"].parameter.default == "10s"


def test_a_member_that_the_prefix_does_not_have_is_no_parameter_but_has_a_value() -> None:
    found = {member.attribute: member for member in members(Pair, "lmtp_")}
    assert found["always_send_ehlo"].name == ""
    assert found["always_send_ehlo"].parameter.parse(found["always_send_ehlo"].parameter.default) is True
