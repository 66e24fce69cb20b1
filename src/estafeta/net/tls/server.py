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
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from estafeta.base import log
from estafeta.config.instance import Config
from estafeta.mail.address import valid_hostname
from estafeta.net.tls import grades, identity, openssl, tickets
from estafeta.net.tls.identity import Identity, Read
from estafeta.net.tls.openssl import Library, TlsError, library

COMPILED_IN = " -- using compiled-in defaults"
_MARKS = {"RSA": "", "DSA": "d", "ECDSA": "ec"}
"""What stands before `cert_file` in the name of a parameter."""
SESSIONS_KEPT = 2000
"""Sessions that one process remembers, for clients that know no tickets."""

TOLD_LATER = "clients that want TLS are told to come later"
NO_CERTIFICATE = "No server certs available. TLS won't be enabled"
MEND = "clients cannot use TLS until main.cf is mended"

_HASHED = re.compile(r"[0-9a-f]{8}\.\d+")
"""The name of a CA certificate in a folder of them."""

GO_ON, BREAK_OFF, SUSPEND = 1, 0, -1

UNSUPPORTED_LEVELS = frozenset({"fingerprint", "verify", "secure"})
"""What smtp(8) knows: a client cannot be asked for that much."""


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
    anonymous: bool = False
    """Whether there need not be any: smtpd_tls_cert_file = none."""
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
    origin: Callable[[Sequence[str]], str] = ", ".join
    """Of some parameters, which is set and where: `/etc/postfix/main.cf, line 7: smtpd_tls_cert_file`."""


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
        anonymous=conf.smtpd_tls_cert_file.lower() == "none",
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
        origin=lambda names: origin(conf, names),
    )


def origin(conf: Config, names: Sequence[str]) -> str:
    """Where the first of these parameters that is set is set, and its name."""
    name = next((each for each in names if conf.is_set(each)), names[0])
    if not conf.is_set(name):
        return f"{conf.settings.path}: {name}"
    place = conf.origin(name)
    return place if place.endswith(f" {name}") else f"{place}: {name}"


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
    if conf.smtpd_tls_security_level in UNSUPPORTED_LEVELS:
        return "encrypt"
    if conf.smtpd_tls_security_level:
        return conf.smtpd_tls_security_level
    if conf.smtpd_enforce_tls:
        return "encrypt"
    return "may" if conf.smtpd_use_tls else "none"


def warn_of_level(parameter: str, level: str) -> None:
    """A level that is nothing for a server is a warning."""
    if level in UNSUPPORTED_LEVELS:
        log.warning(f'{parameter}: unsupported TLS level "{level}", using "encrypt"')


def report(problem: TlsError, settings: ServerSettings) -> None:
    """Why there is no TLS: in Postfix's words, in OpenSSL's, and then where it is to be mended, and how."""
    log.warning(f"{problem}: disabling TLS support" if problem.disabling else str(problem))
    for line in problem.lines:
        log.warning(f"TLS library problem: {line}")
    remedy = problem.remedy
    if problem.at_fault:
        remedy = f"{settings.origin(problem.at_fault)}: {remedy or MEND}"
    if remedy:
        log.warning(remedy)


def read_file(path: str) -> bytes:
    return Path(path).read_bytes()


