"""Which class of notify_classes a refusal belongs to."""

import pytest

from estafeta.daemons.smtpd.notice import trouble_of, trouble_of_reply
from estafeta.daemons.smtpd.restrictions.evaluate import SERVER_ERROR, Refusal
from estafeta.services.postmaster import BOUNCE, DATA, POLICY, PROTOCOL, RESOURCE, SOFTWARE


@pytest.mark.parametrize(
    "refusal, trouble",
    [
        (Refusal(554, "5.7.1", "<a@b>: Relay access denied"), POLICY),
        (Refusal(450, "4.7.25", "Client host rejected: cannot find your hostname, [127.0.0.9]"), POLICY),
        (Refusal(550, "5.1.1", "<a@b>: Recipient address rejected: User unknown in local recipient table"), BOUNCE),
        (Refusal(450, "5.1.1", "<a@b>: Recipient address rejected: User unknown in local recipient table"), BOUNCE),
        (Refusal(451, "4.3.0", "<a@b>: Temporary lookup failure"), DATA),
        (Refusal(451, "4.3.5", "<a@b>: Sender address rejected: Server configuration error"), POLICY),
        (SERVER_ERROR, SOFTWARE),
        (Refusal(452, "4.3.1", "Insufficient system storage"), RESOURCE),
        (Refusal(552, "5.3.4", "Message size exceeds fixed limit"), POLICY),
    ],
)
def test_refusals(refusal: Refusal, trouble: int) -> None:
    assert trouble_of(refusal) == trouble


@pytest.mark.parametrize(
    "reply, trouble",
    [
        (b"500 5.5.2 Error: command not recognized\r\n", PROTOCOL),
        (b"501 Syntax: HELO hostname\r\n", PROTOCOL),
        (b"501 5.1.7 Bad sender address syntax\r\n", PROTOCOL),
        (b"451 4.3.0 Error: queue file write error\r\n", RESOURCE),
        (b"452 4.5.3 Error: too many recipients\r\n", POLICY),
        (b"550 5.7.1 message content rejected\r\n", POLICY),
        (b"554 5.4.0 Error: too many hops\r\n", BOUNCE),
    ],
)
def test_replies(reply: bytes, trouble: int) -> None:
    assert trouble_of_reply(reply) == trouble
