"""The master.cf of Debian's Postfix 3.7, and one printed in 2003, start and carry mail."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from tests.support.site import Site

DEBIAN = """
127.0.0.1:{port} inet n - y - - smtpd
pickup    unix  n       -       y       60      1       pickup
cleanup   unix  n       -       y       -       0       cleanup
qmgr      unix  n       -       n       300     1       qmgr
tlsmgr    unix  -       -       y       1000?   1       tlsmgr
rewrite   unix  -       -       y       -       -       trivial-rewrite
bounce    unix  -       -       y       -       0       bounce
defer     unix  -       -       y       -       0       bounce
trace     unix  -       -       y       -       0       bounce
verify    unix  -       -       y       -       1       verify
flush     unix  n       -       y       1000?   0       flush
proxymap  unix  -       -       n       -       -       proxymap
proxywrite unix -       -       n       -       1       proxymap
smtp      unix  -       -       y       -       -       smtp
relay     unix  -       -       y       -       -       smtp
        -o syslog_name=postfix/$service_name
showq     unix  n       -       y       -       -       showq
error     unix  -       -       y       -       -       error
retry     unix  -       -       y       -       -       error
discard   unix  -       -       y       -       -       discard
local     unix  -       n       n       -       -       local
virtual   unix  -       n       n       -       -       virtual
lmtp      unix  -       -       y       -       -       lmtp
anvil     unix  -       -       y       -       1       anvil
scache    unix  -       -       y       -       1       scache
postlog   unix-dgram n  -       n       -       1       postlogd
maildrop  unix  -       n       n       -       -       pipe
  flags=DRXhu user=vmail argv=/usr/bin/maildrop -d ${recipient}
scalemail-backend unix -       n       n       -       2       pipe
  flags=R user=scalemail argv=/usr/lib/scalemail/bin/scalemail-store ${nexthop} ${user} ${extension}
"""

OF_2003 = """
# service type  private unpriv  chroot  wakeup  maxproc command + args
#               (yes)   (yes)   (yes)   (never) (50)
127.0.0.1:{port} inet n -       n       -       -       smtpd
pickup    fifo  n       -       n       60      1       pickup
cleanup   unix  n       -       n       -       0       cleanup
#qmgr     fifo  n       -       n       300     1       qmgr
qmgr      fifo  n       -       n       300     1       nqmgr
tlsmgr    fifo  -       -       n       300     1       tlsmgr
rewrite   unix  -       -       n       -       -       trivial-rewrite
bounce    unix  -       -       n       -       0       bounce
defer     unix  -       -       n       -       0       bounce
flush     unix  n       -       n       1000?   0       flush
smtp      unix  -       -       n       -       -       smtp
relay     unix  -       -       n       -       -       smtp
showq     unix  n       -       n       -       -       showq
error     unix  -       -       n       -       -       error
local     unix  -       n       n       -       -       local
virtual   unix  -       n       n       -       -       virtual
lmtp      unix  -       -       n       -       -       lmtp
cyrus     unix  -       n       n       -       -       pipe
  flags=R user=cyrus argv=/cyrus/bin/deliver -e -m ${extension} ${user}
uucp      unix  -       n       n       -       -       pipe
  flags=Fqhu user=uucp argv=uux -r -n -z -a$sender - $nexthop!rmail ($recipient)
"""


@pytest.mark.parametrize("master", [DEBIAN, OF_2003], ids=["debian", "2003"])
def test_a_master_cf_from_elsewhere_carries_mail(tmp_path: Path, master: str) -> None:
    with Site(tmp_path, master=master) as site:
        site.submit("ann@example.test")
        assert len(site.wait_for_mail("ann@example.test")) == 1
        site.wait_for(r"pipe \(delivery to commands\) is not available yet")
        assert site.log.count("pipe (delivery to commands)") == 1
        assert "panic:" not in site.log and "fatal:" not in site.log


REAL_MASTER = Path("/usr/lib/postfix/sbin/master")


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0 or not REAL_MASTER.exists(), reason="needs root and Postfix")
def test_postfix_and_we_never_share_a_queue(tmp_path: Path) -> None:
    master = "rewrite unix - - n - - trivial-rewrite\npostlog unix-dgram n - n - 1 postlogd\n"
    with Site(tmp_path, {"mail_owner": "postfix"}, master) as site:
        theirs = [str(REAL_MASTER), "-d", "-c", str(site.config)]
        done = subprocess.run(theirs, capture_output=True, timeout=20, check=False)
        assert done.returncode != 0
        site.stop()
        with subprocess.Popen(theirs, start_new_session=True) as running:
            try:
                site.wait_for(rf"master\[{running.pid}\]: daemon started")
                with pytest.raises(AssertionError, match=rf"it is held by process {running.pid}"):
                    site.start()
                status = site.command("postfix", "status")
                assert status.returncode == 0
                assert site.command("postfix", "stop").returncode == 0
            finally:
                running.terminate()


def test_mail_for_an_agent_to_come_is_put_off_with_the_reason(tmp_path: Path) -> None:
    main = {"transport_maps": "inline:{ {example.test = uucp:host} }"}
    with Site(tmp_path, main, services=["uucp unix - n n - - pipe"]) as site:
        queue_id = site.submit("ann@example.test")
        site.wait_for(
            rf"postfix/pipe\[\d+\]: {queue_id}: to=<ann@example.test>, relay=\S+, .*dsn=4\.3\.0, status=deferred "
            r"\(mail transport unavailable: pipe \(delivery to commands\) is not available yet\)"
        )
        assert site.mail("ann@example.test") == []
