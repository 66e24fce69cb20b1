"""Lookup tables: the types used by default, sizes, and the settings of Berkeley DB and proxymap that no longer act."""

from __future__ import annotations

from ..kinds import choice, flag, number, text, words


class LookupTables:
    """What holds for tables of every kind."""

    default_database_type = text(
        "hash",
        "The table type that postmap, postalias and newaliases make when none is written, and that defaults such as "
        "alias_maps name.",
        least=1,
    )
    default_cache_db_type = text(
        "btree",
        "The table type of the caches that programs write for themselves: btree, hash, lmdb or internal.",
    )
    lmdb_map_size = number(
        "16777216",
        "How large an LMDB table may be at first, in bytes. It grows by itself when it is full.",
        least=1,
    )
    berkeley_db_create_buffer_size = number(
        "16777216",
        "How much memory Berkeley DB uses to make a table, in bytes. Our hash and btree tables are LMDB files, so "
        "this has no effect.",
        least=1,
    )
    berkeley_db_read_buffer_size = number(
        "131072",
        "How much memory Berkeley DB uses to read a table, in bytes. Our hash and btree tables are LMDB files, so "
        "this has no effect.",
        least=1,
    )
    socketmap_max_query_size = number(
        "10000",
        "How long a query to a socketmap server may be, in bytes. A longer one is answered as not found, with a "
        "warning.",
        least=1,
    )
    socketmap_max_reply_size = number(
        "100000",
        "How long a reply of a socketmap server may be, in bytes. A longer one counts as a failure.",
        least=1,
    )
    proxy_read_maps = words(
        "$local_recipient_maps $mydestination $virtual_alias_maps $virtual_alias_domains "
        "$virtual_mailbox_maps $virtual_mailbox_domains $relay_recipient_maps $relay_domains $canonical_maps "
        "$sender_canonical_maps $recipient_canonical_maps $relocated_maps $transport_maps $mynetworks "
        "$smtpd_sender_login_maps $sender_bcc_maps $recipient_bcc_maps $smtp_generic_maps $lmtp_generic_maps "
        "$alias_maps $smtpd_client_restrictions $smtpd_helo_restrictions $smtpd_sender_restrictions "
        "$smtpd_relay_restrictions $smtpd_recipient_restrictions "
        "$address_verify_sender_dependent_default_transport_maps "
        "$address_verify_sender_dependent_relayhost_maps $address_verify_transport_maps "
        "$fallback_transport_maps $lmtp_discard_lhlo_keyword_address_maps $lmtp_pix_workaround_maps "
        "$lmtp_sasl_password_maps $lmtp_tls_policy_maps $mailbox_command_maps $mailbox_transport_maps "
        "$postscreen_discard_ehlo_keyword_address_maps $rbl_reply_maps "
        "$sender_dependent_default_transport_maps $sender_dependent_relayhost_maps "
        "$smtp_discard_ehlo_keyword_address_maps $smtp_pix_workaround_maps $smtp_sasl_password_maps "
        "$smtp_tls_policy_maps $smtpd_discard_ehlo_keyword_address_maps $smtpd_milter_maps $virtual_gid_maps "
        "$virtual_uid_maps $local_login_sender_maps $postscreen_reject_footer_maps $smtpd_reject_footer_maps "
        "$tls_server_sni_maps $tlsproxy_client_policy_maps $default_delivery_status_filter "
        "$lmtp_delivery_status_filter $lmtp_dns_reply_filter $lmtp_reply_filter $local_delivery_status_filter "
        "$pipe_delivery_status_filter $postscreen_command_filter $smtp_delivery_status_filter "
        "$smtp_dns_reply_filter $smtp_reply_filter $smtpd_command_filter $smtpd_dns_reply_filter "
        "$virtual_delivery_status_filter $body_checks $header_checks $lmtp_body_checks $lmtp_header_checks "
        "$lmtp_mime_header_checks $lmtp_nested_header_checks $milter_header_checks $mime_header_checks "
        "$nested_header_checks $smtp_body_checks $smtp_header_checks $smtp_mime_header_checks "
        "$smtp_nested_header_checks $smtpd_reject_filter_maps $debug_peer_list $smtpd_etrn_restrictions "
        "$fast_flush_domains $authorized_flush_users $lmtp_connection_cache_destinations "
        "$local_header_rewrite_clients $masquerade_exceptions $postscreen_access_list "
        "$postscreen_allowlist_interfaces $postscreen_forbidden_commands $qmqpd_authorized_clients "
        "$authorized_mailq_users $smtp_connection_cache_destinations $smtpd_log_access_permit_actions "
        "$smtpd_forbidden_commands $smtpd_client_event_limit_exceptions $smtpd_sasl_exceptions_networks "
        "$smtpd_sasl_mechanism_filter $smtp_requiretls_policy $smtp_sasl_mechanism_filter "
        "$authorized_submit_users $smtpd_authorized_verp_clients $smtpd_authorized_xclient_hosts "
        "$smtpd_authorized_xforward_hosts $lmtp_tls_loglevel_maps $postscreen_tls_loglevel_maps "
        "$smtp_tls_loglevel_maps $smtpd_tls_loglevel_maps",
        "The tables that may be opened for reading as proxy:type:name. Our programs open them themselves, before they "
        "give up their rights; one that is named with proxy: and is not in the list is not opened all the same.",
    )
    proxy_write_maps = words(
        "$smtp_sasl_auth_cache_name $lmtp_sasl_auth_cache_name $address_verify_map $postscreen_cache_map",
        "The tables that may be opened for writing as proxy:type:name. Our programs write their caches themselves; one "
        "that is named with proxy: and is not in the list is not opened all the same.",
    )


class BerkeleyMigration:
    """How Postfix moves from Berkeley DB to other tables. We read and rebuild old tables without this."""

    non_bdb_migration_level = choice(
        "disable",
        "How far Postfix goes in replacing Berkeley DB tables. Ours are replaced in any case: a foreign or missing "
        "index is rebuilt from its source, so this has no effect.",
        "disable enable-redirect enable-reindex",
    )
    non_bdb_migration_log_redirect = flag(
        "yes",
        "Whether Postfix logs each use of another table type in place of a Berkeley DB one. It has no effect here.",
    )
    non_bdb_custom_mapping = words(
        "",
        "Which table types Postfix puts in place of Berkeley DB ones. Here hash and btree always mean an LMDB "
        "index, so it has no effect.",
    )
    non_bdb_migration_allow_root_prefixes = words(
        "/etc /usr/local/etc",
        "Directories in which Postfix's service makes new indexes for tables that root owns. Here postmap, "
        "newaliases and the reading programs make them, so it has no effect.",
    )
    non_bdb_migration_allow_user_prefixes = words(
        "$data_directory /var/lib/mailman /var/lib/mailman3",
        "Directories in which Postfix's service makes new indexes for tables of ordinary users. Here postmap, "
        "newaliases and the reading programs make them, so it has no effect.",
    )
    non_bdb_migration_service_name = text(
        "nbdb_reindex",
        "The service in Postfix that makes new indexes. The entry is accepted in master.cf and its work is done by "
        "the reading programs. The name has no effect.",
    )
