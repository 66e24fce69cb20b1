"""local_login_sender_maps: which patterns let a sender through."""

from __future__ import annotations

import os
import pwd

import pytest

from estafeta.commands.login_senders import allowed, refused_sender
from estafeta.config.instance import Config


@pytest.mark.parametrize(
    ("sender", "patterns", "may"),
    [
        ("any@x.test", "*", True),
        ("", "*", True),
        ("", "<>", True),
        ("", "ann", False),
        ("ann+e@x.test", "Ann@X.test", True),
        ("ann@x.test", "@x.test", True),
        ("ann@sub.x.test", "@x.test", False),
        ("ann", "ann", True),
        ("ann@x.test", "ann", False),
        ("ann@x.test", "", False),
    ],
)
def test_patterns(sender: str, patterns: str, may: bool) -> None:
    assert allowed(sender, patterns.split(), "+", "<>") is may


def test_the_caller() -> None:
    name = pwd.getpwuid(os.getuid()).pw_name
    conf = Config.for_test(local_login_sender_maps=f"inline:{{{{{name}=me@x.test, @y.test}}}}")
    assert refused_sender(conf, "me@x.test") == ""
    assert refused_sender(conf, "other@x.test") == f"{name}({os.getuid()}): not authorized to use sender='other@x.test'"
    assert refused_sender(Config.for_test(), "anybody@x.test") == ""
    assert "cannot tell" in refused_sender(Config.for_test(local_login_sender_maps="fail:x"), "a@b")
