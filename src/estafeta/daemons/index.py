"""Every program that master.cf may name, and where its service class is. Imported on first use.

The value is `module:Class`, a subclass of skeleton.service.Service; None for a program whose work is done
in-process elsewhere (DESIGN section 3): its entry is accepted and no process runs.
"""

PROGRAMS: dict[str, str | None] = {
    "smtpd": "estafeta.daemons.smtpd.service:SmtpdService",
    "qmgr": "estafeta.daemons.qmgr.service:QmgrService",
    "oqmgr": "estafeta.daemons.qmgr.service:QmgrService",
    "nqmgr": "estafeta.daemons.qmgr.service:QmgrService",
    "cleanup": "estafeta.daemons.cleanup:CleanupService",
    "pickup": "estafeta.daemons.pickup:PickupService",
    "smtp": "estafeta.daemons.smtp.service:SmtpService",
    "lmtp": "estafeta.daemons.smtp.service:SmtpService",
    "local": "estafeta.daemons.local.service:LocalService",
    "virtual": "estafeta.daemons.virtual:VirtualService",
    "error": "estafeta.daemons.error:ErrorService",
    "discard": "estafeta.daemons.discard:DiscardService",
    "bounce": "estafeta.daemons.bounce.service:BounceService",
    "showq": "estafeta.daemons.showq:ShowqService",
    "verify": "estafeta.daemons.verify.service:VerifyService",
    "flush": "estafeta.daemons.flush.service:FlushService",
    "anvil": "estafeta.daemons.anvil.service:AnvilService",
    "qmqpd": "estafeta.daemons.qmqpd.service:QmqpdService",
    "postscreen": "estafeta.daemons.postscreen.service:PostscreenService",
    "postlogd": "estafeta.daemons.postlogd:PostlogdService",
    "trivial-rewrite": None,
    "proxymap": None,
    "scache": None,
    "tlsmgr": None,
    "dnsblog": None,
    "tlsproxy": None,
    "nbdb_reindexd": None,
}

LATER: dict[str, str] = {
    "pipe": "delivery to commands",
    "spawn": "running a command for each connection",
}
"""Programs that are accepted in master.cf but whose behaviour does not exist yet: master warns once at start, and the
skeleton answers a delivery request for them with Deferred and this reason."""

AGENTS = frozenset({"smtp", "lmtp", "local", "virtual", "error", "discard", "pipe"})
"""Delivery agents: one connection, from qmgr, carries many deliveries. Their maxproc counts deliveries, and a process
that has its connection leaves the next one to another process, except the last one that there may be: agents that pass
mail on have to be served too."""

SINGLE = frozenset({"qmgr", "oqmgr", "nqmgr", "pickup", "postlogd", "postscreen", "verify", "anvil"})
"""Programs of which only one process may run, whatever maxproc says. On reload the new one waits for the old one's
end."""

UNCOUNTED = frozenset({"postscreen", "verify", "anvil"})
"""Programs that serve many clients in Postfix, too: maxproc, 1 by custom, counts their processes, not the clients."""

RESIDENT = frozenset({"qmgr", "oqmgr", "nqmgr", "verify", "anvil"})
"""Programs that stay although they have nothing to do."""

UNAVAILABLE_AGENT = "estafeta.daemons.unavailable:UnavailableAgent"
"""Stands in for a delivery agent of LATER: every delivery is put off, with the reason."""
