"""What the TLS handshake told: the session's strength, and who the other side says it is.

`Stream.tls` is None until a handshake is complete. Restrictions, policy requests, Received headers and SASL read it.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TlsPeer:
    """One finished handshake."""

    protocol: str
    """`TLSv1.3`"""
    cipher: str
    """`TLS_AES_256_GCM_SHA384`"""
    bits: int
    """Of the key in use."""
    algorithm_bits: int
    """Of the key that the algorithm is made for."""
    details: str = ""
    """` key-exchange X25519 server-signature RSA-PSS (2048 bits) server-digest SHA256`, as log and Received show it;
    may be empty."""
    certificate: bool = False
    """Whether the peer showed a certificate."""
    trusted: bool = False
    """Whether its certificate is good, by our trust anchors."""
    subject: str = ""
    """Common name of its certificate, as text."""
    issuer: str = ""
    """Common name of the issuer, as text."""
    certificate_fingerprint: str = ""
    """`AA:BB:...` of the whole certificate, by smtpd_tls_fingerprint_digest."""
    public_key_fingerprint: str = ""
    """The same of its public key."""
    reused: bool = False
    """An earlier session was resumed."""
    server_name: str = ""
    """The name that the client asked for (SNI), if tls_server_sni_maps has a certificate for it."""
    asked_name: str = ""
    """The same, whether or not there is a certificate for it."""
    channel_binding: bytes = b""
    """tls-exporter (RFC 9266) or tls-unique data, for SCRAM-*-PLUS; may be empty."""
    subject_line: str = ""
    issuer_line: str = ""
    """Whole names, as `/CN=...`."""
    problem: int = 0
    """Why its certificate is not trusted, by X509_get_verify_result's numbers; 0 if it is."""
