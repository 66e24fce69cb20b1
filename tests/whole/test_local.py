"""Local delivery through the whole system: aliases, new messages, a system mailbox, another transport.

The user is whoever runs the test; as root it is an account without rights, so that acting for a user is tested.
"""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterable
from pathlib import Path

from tests.support.site import Site

USER = pwd.getpwuid(os.geteuid()) if os.geteuid() else pwd.getpwnam("nobody")


def site_of(tmp_path: Path, services: Iterable[str] = (), **main: str) -> Site:
    site = Site(
        tmp_path,
        services=services,
        main={
            "mydestination": "host.example",
            "myorigin": "host.example",
            "local_recipient_maps": "",
            "deliver_lock_delay": "1s",
            "home_mailbox": "",
        }
        | main,
    )
    spool = site.folder / "spool"
    spool.mkdir()
    if site.root:
        os.chown(spool, 0, 8)
        spool.chmod(0o2775)
    (site.folder / "members").write_text(f"{USER.pw_name}\nann@example.test\n")
    (site.folder / "aliases").write_text(
        f"sales: {USER.pw_name}, ann@example.test\nlist: :include:{site.folder}/members\nowner-list: {USER.pw_name}\n"
    )
    with (site.config / "main.cf").open("a") as file:
        file.write(f"mail_spool_directory = {spool}\nalias_maps = texthash:{site.folder}/aliases\n")
    return site


def mailbox(site: Site) -> str:
    return (site.folder / "spool" / USER.pw_name).read_text()


def test_a_system_mailbox(tmp_path: Path) -> None:
    with site_of(tmp_path) as site:
        site.submit(f"{USER.pw_name}@host.example")
        site.wait_for(rf"local\[\d+\]: \w+: to=<{USER.pw_name}@host.example>, relay=local, .*\(delivered to mailbox\)")
        text = mailbox(site)
        assert text.startswith("From bob@example.com  ")
        assert f"Delivered-To: {USER.pw_name}@host.example\n" in text
        status = (site.folder / "spool" / USER.pw_name).stat()
        assert (status.st_uid, status.st_mode & 0o777) == (USER.pw_uid, 0o600)
        # From nobody, so that no report goes out, for which the world's name servers would be asked.
        site.submit("nobody-of-that-name@host.example", sender="")
        site.wait_for(r'dsn=5.1.1, status=bounced \(unknown user: "nobody-of-that-name"\)')


def test_an_alias_delivers_here_and_forwards_elsewhere(tmp_path: Path) -> None:
    with site_of(tmp_path) as site:
        queue_id = site.submit("sales@host.example")
        new = site.wait_for(rf"{queue_id}: to=<sales@host.example>, .*\(forwarded as (\w+)\)")[1]
        site.wait_for(
            rf"{queue_id}: to=<{USER.pw_name}@host.example>, orig_to=<sales@host.example>, relay=local, .*sent"
        )
        (mail,) = site.wait_for_mail("ann@example.test")
        head = mail.decode().split("\n\n")[0]
        assert f"Delivered-To: ann@example.test\nReceived: by mail.example.test (Estafeta)\n\tid {new}; " in head
        assert "\nDelivered-To: sales@host.example\nReceived: from client.example " in head
        assert head.startswith("Return-Path: <bob@example.com>\nX-Original-To: sales@host.example\n")


def test_a_list_with_an_owner_goes_out_in_the_owners_name(tmp_path: Path) -> None:
    with site_of(tmp_path) as site:
        site.submit("list@host.example")
        (mail,) = site.wait_for_mail("ann@example.test")
        assert mail.startswith(b"Return-Path: <owner-list@host.example>\nX-Original-To: ann@example.test\n")
        site.wait_for(rf"to=<{USER.pw_name}@host.example>, relay=local, .*status=sent \(delivered to mailbox\)")


def test_mailbox_transport_takes_all_users(tmp_path: Path) -> None:
    with site_of(tmp_path, mailbox_transport="discard:away") as site:
        queue_id = site.submit("ann@host.example")
        site.wait_for(rf"local\[\d+\]: {queue_id}: passing <ann@host.example> to transport=discard$")
        site.wait_for(rf"discard\[\d+\]: {queue_id}: to=<ann@host.example>, .*status=sent \(away\)")
        site.wait_for(rf"{queue_id}: removed")


def test_mail_is_passed_to_a_transport_whose_only_process_serves_qmgr(tmp_path: Path) -> None:
    with site_of(
        tmp_path,
        services=["discard unix - - n - 1 discard"],
        mailbox_transport="discard:away",
        transport_maps="inline:{example.test=discard:away}",
    ) as site:
        queue_id = site.submit("ann@example.test")
        site.wait_for(rf"{queue_id}: removed")
        for _ in range(2):
            queue_id = site.submit("ann@host.example")
            site.wait_for(rf"{queue_id}: passing <ann@host.example> to transport=discard$")
            site.wait_for(rf"{queue_id}: removed")


def test_a_transport_that_is_not_there_puts_the_mail_off(tmp_path: Path) -> None:
    with site_of(tmp_path, fallback_transport="nosuch:x") as site:
        queue_id = site.submit("ann@host.example")
        site.wait_for(
            rf"{queue_id}: to=<ann@host.example>, .*dsn=4.3.0, status=deferred \(mail transport unavailable\)"
        )
