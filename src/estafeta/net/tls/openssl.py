"""The system's OpenSSL, called directly: what TLS with Postfix's properties needs and no Python binding has.

Neither the standard library nor pyOpenSSL accepts a client certificate that nobody vouches for, seals session tickets
with keys that several processes share, or says which key exchange and signature a handshake used. This file declares
the C functions; only its neighbours call them. docs/decisions/0008-tls.md tells why. OpenSSL 3.0 and later.

Every object that C hands out is given to `ffi.gc` by who asks for it, and everything runs in one thread: OpenSSL's
error queue belongs to the thread, and is cleared before each call whose errors matter.
"""

from __future__ import annotations

from functools import cache
from typing import Any

DECLARATIONS = """
typedef struct ssl_ctx_st SSL_CTX; typedef struct ssl_st SSL; typedef struct ssl_method_st SSL_METHOD;
typedef struct ssl_cipher_st SSL_CIPHER; typedef struct bio_st BIO; typedef struct bio_method_st BIO_METHOD;
typedef struct x509_st X509; typedef struct X509_name_st X509_NAME; typedef struct X509_name_entry_st X509_NAME_ENTRY;
typedef struct X509_pubkey_st X509_PUBKEY; typedef struct evp_pkey_st EVP_PKEY; typedef struct asn1_string_st ASN1;
typedef struct evp_cipher_ctx_st EVP_CIPHER_CTX; typedef struct evp_cipher_st EVP_CIPHER;
typedef struct evp_mac_ctx_st EVP_MAC_CTX; typedef struct stack_st OPENSSL_STACK;
typedef struct x509_store_ctx_st X509_STORE_CTX; typedef struct ssl_session_st SSL_SESSION;
typedef struct { const char *key; unsigned int data_type; void *data; size_t data_size; size_t return_size; }
    OSSL_PARAM;

unsigned long OpenSSL_version_num(void);
const char *OpenSSL_version(int);
const SSL_METHOD *TLS_server_method(void);
SSL_CTX *SSL_CTX_new(const SSL_METHOD *); void SSL_CTX_free(SSL_CTX *);
long SSL_CTX_ctrl(SSL_CTX *, int, long, void *);
long SSL_CTX_callback_ctrl(SSL_CTX *, int, void (*)(void));
uint64_t SSL_CTX_set_options(SSL_CTX *, uint64_t); uint64_t SSL_CTX_clear_options(SSL_CTX *, uint64_t);
void SSL_CTX_set_security_level(SSL_CTX *, int);
int SSL_CTX_set_cipher_list(SSL_CTX *, const char *);
void SSL_CTX_set_verify(SSL_CTX *, int, int (*)(int, X509_STORE_CTX *));
void SSL_CTX_set_verify_depth(SSL_CTX *, int);
int SSL_CTX_set_session_id_context(SSL_CTX *, const unsigned char *, unsigned int);
long SSL_CTX_set_timeout(SSL_CTX *, long);
int SSL_CTX_set_num_tickets(SSL_CTX *, size_t);
int SSL_CTX_load_verify_file(SSL_CTX *, const char *); int SSL_CTX_load_verify_dir(SSL_CTX *, const char *);
int SSL_CTX_set_default_verify_paths(SSL_CTX *);
OPENSSL_STACK *SSL_load_client_CA_file(const char *);
void SSL_CTX_set_client_CA_list(SSL_CTX *, OPENSSL_STACK *);
int SSL_CTX_use_PrivateKey(SSL_CTX *, EVP_PKEY *); int SSL_CTX_use_certificate(SSL_CTX *, X509 *);
int SSL_CTX_check_private_key(const SSL_CTX *);
int SSL_CTX_set0_tmp_dh_pkey(SSL_CTX *, EVP_PKEY *);
void SSL_CTX_set_cert_cb(SSL_CTX *, int (*)(SSL *, void *), void *);
int SSL_CTX_set_tlsext_ticket_key_evp_cb(SSL_CTX *, int (*)(SSL *, unsigned char *, unsigned char *,
    EVP_CIPHER_CTX *, EVP_MAC_CTX *, int));
void SSL_CTX_set_info_callback(SSL_CTX *, void (*)(const SSL *, int, int));

SSL *SSL_new(SSL_CTX *); void SSL_free(SSL *);
void SSL_set_bio(SSL *, BIO *, BIO *); void SSL_set_accept_state(SSL *);
void SSL_set_info_callback(SSL *, void (*)(const SSL *, int, int));
int SSL_do_handshake(SSL *); int SSL_read(SSL *, void *, int); int SSL_write(SSL *, const void *, int);
int SSL_shutdown(SSL *); int SSL_get_error(const SSL *, int); int SSL_pending(const SSL *);
long SSL_ctrl(SSL *, int, long, void *);
int SSL_use_PrivateKey(SSL *, EVP_PKEY *); int SSL_use_certificate(SSL *, X509 *);
void SSL_certs_clear(SSL *);
const char *SSL_get_servername(const SSL *, int);
const char *SSL_get_version(const SSL *); int SSL_version(const SSL *);
const SSL_CIPHER *SSL_get_current_cipher(const SSL *);
const char *SSL_CIPHER_get_name(const SSL_CIPHER *); int SSL_CIPHER_get_bits(const SSL_CIPHER *, int *);
int SSL_want(const SSL *); int SSL_session_reused(const SSL *);
X509 *SSL_get1_peer_certificate(const SSL *); long SSL_get_verify_result(const SSL *);
EVP_PKEY *SSL_get_privatekey(const SSL *);
int SSL_get_signature_type_nid(const SSL *, int *); int SSL_get_peer_signature_type_nid(const SSL *, int *);
int SSL_export_keying_material(SSL *, unsigned char *, size_t, const char *, size_t, const unsigned char *, size_t,
    int);
const char *SSL_state_string_long(const SSL *); const char *SSL_alert_type_string_long(int);
const char *SSL_alert_desc_string_long(int);

BIO *BIO_new(const BIO_METHOD *); const BIO_METHOD *BIO_s_mem(void); BIO *BIO_new_mem_buf(const void *, int);
int BIO_free(BIO *); int BIO_read(BIO *, void *, int); int BIO_write(BIO *, const void *, int);
size_t BIO_ctrl_pending(BIO *);

X509 *PEM_read_bio_X509(BIO *, X509 **, void *, void *);
EVP_PKEY *PEM_read_bio_PrivateKey(BIO *, EVP_PKEY **, int (*)(char *, int, int, void *), void *);
EVP_PKEY *PEM_read_bio_Parameters(BIO *, EVP_PKEY **);
void X509_free(X509 *); int i2d_X509(const X509 *, unsigned char **);
X509_NAME *X509_get_subject_name(const X509 *); X509_NAME *X509_get_issuer_name(const X509 *);
X509_PUBKEY *X509_get_X509_PUBKEY(const X509 *); int i2d_X509_PUBKEY(const X509_PUBKEY *, unsigned char **);
EVP_PKEY *X509_get0_pubkey(const X509 *); int X509_check_private_key(const X509 *, const EVP_PKEY *);
char *X509_NAME_oneline(const X509_NAME *, char *, int);
int X509_NAME_get_index_by_NID(const X509_NAME *, int, int);
X509_NAME_ENTRY *X509_NAME_get_entry(const X509_NAME *, int); ASN1 *X509_NAME_ENTRY_get_data(const X509_NAME_ENTRY *);
int ASN1_STRING_to_UTF8(unsigned char **, const ASN1 *);
const char *X509_verify_cert_error_string(long); const char *X509_get_default_cert_dir(void);
X509 *X509_STORE_CTX_get_current_cert(const X509_STORE_CTX *); int X509_STORE_CTX_get_error(const X509_STORE_CTX *);
int X509_STORE_CTX_get_error_depth(const X509_STORE_CTX *); void X509_STORE_CTX_set_error(X509_STORE_CTX *, int);

void EVP_PKEY_free(EVP_PKEY *); int EVP_PKEY_get_base_id(const EVP_PKEY *); int EVP_PKEY_get_bits(const EVP_PKEY *);
int EVP_PKEY_get_group_name(const EVP_PKEY *, char *, size_t, size_t *);
const EVP_CIPHER *EVP_get_cipherbyname(const char *);
int EVP_CIPHER_get_key_length(const EVP_CIPHER *); int EVP_CIPHER_get_block_size(const EVP_CIPHER *);
unsigned long EVP_CIPHER_get_flags(const EVP_CIPHER *);
int EVP_EncryptInit_ex(EVP_CIPHER_CTX *, const EVP_CIPHER *, void *, const unsigned char *, const unsigned char *);
int EVP_DecryptInit_ex(EVP_CIPHER_CTX *, const EVP_CIPHER *, void *, const unsigned char *, const unsigned char *);
int EVP_MAC_CTX_set_params(EVP_MAC_CTX *, const OSSL_PARAM *);

const char *OBJ_nid2sn(int);
unsigned long ERR_get_error_all(const char **, int *, const char **, const char **, int *);
void ERR_error_string_n(unsigned long, char *, size_t); void ERR_clear_error(void);
int CONF_modules_load_file(const char *, const char *, unsigned long);
void CRYPTO_free(void *, const char *, int);
"""

