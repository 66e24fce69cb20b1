"""How many processes share the clients of one service.

A message passes through two busy services, as a rule (smtpd, then smtp or virtual), and through qmgr. So each service
gets half of the CPUs: more processes than CPUs only make smaller batches, each with a sync of its own. Measured in
docs/performance.md.
"""

from __future__ import annotations

import os

from estafeta.config.instance import Config


def worker_processes(conf: Config, maxproc: int) -> int:
    """The most processes of a service whose `maxproc` is given (0: no limit)."""
    count = conf.estafeta_worker_processes or (len(os.sched_getaffinity(0)) + 1) // 2
    return min(count, maxproc) if maxproc else count
