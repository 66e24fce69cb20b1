"""Accounts that are missing or may not serve are errors that say what to do."""

from __future__ import annotations

import pytest

from estafeta.config.main_cf import ConfigError
from estafeta.skeleton import privileges


def test_a_missing_owner_is_an_error_with_a_remedy() -> None:
    with pytest.raises(ConfigError, match=r"mail_owner: unknown user 'no-such-user': make it, as in 'useradd --system"):
        privileges.mail_owner("no-such-user")


def test_a_missing_group_is_an_error_with_a_remedy() -> None:
    with pytest.raises(ConfigError, match=r"unknown group 'no-such-group': make it, as in 'groupadd --system no-such"):
        privileges.setgid_group("no-such-group")


def test_root_may_not_own_the_mail() -> None:
    with pytest.raises(ConfigError, match="privileged"):
        privileges.mail_owner("root")
    with pytest.raises(ConfigError, match="privileged"):
        privileges.setgid_group("root")
