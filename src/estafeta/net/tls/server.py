"""What a server needs for TLS, made once when the configuration is read: `ServerTls.open(server_settings(conf))`.

smtpd and postscreen open it while they are still root, since private keys are root's, and then serve every client with
`await stream.start_tls(server)`. What the handshake told is in `stream.tls`. TLS_README, postconf(5).

Client certificates are asked for and never a reason to break off, unless a trusted one is demanded: an unknown one has
a fingerprint that a table may know.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from estafeta.base import log
from estafeta.config.instance import Config
from estafeta.mail.address import valid_hostname
from estafeta.net.tls import grades, identity, openssl, tickets
from estafeta.net.tls.identity import Identity, Read
from estafeta.net.tls.openssl import Library, TlsError, library

SESSIONS_KEPT = 2000
"""Sessions that one process remembers, for clients that know no tickets."""

_HASHED = re.compile(r"[0-9a-f]{8}\.\d+")
"""The name of a CA certificate in a folder of them."""

SUSPEND = -1
GO_ON = 1


@dataclass(slots=True)
class ServerSettings:
    """smtpd_tls_* and tls_*, as one server uses them."""

    prefix: str = "smtpd_tls"
    context: str = "smtpd"
    """Sessions of one service are not resumed at another one with a different context."""
    mandatory: bool = False
    """Whether clients must use TLS."""
    chain_files: Sequence[str] = ()
    certificates: Sequence[tuple[str, str, str]] = ()
    """(kind, certificate file, key file)"""
    ca_file: str = ""
    ca_path: str = ""
    default_ca: bool = False
    ask: bool = False
    depth: int = 9
    digest: str = "sha256"
    protocols: Sequence[str] = (">=TLSv1",)
    grade: str = "medium"
    exclude: Sequence[str] = ()
    grades: dict[str, str] = field(default_factory=dict)
    prefer_own: bool = False
    groups: Sequence[str] = ()
    dh_file: str = ""
    lifetime: int = 3600
    """Seconds that a session may be resumed."""
    ticket_cipher: str = "aes-256-cbc"
    keep_sessions: bool = False
    session_ids: bool = True
    without_workarounds: Sequence[str] = ()
    extra_options: Sequence[str] = ()
    sni_maps: Sequence[str] = ()
    config_file: str = "default"
    config_name: str = ""
    log_level: int = 0


def server_settings(conf: Config, *, service: str = "smtpd", quiet: bool = False) -> ServerSettings:
    """What main.cf says for smtpd, and for postscreen, which speaks TLS in smtpd's place."""
    mandatory = security_level(conf) == "encrypt" or conf.smtpd_tls_wrappermode
    if conf.smtpd_tls_req_ccert and not mandatory and not quiet:
        log.warning("Can't require client certs unless TLS is required")
    pairs = (
        ("RSA", conf.smtpd_tls_cert_file, conf.smtpd_tls_key_file),
        ("DSA", conf.smtpd_tls_dcert_file, conf.smtpd_tls_dkey_file),
        ("ECDSA", conf.smtpd_tls_eccert_file, conf.smtpd_tls_eckey_file),
    )
    ask = conf.smtpd_tls_ask_ccert or (conf.smtpd_tls_req_ccert and mandatory)
    exclude = [*conf.smtpd_tls_exclude_ciphers, *(conf.smtpd_tls_mandatory_exclude_ciphers if mandatory else ())]
    if ask and "aNULL" not in exclude:
        exclude.append("aNULL")  # a server that does not show who it is cannot ask for that
    return ServerSettings(
        context=service,
        mandatory=mandatory,
        chain_files=conf.smtpd_tls_chain_files,
        certificates=tuple(pair for pair in pairs if pair[1] and pair[1].lower() != "none"),
        ca_file=conf.smtpd_tls_CAfile,
        ca_path=conf.smtpd_tls_CApath,
        default_ca=conf.tls_append_default_CA,
        ask=ask,
        depth=conf.smtpd_tls_ccert_verifydepth,
        digest=conf.smtpd_tls_fingerprint_digest,
        protocols=conf.smtpd_tls_mandatory_protocols if mandatory else conf.smtpd_tls_protocols,
        grade=conf.smtpd_tls_mandatory_ciphers if mandatory else conf.smtpd_tls_ciphers,
        exclude=exclude,
        grades={
            "high": conf.tls_high_cipherlist,
            "medium": conf.tls_medium_cipherlist,
            "null": conf.tls_null_cipherlist,
        },
        prefer_own=conf.tls_preempt_cipherlist,
        groups=(*conf.tls_eecdh_auto_curves, *conf.tls_ffdhe_auto_groups),
        dh_file=conf.smtpd_tls_dh1024_param_file,
        lifetime=conf.smtpd_tls_session_cache_timeout,
        ticket_cipher=conf.tls_session_ticket_cipher,
        keep_sessions=bool(conf.smtpd_tls_session_cache_database),
        session_ids=conf.smtpd_tls_always_issue_session_ids,
        without_workarounds=conf.tls_disable_workarounds,
        extra_options=conf.tls_ssl_options,
        sni_maps=conf.tls_server_sni_maps,
        config_file=conf.tls_config_file,
        config_name=conf.tls_config_name,
        log_level=conf.smtpd_tls_loglevel,
    )


