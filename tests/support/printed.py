"""The changes of main.cf and master.cf that the Spanish tutorials print, each with the place where it stands.

`2003` is "Postfix [Tutorial]" by Fernando Limón and Ramón Pons (version 1.04, January 2003), whose complete main.cf and
master.cf (1.2 and 1.3) are files in tests/whole/configurations; in one of its two copies scanning has lost underscores
and spaces, which are restored here. `Debian` is "Instalación y administración de Servicio de Correo Electrónico en
Debian" of the IES San Clemente (2013), `smarthost` the course page "Configuración de Postfix a través de un relay host
autenticado", `client` the chapter "postfix (MTA)" on sending from a desktop machine.
"""

from __future__ import annotations

import re
from typing import NamedTuple


class Printed(NamedTuple):
    place: str
    """Tutorial and section."""
    main: str
    """Lines of main.cf, which replace those of the same name."""
    master: str = ""
    """Lines of master.cf, likewise."""


CHROOTED = """
smtp       inet n       -       -       -       -       smtpd
pickup     fifo n       -       -       60      1       pickup
cleanup    unix n       -       -       -       0       cleanup
qmgr       fifo n       -       -       300     1       nqmgr
tlsmgr     fifo -       -       -       300     1       tlsmgr
rewrite    unix -       -       -       -       -       trivial-rewrite
bounce     unix -       -       -       -       0       bounce
defer      unix -       -       -       -       0       bounce
flush      unix n       -       -       1000?   0       flush
smtp       unix -       -       -       -       -       smtp
relay      unix -       -       -       -       -       smtp
showq      unix n       -       -       -       -       showq
error      unix -       -       -       -       -       error
lmtp       unix -       -       -       -       -       lmtp
"""

FILTER = """
filtro     unix -       n       n       -       -       pipe
  flags=Rq user=seguro argv=/etc/postfix/filtro -f ${sender} -- ${recipient}
"""

