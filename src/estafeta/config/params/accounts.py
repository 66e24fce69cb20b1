"""Checking passwords: how much work goes into logins that this system checks itself. Parameters of our own."""

from __future__ import annotations

from ..kinds import number, seconds


class Accounts:
    """smtpd_sasl_type = estafeta and cyrus; a Dovecot server has settings of its own."""

    estafeta_auth_failure_delay = seconds(
        "2s",
        "How long a client waits for the answer to a wrong password, a quarter more or less at random. Twice as long "
        "after each further failure, up to eight times. 0 for no delay.",
        most=120,
    )
    estafeta_auth_threads = number(
        "4",
        "How many passwords one process checks at the same time.",
        least=1,
        most=64,
    )
    estafeta_auth_queue = number(
        "100",
        "How many logins may wait for their password to be checked; those beyond are asked to try later.",
    )
    estafeta_auth_cache_time = seconds(
        "60s",
        "How long a password that was right is not computed again (of slow hashes), or not asked for again (PAM, OAuth "
        "tokens). 0 to check each login.",
    )