def key_files(conf: Config) -> tuple[str, ...]:
    """The files with our own keys and certificates."""
    settings = server_settings(conf, quiet=True)
    if settings.chain_files:
        return tuple(settings.chain_files)
    return tuple(dict.fromkeys(file for pair in settings.certificates for file in pair[1:]))


def trust_files(conf: Config) -> tuple[str, ...]:
    """Files beside these whose change matters to running processes."""
    files = (conf.smtpd_tls_CAfile, conf.smtpd_tls_dh1024_param_file)
    return tuple(file for file in files if file not in ("", "auto", "none"))


def security_level(conf: Config) -> str:
    """none, may or encrypt: smtpd_tls_security_level, or what the older switches say."""
    if conf.smtpd_tls_security_level:
        return conf.smtpd_tls_security_level
    if conf.smtpd_enforce_tls:
        return "encrypt"
    return "may" if conf.smtpd_use_tls else "none"


def read_file(path: str) -> bytes:
    return Path(path).read_bytes()


class ServerTls:
    """A context for handshakes. `lookup`: finds the value of tls_server_sni_maps for a name."""

    def __init__(self, settings: ServerSettings, loaded: Library, read: Read) -> None:
        self.settings = settings
        self.library = loaded
        ffi, lib = loaded.ffi, loaded.lib
        self.context = ffi.gc(lib.SSL_CTX_new(lib.TLS_server_method()), lib.SSL_CTX_free)
        if self.context == ffi.NULL:
            raise TlsError("cannot make a TLS context", loaded.errors())
        self._callbacks: list[Any] = []
        """Functions that C calls; they must live as long as the context."""
        self.choosing: dict[int, bool] = {}
        """Handshakes under way, by address: whether the certificate has been chosen by name."""
        self.sni: Any = None
        """Maps for server names, or None."""
        self._sni_known: dict[str, list[Identity]] = {}
        self._versions()
        self._ciphers()
        self._certificates(read)
        self._key_exchange(read)
        self._clients()
        self._sessions()

    @classmethod
    def open(cls, settings: ServerSettings, read: Read = read_file) -> ServerTls:
        """Load keys and certificates, as the user who may. Raises TlsError, which says what to do."""
        loaded = library()
        _load_configuration(loaded, settings)
        loaded.lib.ERR_clear_error()
        try:
            return cls(settings, loaded, read)
        except grades.BadSetting as reason:
            remedy = f"clients cannot use TLS until main.cf is mended: {reason.remedy}"
            raise TlsError(str(reason), remedy=remedy) from None

    # --- making the context

    def _versions(self) -> None:
        settings, lib, context = self.settings, self.library.lib, self.context
        # Opportunistic TLS with old ciphers is better than none; the grades decide what is too weak, as in Postfix.
        lib.SSL_CTX_set_security_level(context, 0)
        off = grades.options(settings.without_workarounds, grades.WORKAROUNDS, "tls_disable_workarounds")
        lib.SSL_CTX_clear_options(context, off)
        bits = grades.ALL_WORKAROUNDS & ~off
        bits |= grades.options(settings.extra_options, grades.ENABLE, "tls_ssl_options")
        low, high, without = grades.protocols(settings.protocols)
        bits |= without | grades.NO_SSL3 | grades.NO_RENEGOTIATION
        if settings.prefer_own:
            bits |= grades.CIPHER_SERVER_PREFERENCE
        lib.SSL_CTX_set_options(context, bits)
        self._control(openssl.SET_MIN_PROTO_VERSION, low)
        self._control(openssl.SET_MAX_PROTO_VERSION, high)
        self._control(openssl.MODE, openssl.MODE_RELEASE_BUFFERS)
        self._tickets_off = bool(bits & grades.NO_TICKET)

    def _ciphers(self) -> None:
        settings = self.settings
        self.ciphers = wanted = grades.cipher_list(settings.grades, settings.grade, settings.exclude)
        if not self.library.lib.SSL_CTX_set_cipher_list(self.context, wanted.encode()):
            raise TlsError(
                f"no cipher fits {settings.prefix}_ciphers and the exclusions: {wanted}", self.library.errors()
            )

    def _certificates(self, read: Read) -> None:
        settings, loaded = self.settings, self.library
        if settings.chain_files:
            if settings.certificates:
                names = f"{settings.prefix}_cert_file, {settings.prefix}_eccert_file and the like"
                log.warning(f"{settings.prefix}_chain_files is used, {names} are ignored: remove one or the other")
            identities = identity.from_chain(loaded, settings.chain_files, read)
        else:
            identities = [
                identity.from_files(loaded, cert, key, read, kind) for kind, cert, key in settings.certificates
            ]
        for each in identities:
            each.use_in(self.context)
        if settings.sni_maps:
            self._call(lib_function="SSL_CTX_set_cert_cb", signature="int(SSL *, void *)", act=self._suspend, more=True)

    def _key_exchange(self, read: Read) -> None:
        settings, loaded = self.settings, self.library
        groups = [name for name in settings.groups if self._has_group(name)]
        if groups:
            self._control(openssl.SET_GROUPS_LIST, 0, loaded.ffi.new("char[]", ":".join(groups).encode()))
        if settings.dh_file in ("", "auto", "none"):
            self._control(openssl.SET_DH_AUTO, 0 if settings.dh_file == "none" else 1)
            return
        try:
            content = read(settings.dh_file)
        except OSError as reason:
            log.warning(
                f'cannot read DH parameters from "{settings.dh_file}": {reason.strerror}: well-known ones are used'
            )
            self._control(openssl.SET_DH_AUTO, 1)
            return
        ffi, lib = loaded.ffi, loaded.lib
        text = ffi.from_buffer(content)
        bio = ffi.gc(lib.BIO_new_mem_buf(text, len(text)), lib.BIO_free)
        key = lib.PEM_read_bio_Parameters(bio, ffi.NULL)
        if key == ffi.NULL or lib.SSL_CTX_set0_tmp_dh_pkey(self.context, key) != 1:
            if key != ffi.NULL:
                lib.EVP_PKEY_free(key)
            loaded.errors()
            log.warning(f'no DH parameters in "{settings.dh_file}": well-known ones are used')
            self._control(openssl.SET_DH_AUTO, 1)

    def _has_group(self, name: str) -> bool:
        """Whether this OpenSSL knows a group; unknown names are passed over, with a warning."""
        text = self.library.ffi.new("char[]", name.encode())
        if self.library.lib.SSL_CTX_ctrl(self.context, openssl.SET_GROUPS_LIST, 0, text) == 1:
            return True
        self.library.errors()
        log.warning(f'ignoring unknown key exchange group "{name}"')
        return False

    def _clients(self) -> None:
        settings, loaded = self.settings, self.library
        lib, context = loaded.lib, self.context
        if settings.ca_file and lib.SSL_CTX_load_verify_file(context, settings.ca_file.encode()) != 1:
            raise TlsError(f'cannot load Certification Authority data, CAfile="{settings.ca_file}"', loaded.errors())
        if settings.ca_path and lib.SSL_CTX_load_verify_dir(context, settings.ca_path.encode()) != 1:
            raise TlsError(f'cannot load Certification Authority data, CApath="{settings.ca_path}"', loaded.errors())
        if settings.ca_path:
            self._load_folder(settings.ca_path)
        if settings.default_ca:
            if lib.SSL_CTX_set_default_verify_paths(context) != 1:
                raise TlsError("cannot load the system's CA certificates", loaded.errors())
            self._load_folder(os.fsdecode(loaded.ffi.string(lib.X509_get_default_cert_dir())))
        if self.digest_of(b"") == "":
            text = f'Digest algorithm "{settings.digest}" not found'
            raise TlsError(text, remedy="disabling TLS support", disabling=False)
        if not settings.ask:
            return
        if settings.ca_file:
            names = lib.SSL_load_client_CA_file(settings.ca_file.encode())
            if names != loaded.ffi.NULL:
                lib.SSL_CTX_set_client_CA_list(context, names)
        loaded.errors()
        # Trust is looked at afterwards: here any certificate will do.
        accept = loaded.ffi.callback("int(int, X509_STORE_CTX *)", self._accept)
        self._callbacks.append(accept)
        mode = openssl.VERIFY_PEER | openssl.VERIFY_CLIENT_ONCE
        lib.SSL_CTX_set_verify(context, mode, accept)
        lib.SSL_CTX_set_verify_depth(context, settings.depth + 1)

    def _load_folder(self, path: str) -> None:
        """Load a folder of CA certificates now. OpenSSL would look into it when it needs one, which may be in a chroot,
        from where it cannot be seen."""
        loaded = self.library
        try:
            names = sorted(os.listdir(path))
        except OSError:
            return
        for name in names:
            if _HASHED.fullmatch(name):
                loaded.lib.SSL_CTX_load_verify_file(self.context, os.path.join(path, name).encode())
        loaded.errors()  # one that cannot be read vouches for nobody

    def _sessions(self) -> None:
        settings, lib = self.settings, self.library.lib
        name = hashlib.sha256(repr((settings.context, settings.ask, settings.ca_file)).encode()).digest()
        lib.SSL_CTX_set_session_id_context(self.context, name, len(name))
        if settings.keep_sessions and settings.lifetime:
            self._control(openssl.SET_SESS_CACHE_MODE, openssl.SESS_CACHE_SERVER)
            self._control(openssl.SET_SESS_CACHE_SIZE, SESSIONS_KEPT)
        elif settings.session_ids:
            mode = openssl.SESS_CACHE_SERVER | openssl.SESS_CACHE_NO_INTERNAL
            self._control(openssl.SET_SESS_CACHE_MODE, mode)
        else:
            self._control(openssl.SET_SESS_CACHE_MODE, openssl.SESS_CACHE_OFF)
        cipher = self._ticket_cipher()
        if cipher is None or not settings.lifetime or self._tickets_off:
            lib.SSL_CTX_set_options(self.context, grades.NO_TICKET)
            lib.SSL_CTX_set_num_tickets(self.context, 0)
            return
        lib.SSL_CTX_set_timeout(self.context, settings.lifetime)
        lib.SSL_CTX_set_num_tickets(self.context, 1)
        self._sealer = _Sealer(self.library, cipher, tickets.chain(settings.lifetime))
        self._call(
            lib_function="SSL_CTX_set_tlsext_ticket_key_evp_cb",
            signature="int(SSL *, unsigned char *, unsigned char *, EVP_CIPHER_CTX *, EVP_MAC_CTX *, int)",
            act=self._sealer.keys_for,
        )

    def _ticket_cipher(self) -> Any:
        name = self.settings.ticket_cipher
        if not name:
            return None
        ffi, lib = self.library.ffi, self.library.lib
        cipher = lib.EVP_get_cipherbyname(name.encode())
        good = cipher != ffi.NULL and lib.EVP_CIPHER_get_flags(cipher) & 0xF0007 == 2  # CBC
        if not good or lib.EVP_CIPHER_get_block_size(cipher) != 16:
            log.warning(f"invalid tls_session_ticket_cipher: {name}: no session tickets are given out")
            return None
        return cipher

    def _control(self, command: int, number: int, pointer: Any = None) -> None:
        self.library.lib.SSL_CTX_ctrl(
            self.context, command, number, self.library.ffi.NULL if pointer is None else pointer
        )

    def _call(self, *, lib_function: str, signature: str, act: Any, more: bool = False) -> None:
        callback = self.library.ffi.callback(signature, act, error=0)
        self._callbacks.append(callback)
        arguments = (self.context, callback, self.library.ffi.NULL) if more else (self.context, callback)
        getattr(self.library.lib, lib_function)(*arguments)

    # --- what C calls

    def _accept(self, good: int, store: Any) -> int:
        """A step of checking a client's chain. Nothing fails here: what is wrong with it is in the verify result."""
        lib = self.library.lib
        if lib.X509_STORE_CTX_get_error_depth(store) > max(1, self.settings.depth):
            lib.X509_STORE_CTX_set_error(store, 22)  # X509_V_ERR_CERT_CHAIN_TOO_LONG
        return 1

    def _suspend(self, ssl: Any, _: Any) -> int:
        """The certificate is to be chosen: wait, if the client asked for a name and its table has not been asked."""
        key = self.address(ssl)
        if self.choosing.get(key, True) or not self.asked_name(ssl):
            return GO_ON
        return SUSPEND

    # --- for each client

    def address(self, ssl: Any) -> int:
        return int(self.library.ffi.cast("uintptr_t", ssl))

    def asked_name(self, ssl: Any) -> str:
        """The server name that the client sent; "" for none."""
        name = self.library.lib.SSL_get_servername(ssl, 0)
        if name == self.library.ffi.NULL:
            return ""
        return bytes(self.library.ffi.string(name)).decode("ascii", "replace").lower()

    async def choose(self, ssl: Any, name: str) -> str:
        """Serve the certificate that tls_server_sni_maps has for a name. Returns the name if it has one. Raises
        TlsError, TableDown."""
        for key in _ancestors(name) if valid_hostname(name) else ():
            value = await self.sni.find(key)
            if value is not None:
                if value not in self._sni_known:
                    if len(self._sni_known) >= 1000:
                        self._sni_known.clear()
                    self._sni_known[value] = self._from_table(value, key)
                self.library.lib.SSL_certs_clear(ssl)
                for each in self._sni_known[value]:
                    each.use_for(ssl)
                return name
        return ""

    def _from_table(self, value: str, key: str) -> list[Identity]:
        where = f"tls_server_sni_maps, {key}"
        try:
            content = base64.b64decode(value.encode("ascii"), validate=True)
        except (binascii.Error, UnicodeEncodeError):
            raise TlsError(f"{where}: malformed BASE64 value: make the table with 'postmap -F'") from None
        return identity.from_pem(self.library, content, where)

    def digest_of(self, data: bytes) -> str:
        """A fingerprint, as `AA:BB:...`; "" if there is no such hash."""
        try:
            found = hashlib.new(self.settings.digest.lower().replace("-", ""), data, usedforsecurity=False)
        except ValueError:
            return ""
        return found.digest().hex(":").upper()


