"""Processes: how many, how long, what they call one another, and what happens when one is lost.

Service processes here serve many clients each, so some of Postfix's limits on single-client processes have nothing
to act on. They are accepted, and their text says so.
"""

from __future__ import annotations

from ..kinds import flag, number, seconds, text, words


class Processes:
    """What master and every service program go by."""

    default_process_limit = number(
        "100",
        "How many clients (or deliveries) a service serves at the same time when its master.cf entry does not say. "
        "It bounds work, not processes: see estafeta_worker_processes.",
        least=1,
    )
    estafeta_worker_processes = number(
        "0",
        "How many processes share the load of one service. 0 takes half of the CPUs, since mail on its way keeps two "
        "services busy; never more are started than the service may have clients.",
    )
    max_use = number(
        "100",
        "After how many requests a Postfix process ends and makes room for a fresh one. Our processes stay, so this "
        "has no effect.",
        least=1,
    )
    max_idle = seconds(
        "100s",
        "How long a Postfix process waits for work before it ends. Ours serve many clients and stay, so this has no "
        "effect.",
        least=1,
    )
    fork_attempts = number(
        "5",
        "How often master tries to start a process that the system refuses it, before the service waits for "
        "service_throttle_time.",
        least=1,
    )
    fork_delay = seconds(
        "1s", "The pause between two attempts to start a process. Other services go on in the meantime.", least=1
    )
    service_throttle_time = seconds(
        "60s",
        "How long master waits before it starts a service again whose process ended in trouble.",
        least=1,
    )
    daemon_timeout = seconds(
        "18000s",
        "How long a service process may spend on one request before it counts as stuck and is ended.",
        least=1,
    )
    application_event_drain_time = seconds(
        "100s", "How long postkick waits for a service to take up the request that it sent.", least=1
    )
    master_service_disable = words(
        "",
        'Services of master.cf that are switched off: "inet" for a type, "smtp/inet" for one service, and !pattern '
        "for exceptions.",
    )
    import_environment = words(
        "MAIL_CONFIG MAIL_DEBUG MAIL_LOGTAG TZ XAUTHORITY DISPLAY LANG=C POSTLOG_SERVICE POSTLOG_HOSTNAME "
        "XDG_RUNTIME_DIR",
        "Environment variables that programs take over from whoever starts them, and name=value settings that are "
        "always made.",
    )
    export_environment = words(
        "TZ MAIL_CONFIG LANG",
        "Environment variables that commands and other programs outside the mail system get from us, and name=value "
        "settings.",
        pending=True,
    )
    daemon_table_open_error_is_fatal = flag(
        "no",
        "Whether a program ends when a table cannot be opened. With no, it goes on, and whatever needs the table is "
        'answered "try later".',
    )
    trigger_timeout = seconds(
        "10s",
        "How long a program tries to wake up another one, such as the queue manager when new mail came.",
        least=1,
    )
    ipc_timeout = seconds(
        "3600s",
        "How long a request to another program of the mail system may take before it counts as lost.",
        least=1,
    )
    ipc_idle = seconds(
        "5s",
        "After what idle time Postfix closes a connection between its programs. Our connections carry many requests "
        "at once and stay open, so this has no effect.",
        least=1,
    )
    ipc_ttl = seconds(
        "1000s",
        "How old a connection between Postfix programs may become. Our connections stay open, so this has no effect.",
        least=1,
    )
    debugger_command = text(
        "",
        "A shell command that is run when a process of a service with -D in master.cf starts, or master with -D. It "
        "may name $process_id and $process_name, and $$ is a dollar sign. The process waits until the command ends: "
        "put a debugger into the background and a sleep behind it.",
    )
    debug_peer_list = words(
        "",
        "Clients and servers whose conversations are logged, each command and each reply: names, addresses, networks "
        "or tables.",
    )
    debug_peer_level = number(
        "2",
        "How much is logged for the hosts in the debug list: with 1 the conversation, from 2 on also each question to "
        "a table while we deal with them, and its answer.",
        least=1,
    )
    fault_injection_code = number(
        "0",
        "Which failure Postfix's programs pretend to have, for tests of Postfix itself. Our tests cause failures from "
        "outside, so this has no effect.",
    )
    dont_remove = number(
        "0",
        "For finding errors in the mail system itself: with other than 0, messages that are finished are moved to "
        "the folder saved/ of the queue instead of being removed. Nothing ever removes them there.",
    )


class ServiceNames:
    """The names in master.cf under which programs find one another."""

    bounce_service_name = text("bounce", "The service that records and reports mail that cannot be delivered.", least=1)
    defer_service_name = text("defer", "The service that records why mail has to wait.", least=1)
    trace_service_name = text("trace", "The service that reports deliveries that a sender asked about.", least=1)
    cleanup_service_name = text(
        "cleanup",
        "The service that takes in new mail. Its `-o` options in master.cf apply where the same work is done inside "
        "smtpd and pickup.",
        least=1,
    )
    rewrite_service_name = text(
        "rewrite",
        "The service that rewrites and routes addresses. The work is done inside the programs that need it, with "
        "the `-o` options of this entry.",
        least=1,
    )
    queue_service_name = text("qmgr", "The service that manages the queue, qmgr.", least=1)
    pickup_service_name = text("pickup", "The service that collects mail from the sendmail command.", least=1)
    showq_service_name = text("showq", "The service that lists the queue.", least=1)
    error_service_name = text(
        "error",
        "The service that returns all mail it is given. The queue manager hands it mail that cannot go anywhere.",
        least=1,
    )
    flush_service_name = text(
        "flush",
        "The service that keeps account of the mail that waits for each domain, for ETRN.",
        least=1,
    )
    smtpd_service_name = text(
        "smtpd",
        "The service that postscreen hands clients to who passed its tests.",
        least=1,
    )
    postlog_service_name = text("postlog", "The service that writes the log file for all others.", least=1)
    connection_cache_service_name = text(
        "scache",
        "The service that keeps connections in Postfix. Each of our worker processes keeps its own, so the name is "
        "not used.",
        least=1,
    )
    proxymap_service_name = text(
        "proxymap",
        "The service that reads tables for others in Postfix. Our programs open tables before they give up their "
        "rights, so the name is not used.",
        least=1,
    )
    proxywrite_service_name = text(
        "proxywrite",
        "The service that writes tables for others in Postfix. Our programs write their own, so the name is not used.",
        least=1,
    )
    tlsmgr_service_name = text(
        "tlsmgr",
        "The service that keeps keys and sessions for TLS in Postfix. Here the programs do this themselves, so the "
        "name is not used.",
        least=1,
    )
    tlsproxy_service_name = text(
        "tlsproxy",
        "The service that encrypts for others in Postfix. Here the programs do this themselves, so the name is not "
        "used.",
        least=1,
    )
    dnsblog_service_name = text(
        "dnsblog",
        "The service that makes DNS list queries for postscreen in Postfix. Here postscreen makes them itself, so "
        "the name is not used.",
        least=1,
    )


class ConnectionCache:
    """Limits of Postfix's common store of open connections."""

    connection_cache_ttl_limit = seconds(
        "2s",
        "The longest time that any client's idle connection may be kept, whatever the client asks for.",
        least=1,
    )
    connection_cache_protocol_timeout = seconds(
        "5s",
        "How long a client waits for Postfix's store of connections. Each of our worker processes keeps its own, so "
        "this has no effect.",
        least=1,
    )
    connection_cache_status_update_time = seconds(
        "600s",
        "How often Postfix's store of connections logs how much it was used. Each of our worker processes keeps its "
        "own, so this has no effect.",
        least=1,
    )