PRINTED = [
    Printed(
        "2003, 2.1 first-level relay",
        """
myhostname = relay.univ.es
mydomain = univ.es
transport_maps = hash:/etc/postfix/transport
disable_dns_lookups = no
mynetworks = 127.0.0.1 192.168.0.0/16
mydestination = $myhostname localhost.$mydomain
relay_domains = $mydomain
smtpd_recipient_restrictions = permit_mynetworks reject_unauth_destination
""",
    ),
    Printed(
        "2003, 2.2 second-level host",
        """
myhostname = smtp.univ.es
mydomain = univ.es
relay = relay.univ.es
myorigin  = $mydomain
transport_maps = hash:/etc/postfix/transport
disable_dns_lookups = yes
relayhost = [$relay]
mynetworks = 127.0.0.1 192.168.0.0/16
mydestination = $myhostname localhost.$mydomain $mydomain
smtpd_recipient_restrictions = permit_mynetworks reject_unauth_destination
""",
    ),
    Printed(
        "2003, 3 several domains, on the relay",
        "mydestination = $myhostname localhost.$mydomain\nrelay_domains = $mydomain fund-univ.es\n",
    ),
    Printed(
        "2003, 3 several domains, one set of users",
        "mydestination = $myhostname localhost.$mydomain $mydomain fund-univ.es\n",
    ),
    Printed(
        "2003, 3 several domains, virtual",
        """
mydestination = $myhostname localhost.$mydomain $mydomain
virtual_alias_domains = fund-univ.es
virtual_alias_maps = hash:/etc/postfix/virtual
""",
    ),
    Printed(
        "2003, 4.2 TLS",
        """
smtp_use_tls = yes
smtp_tls_session_cache_database = sdbm:/etc/postfix/smtp_scache
smtp_tls_key_file = /etc/postfix/cert/keysin.pem
smtp_tls_cert_file = /etc/postfix/cert/cert.pem
smtp_tls_CAfile = /etc/postfix/cert/CertCA.pem
smtpd_use_tls = yes
smtpd_tls_session_cache_database = sdbm:/etc/postfix/smtpd_scache
smtpd_tls_key_file = /etc/postfix/cert/keysin.pem
smtpd_tls_cert_file = /etc/postfix/cert/cert.pem
smtpd_tls_CAfile = /etc/postfix/cert/CertCA.pem
""",
    ),
    Printed(
        "2003, 5.2 SMTP AUTH on all ports",
        """
broken_sasl_auth_clients    = yes
smtpd_sasl_local_domain     = $myhostname
smtpd_sasl_auth_enable      = yes
smtpd_recipient_restrictions =
                       permit_sasl_authenticated
                       permit_mynetworks
                       reject_unauth_destination
""",
    ),
    Printed(
        "2003, 5.3 SMTP AUTH on certain ports",
        "broken_sasl_auth_clients    = yes\nsmtpd_sasl_local_domain     = $mydomain\n",
        """
smtp    inet   n    -    n     -     -     smtpd
8025    inet   n    -    n     -     -     smtpd   -o smtpd_sasl_auth_enable=yes
""",
    ),
    Printed(
        "2003, 5.4 Postfix as SMTP AUTH client",
        """
broken_sasl_auth_clients    = yes
smtpd_sasl_local_domain     = $mydomain
smtpd_sasl_auth_enable      = yes
smtp_sasl_password_maps     = hash:/etc/postfix/auth_passwd
smtp_sasl_auth_enable       = yes
smtpd_sasl_security_options    =  noplaintext
smtp_sasl_security_options     =  noplaintext
""",
    ),
    Printed(
        "2003, 6.1 simple filter, as an option of smtpd",
        "content_filter =\n",
        "smtp       inet n       -       n       -       -       smtpd -o content_filter=filtro:\n" + FILTER,
    ),
    Printed(
        "2003, 6.1 simple filter, in main.cf",
        "content_filter = filtro:\n",
        """
8025       inet n       -       n       -       -       smtpd
      -o smtpd_sasl_auth_enable=yes
smtp       inet n       -       n       -       -       smtpd
pickup     fifo n       -       n       60      1       pickup
      -o content_filter=
"""
        + FILTER,
    ),
    Printed(
        "2003, 6.2 AMaViS",
        "content_filter = filtro:\n",
        """
localhost:10025 inet    n       -       n       -       -       smtpd
      -o content_filter=
filtro      unix -       n       n       -      10       pipe
  flags=q user=vscan argv=/usr/sbin/amavis ${sender} ${recipient}
""",
    ),
    Printed(
        "2003, 6.3 a filter that speaks SMTP",
        "content_filter = scan:localhost:10025\n",
        """
localhost:10026 inet    n       -       n       -       -       smtpd
      -o content_filter=
scan       unix -       -       n       -      10       smtp
localhost:10025 inet    n       n       n       -      10       spawn
      user=seguro argv=/path/scan localhost 10026
""",
    ),
    Printed("2003, 7.1 notices", " notify_classes = resource, software, policy\n".lstrip()),
    Printed("2003, 7.2 unknown clients", "smtpd_client_restrictions = reject_unknown_client\n"),
    Printed(
        "2003, 7.3 RBL",
        """
smtpd_client_restrictions =
 reject_rbl_client relays.ordb.org
 reject_rhsbl_client relays.ordb.org
smtpd_sender_restrictions =
 reject_rhsbl_sender relays.ordb.org
""",
    ),
    Printed(
        "2003, 7.4 HELO",
        """
smtpd_helo_required = yes
smtpd_helo_restrictions =
                       reject_invalid_hostname
                       reject_unknown_hostname
                       reject_non_fqdn_hostname
""",
    ),
    Printed("2003, 7.5 headers", "header_checks  = regexp:/etc/postfix/header_checks\n"),
    Printed("2003, 7.6 content", "body_checks  = regexp:/etc/postfix/body_checks\n"),
    Printed("2003, 7.7 size", "message_size_limit = 10240000\n"),
    Printed("2003, 7.7 no limits of size", "message_size_limit = 0\nmailbox_size_limit = 0\n"),
    Printed("2003, 7.8 chroot", "", CHROOTED),
    Printed(
        "Debian, Cómo instalar un MTA",
        """
myhostname = servidor.pruebas.local
alias_maps = hash:/etc/aliases
alias_database = hash:/etc/aliases
myorigin = /etc/mailname
mydestination = servidor.pruebas.local, localhost.pruebas.local, pruebas.local, localhost
inet_interfaces = all
""",
    ),
    Printed("Debian, redes", "mynetworks = 127.0.0.0/8 [::ffff:127.0.0.0]/104 [::1]/128\n"),
    Printed(
        "Debian, Habilitar autenticación SASL, Unix socket",
        """
smtpd_sasl_type = dovecot
smtpd_sasl_path = private/auth
smtpd_sasl_auth_enable = yes
broken_sasl_auth_clients = yes
smtpd_sasl_security_options = noanonymous
smtpd_sasl_tls_security_options = $smtpd_sasl_security_options
""",
    ),
    Printed(
        "Debian, Habilitar autenticación SASL, TCP and TLS",
        """
smtpd_sasl_type = dovecot
smtpd_sasl_path = inet:127.0.0.1:12345
smtpd_sasl_auth_enable = yes
smtpd_sasl_security_options = noanonymous, noplaintext
smtpd_sasl_tls_security_options = noanonymous
smtpd_tls_auth_only = yes
""",
    ),
    Printed(
        "Debian, autorización SASL, destinatarios remotos",
        """
smtpd_recipient_restrictions =
        permit_mynetworks
        permit_sasl_authenticated
        reject_unauth_destination
""",
    ),
    Printed(
        "Debian, autorización SASL, remitentes",
        """
smtpd_sender_login_maps = hash:/etc/postfix/controlled_envelope_senders
smtpd_recipient_restrictions =
       permit_mynetworks
       reject_sender_login_mismatch
       permit_sasl_authenticated
       reject_unauth_destination
""",
    ),
    Printed(
        "Debian, SpamAssassin",
        "",
        """
smtp      inet  n       -       n       -       -       smtpd -o content_filter=spamassassin
spamassassin unix -     n       n       -       -       pipe user=spamd argv=/usr/bin/spamc -f -e
                                                 /usr/sbin/sendmail -oi -f ${sender} ${recipient}
""",
    ),
    Printed(
        "Debian, ClamAV",
        "content_filter = scan:127.0.0.1:10025\nreceive_override_options = no_address_mappings\n",
        """
scan      unix  -       -       n       -       16      smtp
        -o smtp_send_xforward_command=yes
127.0.0.1:10026 inet  n -       n       -       16      smtpd
        -o content_filter=
        -o receive_override_options=no_unknown_recipient_checks,no_header_body_checks
        -o smtpd_helo_restrictions=
        -o smtpd_client_restrictions=
        -o smtpd_sender_restrictions=
        -o smtpd_recipient_restrictions=permit_mynetworks,reject
        -o mynetworks_style=host
        -o smtpd_authorized_xforward_hosts=127.0.0.0/8
""",
    ),
    Printed(
        "smarthost, saslfinger",
        """
relayhost = [smtp.gmail.com]:587
smtp_sasl_auth_enable = yes
smtp_sasl_password_maps = hash:/etc/postfix/sasl/passwd
smtp_sasl_security_options = noanonymous
smtp_tls_CAfile = /etc/postfix/cacert.pem
smtp_tls_session_cache_database = btree:${data_directory}/smtp_scache
smtp_use_tls = yes
""",
        """
relay unix - - - - - smtp
 -o smtp_fallback_relay=
mailman unix - n n - - pipe
 flags=FR user=list argv=/usr/lib/mailman/bin/postfix-to-mailman.py
 ${nexthop} ${user}
""",
    ),
    Printed(
        "client, relay chosen by sender",
        """
inet_interfaces = all
default_transport = smtp
relay_transport = smtp
relayhost = [smtp.gmail.com]:submission
smtp_sender_dependent_authentication = yes
sender_dependent_relayhost_maps = hash:/etc/postfix/sender_relay
smtp_sasl_auth_enable = yes
smtp_sasl_mechanism_filter = plain, login
smtp_sasl_password_maps = hash:/etc/postfix/sasl_passwd
smtp_sasl_security_options = noanonymous
smtp_use_tls = yes
smtp_sasl_tls_security_options = noanonymous
smtp_tls_note_starttls_offer = yes
smtp_tls_CAfile = /etc/ssl/certs/ca-certificates.crt
smtp_tls_policy_maps = hash:/etc/postfix/tls_policy
""",
    ),
    Printed(
        "client, transport chosen by sender",
        "sender_dependent_default_transport_maps = hash:/etc/postfix/sender_transport\n",
        "smtps      unix  -       -       y       -       -       smtp\n   -o smtp_tls_wrappermode=yes\n",
    ),
]


