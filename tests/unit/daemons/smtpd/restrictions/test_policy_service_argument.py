"""The argument of check_policy_service."""

import pytest

from estafeta.config.instance import Config
from estafeta.config.main_cf import parse_settings
from estafeta.daemons.smtpd.restrictions.policy_service import parse_service
from estafeta.net.policy_client import PolicyService


def parse(argument: str, **settings: str) -> PolicyService:
    text = "".join(f"{name} = {value}\n" for name, value in settings.items())
    return parse_service(argument, Config.build(parse_settings(text, "/x")))


def test_a_plain_server_has_the_settings_of_main_cf() -> None:
    service = parse("inet:127.0.0.1:10040", smtpd_policy_service_timeout="7s", smtpd_policy_service_try_limit="3")
    assert (service.host, service.port, service.timeout, service.try_limit) == ("127.0.0.1", 10040, 7, 3)
    assert service.default_action == "451 4.3.5 Server configuration problem"


def test_settings_in_braces_are_of_this_server_alone() -> None:
    service = parse("{ unix:private/p, timeout=2m try_limit=1, { default_action = 450 4.7.1 later, please } }")
    assert (service.path, service.timeout, service.try_limit) == ("private/p", 120, 1)
    assert service.default_action == "450 4.7.1 later, please"


def test_a_name_may_stand_for_a_port() -> None:
    assert parse("inet:[::1]:smtp").port == 25


@pytest.mark.parametrize(
    "argument",
    [
        "10.0.0.1:25",
        "inet:host",
        "unix:",
        "inet:host:no-such-service",
        "{inet:h:1, nonsense=1}",
        "{inet:h:1, timeout=0}",
        "{inet:h:1, try_limit=x}",
        "{inet:h:1, timeout}",
    ],
)
def test_mistakes_are_named(argument: str) -> None:
    with pytest.raises(ValueError):
        parse(argument)
