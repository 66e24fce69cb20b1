"""Keys on the way to the processes that need them: read before root is given up, shared tickets, replaced in use."""

from __future__ import annotations

import os
import ssl
from pathlib import Path

from tests.support.certificates import Pair, make_certificates, make_pair
from tests.support.site import Site


class Clients:
    """Clients that come again and again; the first one's session is kept."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._context = ssl.create_default_context()
        self._context.check_hostname = False
        self._context.verify_mode = ssl.CERT_NONE
        self._context.maximum_version = ssl.TLSVersion.TLSv1_2  # the session is known when the handshake is over
        self.session: ssl.SSLSession | None = None

    def visit(self) -> tuple[bytes, bool]:
        """The certificate that was shown, in DER form, and whether the session was resumed."""
        import smtplib

        with smtplib.SMTP("127.0.0.1", self._port, timeout=20) as client:
            client.docmd("EHLO client.test")
            code, text = client.docmd("STARTTLS")
            assert code == 220, text
            assert client.sock is not None
            with self._context.wrap_socket(client.sock, session=self.session) as link:
                self.session = self.session or link.session
                shown = link.getpeercert(binary_form=True)
                assert shown is not None
                link.sendall(b"QUIT\r\n")
                assert link.recv(100).startswith(b"221")
                client.sock, client.file = None, None
                return shown, bool(link.session_reused)

    def certificate(self) -> bytes:
        """What a client without a session sees."""
        self.session = None
        return self.visit()[0]


def put(file: Path, pair: Pair) -> None:
    """Replace the chain file, as certbot and others do it."""
    fresh = file.with_suffix(".new")
    fresh.write_bytes(pair.key_pem + pair.pem)
    fresh.chmod(0o600)
    os.replace(fresh, file)


def test_tickets_and_new_certificates(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    pairs = make_certificates(keys)
    chain = keys / "server.pem"
    put(chain, pairs["ec"])
    main = {"smtpd_tls_security_level": "may", "smtpd_tls_chain_files": str(chain), "estafeta_worker_processes": "2"}
    chroot = "y" if os.geteuid() == 0 else "n"
    with Site(tmp_path, main=main, services=["127.0.0.1:{port} inet n - " + chroot + " - - smtpd"]) as site:
        clients = Clients(site.port)
        first, reused = clients.visit()
        assert not reused
        # Whichever process gets them, and whoever is new among these: all open the same tickets.
        assert all(clients.visit()[1] for _ in range(8))
        site.kill("smtpd")
        assert all(clients.visit()[1] for _ in range(4))

        chain.write_text("half a file")
        site.wait_for("the certificates that were read before stay in use")
        site.kill("smtpd")
        assert clients.certificate() == first

        put(chain, make_pair("mail.example.test", pairs["ca"]))
        site.wait_for("certificates have changed: new processes take the new ones")
        site.wait_until(lambda: clients.certificate() != first)