NAMES = ("libssl.so.3", "libssl.so.4", "libssl.so", "libssl.3.dylib")
"""Where the library may be, best first."""

# Commands of SSL_CTX_ctrl and SSL_ctrl, behind OpenSSL's macros.
MODE = 33
SET_SESS_CACHE_SIZE = 42
SET_SESS_CACHE_MODE = 44
CHAIN_CERT = 89
SET_GROUPS_LIST = 92
GET_PEER_SIGNATURE_NID = 108
GET_PEER_TMP_KEY = 109
SET_DH_AUTO = 118
GET_EXTMS_SUPPORT = 122
SET_MIN_PROTO_VERSION = 123
SET_MAX_PROTO_VERSION = 124
GET_SIGNATURE_NID = 132

MODE_RELEASE_BUFFERS = 0x10
SESS_CACHE_OFF, SESS_CACHE_SERVER = 0, 2
SESS_CACHE_NO_INTERNAL = 0x300
VERIFY_NONE, VERIFY_PEER, VERIFY_FAIL_IF_NO_PEER_CERT, VERIFY_CLIENT_ONCE = 0, 1, 2, 4
ERROR_WANT_READ, ERROR_WANT_X509_LOOKUP, ERROR_SYSCALL, ERROR_ZERO_RETURN = 2, 4, 5, 6
TLS1_3 = 0x0304

