"""The queue: how long mail stays, when it is tried again, and how it is stored."""

from __future__ import annotations

from ..kinds import flag, number, seconds, words


class Queue:
    """Lifetimes, retries and storage."""

    maximal_queue_lifetime = seconds(
        "5d",
        "How long a message may stay deferred before it is returned to its sender. 0 tries once.",
        most=8640000,
    )
    bounce_queue_lifetime = seconds(
        "5d",
        "How long a bounce may stay deferred before it is given up. 0 tries once.",
        most=8640000,
    )
    minimal_backoff_time = seconds(
        "300s",
        "The shortest time between two attempts to deliver a message. Destinations that cannot be reached are left "
        "alone for this long as well.",
        least=1,
    )
    maximal_backoff_time = seconds(
        "4000s",
        "The longest time between two attempts to deliver a message. Between the two limits, a message waits as "
        "long again as it has been waiting.",
        least=1,
    )
    queue_run_delay = seconds(
        "300s",
        "How often the deferred mail is looked through for messages whose time has come. It should not be longer "
        "than the shortest time between attempts.",
        least=1,
    )
    transport_retry_time = seconds("60s", "After how long a transport that did not work is tried again.", least=1)
    qmgr_message_active_limit = number(
        "20000",
        "How many messages the queue manager works on at the same time; further ones wait on disk.",
        least=1,
    )
    qmgr_message_recipient_limit = number(
        "20000",
        "How many recipients the queue manager holds in memory, over all messages; further ones wait on disk.",
        least=1,
    )
    qmgr_message_recipient_minimum = number(
        "10",
        "How many recipients of each message are held in memory even when the limit is reached, so that every "
        "message moves on.",
        least=1,
    )
    qmgr_fudge_factor = number(
        "100",
        "How much of the delivery power one large message could claim, in percent, in an earlier Postfix scheduler. "
        "It has no effect.",
        least=10,
        most=100,
        obsolete=True,
    )
    qmgr_clog_warn_time = seconds(
        "300s",
        "How often at the most to warn that one destination fills up the active queue. 0 never warns.",
    )
    qmgr_daemon_timeout = seconds(
        "1000s",
        "How long the queue manager may be stuck on one thing before it is ended and started anew.",
        least=1,
    )
    qmgr_ipc_timeout = seconds(
        "60s",
        "How long the queue manager waits for an answer from a service that should answer at once. Deliveries "
        "themselves may take longer.",
        least=1,
    )
    queue_minfree = number(
        "0",
        "How much space must be free where the queue is, in bytes, for mail to be accepted. With 0, one and a half "
        "times the message size limit must be.",
    )
    hash_queue_names = words(
        "deferred, defer",
        "Postfix queues that are spread over subdirectories. Our spool needs this only for deferred and held mail, "
        "and does it by itself.",
        least=1,
    )
    hash_queue_depth = number(
        "1",
        "How many levels of subdirectories Postfix uses for the queues named above. Our spool decides this by itself.",
        least=1,
    )
    enable_long_queue_ids = flag(
        "no",
        "Whether queue ids are long and never used twice, instead of short ones that may come back when a message "
        "is gone.",
    )
    estafeta_large_message = number(
        "1048576",
        "From how many bytes on a message is written to a file of its own as it comes in, instead of being held in "
        "memory and added to a journal.",
        least=1,
    )
    estafeta_segment_size = number(
        "8388608",
        "The size in bytes at which a journal of incoming mail is closed and the next one begun. It is removed when "
        "all of its messages are delivered.",
        least=65536,
    )
    estafeta_progress_sync = seconds(
        "1s",
        "How often at the least the record of finished deliveries is made durable. A crash repeats at most the "
        "deliveries of this time.",
        least=1,
    )