class ServerTls:
    """A context for handshakes. `lookup`: finds the value of tls_server_sni_maps for a name."""

    def __init__(self, settings: ServerSettings, loaded: Library, read: Read) -> None:
        self.settings = settings
        self.library = loaded
        self.context = self._new_context()
        self._callbacks: list[Any] = []
        """Functions that C calls; they must live as long as the context."""
        self.choosing: dict[int, int] = {}
        """Handshakes under way, by address: whether to suspend them until the certificate has been chosen by name, to
        go on, or to break them off."""
        self.sni: Any = None
        """What a certificate is found with for the name that a client asks for, or None: `await sni.find(name)` is PEM
        text in base64, or None, or raises TlsError."""
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
        return cls(settings, loaded, read)

    # --- making the context

    def _new_context(self) -> Any:
        ffi, lib = self.library.ffi, self.library.lib
        context = ffi.gc(lib.SSL_CTX_new(lib.TLS_server_method()), lib.SSL_CTX_free)
        if context == ffi.NULL:
            raise TlsError("cannot make a TLS context", self.library.errors())
        return context

    def _versions(self) -> None:
        settings, lib, context = self.settings, self.library.lib, self.context
        # Opportunistic TLS with old ciphers is better than none; the grades decide what is too weak, as in Postfix.
        lib.SSL_CTX_set_security_level(context, 0)
        off = grades.options(settings.without_workarounds, grades.WORKAROUNDS, "tls_disable_workarounds")
        lib.SSL_CTX_clear_options(context, off)
        bits = grades.ALL_WORKAROUNDS & ~off
        bits |= grades.options(settings.extra_options, grades.ENABLE, "tls_ssl_options")
        with self._blaming("mandatory_protocols" if settings.mandatory else "protocols"):
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
        given = ("mandatory_exclude_ciphers", "mandatory_ciphers") if settings.mandatory else ()
        with self._blaming(*given, "exclude_ciphers", "ciphers"):
            self.ciphers = wanted = grades.cipher_list(settings.grades, settings.grade, settings.exclude)
            if not self.library.lib.SSL_CTX_set_cipher_list(self.context, wanted.encode()):
                text = f"no cipher fits {settings.prefix}_ciphers and the exclusions: {wanted}"
                raise TlsError(text, self.library.errors())

    def _certificates(self, read: Read) -> None:
        settings, loaded = self.settings, self.library
        if settings.chain_files:
            if settings.certificates:
                names = f"{settings.prefix}_cert_file, {settings.prefix}_eccert_file and the like"
                log.warning(f"{settings.prefix}_chain_files is used, {names} are ignored: remove one or the other")
            with self._blaming("chain_files"):
                for each in identity.from_chain(loaded, settings.chain_files, read):
                    each.use_in(self.context)
        elif not settings.certificates and not settings.anonymous:
            with self._blaming("chain_files"):
                remedy = "write the name of a file with key and certificate"
                raise TlsError(NO_CERTIFICATE, remedy=f"{TOLD_LATER}: {remedy}", disabling=False)
        else:
            for kind, cert, key in settings.certificates:
                mark = _MARKS[kind]
                with self._blaming(f"{mark}cert_file", f"{mark}key_file"):
                    identity.from_files(loaded, cert, key, read, kind).use_in(self.context)
        if settings.sni_maps:
            self._call(lib_function="SSL_CTX_set_cert_cb", signature="int(SSL *, void *)", act=self._suspend, more=True)

    def _key_exchange(self, read: Read) -> None:
        settings, loaded = self.settings, self.library
        trial = self._new_context()
        groups = [name for name in settings.groups if self._has_group(trial, name)]
        curves = {name for name in settings.groups if not _is_finite_field(name)}
        # Where no curve is left that OpenSSL knows, its own choice is better than none.
        if groups and (not curves or curves.intersection(groups)):
            self._control(openssl.SET_GROUPS_LIST, 0, loaded.ffi.new("char[]", ":".join(groups).encode()))
        if settings.dh_file in ("", "auto", "none"):
            self._control(openssl.SET_DH_AUTO, 0 if settings.dh_file == "none" else 1)
            return
        try:
            content = read(settings.dh_file)
        except OSError as reason:
            log.warning(f'error opening DH parameter file "{settings.dh_file}": {reason.strerror}{COMPILED_IN}')
            self._control(openssl.SET_DH_AUTO, 1)
            return
        ffi, lib = loaded.ffi, loaded.lib
        text = ffi.from_buffer(content)
        bio = ffi.gc(lib.BIO_new_mem_buf(text, len(text)), lib.BIO_free)
        key = lib.PEM_read_bio_Parameters(bio, ffi.NULL)
        if key == ffi.NULL or lib.SSL_CTX_set0_tmp_dh_pkey(self.context, key) != 1:
            if key != ffi.NULL:
                lib.EVP_PKEY_free(key)
            log.warning(f'error decoding DH parameters from file "{settings.dh_file}"{COMPILED_IN}')
            for line in loaded.errors():
                log.warning(f"TLS library problem: {line}")
            self._control(openssl.SET_DH_AUTO, 1)

    def _has_group(self, trial: Any, name: str) -> bool:
        """Whether this OpenSSL knows a group; unknown names are passed over, with a warning. `trial`: a context, which
        has this group only afterwards."""
        text = self.library.ffi.new("char[]", name.encode())
        if self.library.lib.SSL_CTX_ctrl(trial, openssl.SET_GROUPS_LIST, 0, text) == 1:
            return True
        self.library.errors()
        what = "FFDHE group" if _is_finite_field(name) else "ECDHE curve"
        log.warning(f'ignoring unknown {what} "{name}"')
        return False

    def _clients(self) -> None:
        settings, loaded = self.settings, self.library
        lib, context = loaded.lib, self.context
        cannot = "cannot load Certification Authority data,"
        with self._blaming("CAfile"):
            if settings.ca_file and lib.SSL_CTX_load_verify_file(context, settings.ca_file.encode()) != 1:
                raise TlsError(f'{cannot} CAfile="{settings.ca_file}"', loaded.errors())
        with self._blaming("CApath"):
            if settings.ca_path and lib.SSL_CTX_load_verify_dir(context, settings.ca_path.encode()) != 1:
                raise TlsError(f'{cannot} CApath="{settings.ca_path}"', loaded.errors())
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

    @contextmanager
    def _blaming(self, *names: str) -> Iterator[None]:
        """What goes wrong inside comes from these parameters, named without `smtpd_tls_`."""
        try:
            yield
        except grades.BadSetting as reason:
            problem = TlsError(str(reason), remedy=f"{MEND}: {reason.remedy}")
            problem.at_fault = tuple(f"{self.settings.prefix}_{name}" for name in names)
            raise problem from None
        except TlsError as problem:
            problem.at_fault = tuple(f"{self.settings.prefix}_{name}" for name in names)
            raise

    # --- what C calls

    def _accept(self, good: int, store: Any) -> int:
        """A step of checking a client's chain. Nothing fails here: what is wrong with it is in the verify result."""
        lib = self.library.lib
        if lib.X509_STORE_CTX_get_error_depth(store) > max(1, self.settings.depth):
            lib.X509_STORE_CTX_set_error(store, 22)  # X509_V_ERR_CERT_CHAIN_TOO_LONG
        return 1

    def _suspend(self, ssl: Any, _: Any) -> int:
        """The certificate is to be chosen: wait, if the client asked for a name and its table has not been asked."""
        chosen = self.choosing.get(self.address(ssl), GO_ON)
        return GO_ON if chosen == SUSPEND and not self.asked_name(ssl) else chosen

    # --- for each client

    def address(self, ssl: Any) -> int:
        return int(self.library.ffi.cast("uintptr_t", ssl))

    def asked_name(self, ssl: Any) -> str:
        """The server name that the client sent; "" for none."""
        name = self.library.lib.SSL_get_servername(ssl, 0)
        if name == self.library.ffi.NULL:
            return ""
        return bytes(self.library.ffi.string(name)).decode("ascii", "replace").lower()

    async def choose(self, ssl: Any, name: str) -> str | None:
        """Serve the certificate that tls_server_sni_maps has for a name. Returns the name if it has one, "" if not, and
        None, logged, if that cannot be known or used: the client must not get another certificate then."""
        try:
            return await self._choose(ssl, name)
        except TlsError as problem:
            log.warning(str(problem))
            for line in problem.lines:
                log.warning(f"TLS library problem: {line}")
            if problem.remedy:
                log.warning(problem.remedy)
        return None

    async def _choose(self, ssl: Any, name: str) -> str:
        """Raises TlsError."""
        for key in _ancestors(name) if valid_hostname(name) else ():
            value = await self.sni.find(key)
            if value is not None:
                try:
                    self._serve(ssl, value, key)
                except TlsError as problem:
                    what = "error loading private keys and certificates from: SNI data"
                    problem.remedy = f"{what} for {name}: aborting TLS handshake"
                    raise
                return name
        return ""

    def _serve(self, ssl: Any, value: str, key: str) -> None:
        """Raises TlsError."""
        if value not in self._sni_known:
            if len(self._sni_known) >= 1000:
                self._sni_known.clear()
            self._sni_known[value] = self._from_table(value, key)
        self.library.lib.SSL_certs_clear(ssl)
        for each in self._sni_known[value]:
            each.use_for(ssl)

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
            # OpenSSL's older names have a key's kind before them: RSA-SHA256.
            name = self.settings.digest.lower().removeprefix("rsa-")
            return hashlib.new(name, data, usedforsecurity=False).digest().hex(":").upper()
        except (ValueError, TypeError):  # there is none of that name, or it has no length of its own
            return ""


def _is_finite_field(group: str) -> bool:
    """RFC 7919"""
    return group.lower().startswith("ffdhe")


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