def _ancestors(name: str) -> list[str]:
    """`a.example.com`: itself, `.example.com`, `.com`."""
    labels = name.split(".")
    return [name, *("." + ".".join(labels[place:]) for place in range(1, len(labels)))]


def _load_configuration(loaded: Library, settings: ServerSettings) -> None:
    """tls_config_file, tls_config_name. Raises TlsError."""
    file = settings.config_file
    if file == "none" or (file == "default" and not settings.config_name):
        return  # OpenSSL reads its own by itself; all that it says about TLS is set anew by us
    ffi, lib = loaded.ffi, loaded.lib
    path = ffi.NULL if file == "default" else file.encode()
    name = settings.config_name.encode() if settings.config_name else ffi.NULL
    if lib.CONF_modules_load_file(path, name, 0) <= 0:
        raise TlsError(f"tls_config_file: cannot use {file}", loaded.errors())


class _Sealer:
    """Seals and opens tickets with the keys of a chain. RFC 5077 4."""

    def __init__(self, loaded: Library, cipher: Any, chain: tickets.Chain) -> None:
        self._loaded = loaded
        self._cipher = cipher
        self._length = loaded.lib.EVP_CIPHER_get_key_length(cipher)
        self._chain = chain
        self._digest = loaded.ffi.new("char[]", b"sha256")
        self._key_name = loaded.ffi.new("char[]", b"key")
        self._digest_name = loaded.ffi.new("char[]", b"digest")

    def keys_for(self, ssl: Any, name: Any, vector: Any, cipher: Any, mac: Any, sealing: int) -> int:
        """Put the key in place: 1 good, 2 good and time for a new ticket, 0 unknown ticket."""
        ffi, lib = self._loaded.ffi, self._loaded.lib
        key = self._chain.current() if sealing else self._chain.named(bytes(ffi.buffer(name, 16)))
        if key is None:
            return 0
        if sealing:
            ffi.memmove(name, key.name, 16)
            ffi.memmove(vector, os.urandom(16), 16)
        start = lib.EVP_EncryptInit_ex if sealing else lib.EVP_DecryptInit_ex
        secret, seal = ffi.from_buffer(key.secret[: self._length]), ffi.from_buffer(key.seal)
        parameters = ffi.new("OSSL_PARAM[3]")
        parameters[0] = (self._key_name, 5, ffi.cast("void *", seal), len(seal), 0)  # an octet string
        parameters[1] = (self._digest_name, 4, ffi.cast("void *", self._digest), 6, 0)  # a text
        if start(cipher, self._cipher, ffi.NULL, secret, vector) != 1:
            return -1
        if lib.EVP_MAC_CTX_set_params(mac, parameters) != 1:
            return -1
        return 1 if sealing or key == self._chain.current() else 2