def section(place: str) -> Printed:
    """What one section prints, by the name of its place."""
    return next(printed for printed in PRINTED if printed.place == place)


TRANSPORT = """
# TRAFICO LOCAL ...
relay.univ.es          local:
localhost.univ.es      local:

# TRAFICO INTERNO ...
univ.es                smtp:[smtp.univ.es]
depart1.univ.es        smtp:[smtp.depart1.univ.es]
.depart1.univ.es       smtp:[smtp.depart1.univ.es]
depart2.univ.es        smtp:[smtp.depart2.univ.es]
.depart2.univ.es       smtp:[smtp.depart2.univ.es]
"""
"""2003, 2.1: the relay's."""

TRANSPORT_SECOND = """
# TRAFICO LOCAL ...
univ.es                local:
smtp.univ.es           local:
localhost.univ.es      local:

# TRAFICO INTERNO ...
.univ.es               smtp:
"""
"""2003, 2.2: that of smtp.univ.es."""

TRANSPORT_FUND_SHARED = TRANSPORT.replace(
    "depart1.univ.es        smtp", "fund-univ.es           smtp:[smtp.univ.es]\ndepart1.univ.es        smtp", 1
)
"""2003, 3: the relay's, while smtp.univ.es serves fund-univ.es too."""

TRANSPORT_FUND_MOVED = TRANSPORT_FUND_SHARED.replace(
    "fund-univ.es           smtp:[smtp.univ.es]", "fund-univ.es           smtp:[smtp.fund-univ.es]"
)
"""2003, 3: the relay's, when fund-univ.es has a host of its own."""

