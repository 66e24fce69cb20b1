"""Who this system is: its names, its networks, its version, and which Postfix release's defaults it follows."""

from __future__ import annotations

from ..kinds import choice, flag, text, words


class Identity:
    """Names and networks that nearly every program asks for."""

    myhostname = text(
        "",
        "The full name of this machine on the Internet, as in mail.example.com. The default is what the system says "
        "it is called, with a domain appended when it has none. Many other settings are built from it.",
    )
    mydomain = text(
        "",
        'The domain of this machine. The default is its host name without the first label, or "localdomain" when '
        "that leaves nothing.",
    )
    myorigin = text(
        "$myhostname",
        "The domain that is appended to addresses without one, such as those of mail sent on this machine. A file "
        "name stands for the first line of that file.",
    )
    mydestination = words(
        "$myhostname, localhost.$mydomain, localhost",
        "Domains whose mail is delivered on this machine to its own users and aliases: names, files with names, or "
        "tables.",
    )
    mynetworks = words(
        "",
        "Networks whose clients are trusted to send mail to anywhere: addresses, address/bits patterns, files or "
        "tables. When it is not set, the local interfaces and the network style decide.",
    )
    mynetworks_style = choice(
        "${{$compatibility_level} <level {2} ? {subnet} : {host}}",
        "How the trusted networks are found when they are not listed: host trusts this machine only, subnet the "
        "networks that its interfaces are in, class whole class A, B or C networks, which is seldom wise.",
        "class subnet host",
    )
    inet_interfaces = words(
        "all",
        "The addresses that mail is received on and that count as this machine's own: all, loopback-only, host "
        "names or addresses.",
    )
    inet_protocols = words("all", "Which Internet protocols are used: all, ipv4, ipv6, or a list of them.")
    proxy_interfaces = words(
        "",
        "Addresses at which this machine receives mail through a proxy or address translator. List them, or mail "
        "that is routed to such an address may loop.",
    )
    mail_name = text(
        "Estafeta",
        "The name of the mail system, which appears in the SMTP greeting, in Received headers and in bounces.",
        least=1,
    )
    mail_version = text("", "The version of the mail system, as greetings and reports show it when asked to.")
    mail_release_date = text("", "The date of this version, eight digits: year, month, day.")
    compatibility_level = text(
        "0",
        "The release of Postfix whose defaults apply, as in 3.6: some defaults became safer over time, and an older "
        "level keeps the former ones, with a warning where that matters. A site that has dealt with the warnings "
        "sets the newest level.",
    )
    process_id = text(
        "",
        "The number of the process that reads the configuration. It is there to be used in other values and cannot "
        "be set.",
    )
    process_name = text(
        "",
        "The name of the program that reads the configuration. It is there to be used in other values and cannot be "
        "set.",
    )
    service_name = text(
        "",
        "The name of the master.cf service that reads the configuration. It is there to be used in other values, "
        "and master sets it.",
    )
    stress = text(
        "",
        'Is "yes" while all server processes of a service are busy, and empty otherwise. Other values use it, as in '
        "${stress?{10}:{300}}, to be less patient under load. Of services that other machines reach, we know it; for "
        "others, or to decide it yourself, set it with -o in master.cf.",
    )
    parent_domain_matches_subdomains = words(
        "debug_peer_list,fast_flush_domains,mynetworks,permit_mx_backup_networks,qmqpd_authorized_clients,"
        "relay_domains,smtpd_access_maps",
        'Lists in which "example.com" also stands for everything below it. In other lists this is written '
        '".example.com".',
    )
    known_tcp_ports = words(
        "lmtp=24, smtp=25, smtps=submissions=465, submission=587",
        "Names of TCP ports that are known without asking the system's services file, as in smtp=25.",
    )
    helpful_warnings = flag(
        "yes", "Whether to warn about configurations that are legal but hardly what their author meant."
    )