NID_COMMON_NAME, NID_ORGANIZATION = 13, 17
PKEY_RSA, PKEY_DH, PKEY_EC, PKEY_RSA_PSS = 6, 28, 408, 912
PKEY_X25519, PKEY_X448, PKEY_ED25519, PKEY_ED448 = 1034, 1035, 1087, 1088


class TlsError(Exception):
    """TLS cannot do what it should. `lines` are OpenSSL's own words, for the log; `remedy` is what to do about it, and
    `at_fault` names the parameters that may have led here."""

    def __init__(self, text: str, lines: list[str] | None = None, *, remedy: str = "", disabling: bool = True) -> None:
        super().__init__(text)
        self.lines = lines or []
        self.remedy = remedy
        self.at_fault: tuple[str, ...] = ()
        self.disabling = disabling
        """Whether the text wants the words `disabling TLS support` behind it."""


class Library:
    """The loaded library: `lib` has the functions, `ffi` makes and converts C values."""

    def __init__(self) -> None:
        try:
            from cffi import FFI
        except ImportError as reason:
            raise TlsError(f"TLS needs the Python package cffi: {reason}") from None
        self.ffi: Any = FFI()
        self.ffi.cdef(DECLARATIONS)
        self.lib: Any = self._open()
        if self.lib.OpenSSL_version_num() < 0x30000000:
            raise TlsError("TLS needs OpenSSL 3.0 or later: install libssl3")

    def _open(self) -> Any:
        for name in NAMES:
            try:
                return self.ffi.dlopen(name)
            except OSError:
                continue
        raise TlsError(f"cannot load OpenSSL ({', '.join(NAMES)}): install libssl3")

    def errors(self) -> list[str]:
        """What is in the error queue, oldest first, in the form of Postfix's `TLS library problem`; the queue is empty
        afterwards."""
        ffi, lib = self.ffi, self.lib
        file, data, function = ffi.new("char **"), ffi.new("char **"), ffi.new("char **")
        line, flags, text = ffi.new("int *"), ffi.new("int *"), ffi.new("char[512]")
        found = []
        while code := lib.ERR_get_error_all(file, line, function, data, flags):
            lib.ERR_error_string_n(code, text, 512)
            more = ffi.string(data[0]).decode("utf-8", "replace") if flags[0] & 1 and data[0] else ""
            more = f"{more}:" if more else ""
            place = ffi.string(file[0]).decode("utf-8", "replace") if file[0] else ""
            found.append(f"{ffi.string(text).decode('utf-8', 'replace')}:{place}:{line[0]}:{more}")
        return found

    def der(self, encode: Any, thing: Any) -> bytes:
        """The DER form of a C object, by its i2d function."""
        size = encode(thing, self.ffi.NULL)
        if size <= 0:
            return b""
        room = self.ffi.new("unsigned char[]", size)
        encode(thing, self.ffi.new("unsigned char **", room))
        return bytes(self.ffi.buffer(room, size))


@cache
def library() -> Library:
    """The library, loaded once a process, best before the first fork. Raises TlsError."""
    return Library()