TRANSPORT_SECOND_FUND = TRANSPORT_SECOND.replace(
    "localhost.univ.es      local:\n", "localhost.univ.es      local:\nfund-univ.es           local:\n"
)
"""2003, 3: that of smtp.univ.es, with fund-univ.es as one more name for it."""

VIRTUAL = """# /etc/postfix/virtual
gerente@fund-univ.es     rgarcia
gestion@fund-univ.es     laurar
tesorero@fund-univ.es    jheras@pastorro.com
gramos@fund-univ.es      gramos
"""
"""2003, 3: that of smtp.univ.es, with users of its own for fund-univ.es."""

HEADER_CHECKS = """
#
# Headers Checks
#
# Virus: W32.SirCam [20/SEP/01]
/^date:.*/i                                             REJECT
/^Content-Disposition: Multipart message/               REJECT
#
# Virus Nimda (attach readme.exe) [20/SEP/01]
/^X-Unsent: 1/                                          REJECT
#
# Virus Badtrans [30/NOV/01]
/^From: ".*" <_/                                        REJECT
#
# Virus W32.Myparty.B@mm [29/ENE/02]
/^Subject: new photos from my party!/                   REJECT
#
#Virus W32/Frethem.K/J [15/JUL/02]
/^Subject: Re: Your password!/                          REJECT
#
"""
"""2003, 7.5. `i` turns the usual disregard for case off: the first pattern means "date:" in small letters only."""

BODY_CHECKS = """
#
# Body Checks
#
/Accept Credit Cards/             REJECT
/Nude Celebrities/                REJECT
/PRODUCT or SERVICE/              REJECT
/GUARANTEED!/                     REJECT
/Amateur Girls/                   REJECT
/FREE MEMBERSHIP/                 REJECT
/bizinfo/                         REJECT
"""
"""2003, 7.6."""


# --- how changes are made to a printed file


def merged(main: str, changes: dict[str, str], heading: str = "") -> str:
    """main.cf with `changes` in place of its own lines of those names, at the end, under a heading if there is one."""
    names = "|".join(map(re.escape, changes))
    kept = re.sub(rf"^(?:{names}) *=.*\n(?:[ \t]+.*\n)*", "", main, flags=re.MULTILINE) if changes else main
    return kept + (heading and f"{heading}\n") + "".join(f"{name} = {value}\n" for name, value in changes.items())


def settings(text: str) -> dict[str, str]:
    """The lines of a main.cf by name."""
    found = re.findall(r"^(\w+) *=[ \t]*(.*(?:\n[ \t]+.*)*)$", text, re.MULTILINE)
    return {name: " ".join(value.split()) for name, value in found}


def with_services(master: str, changes: str) -> str:
    """master.cf with `changes` in place of its own entries of the same name and type."""
    entry = re.compile(r"^(\S+)[ \t]+(\S+).*\n(?:[ \t]+.*\n)*", re.MULTILINE)
    own = {found.groups() for found in entry.finditer(changes)}
    return entry.sub(lambda found: "" if found.groups() in own else found[0], master) + changes
