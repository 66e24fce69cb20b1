"""Taking mail in: limits, headers, content patterns, MIME. What cleanup(8) does in Postfix."""

from __future__ import annotations

from ..kinds import choice, flag, number, seconds, text, words


class MessageLimits:
    """How large a message and its parts may be."""

    message_size_limit = number("10240000", "How large a message may be, in bytes, with its envelope. 0 for no limit.")
    header_size_limit = number(
        "102400",
        "How long one header may be, in bytes; the rest of a longer one is cut off.",
        least=1,
    )
    header_address_token_limit = number(
        "10240",
        "How many pieces of an address header are looked at when addresses in it are rewritten; what follows is "
        "left out.",
        least=1,
    )
    hopcount_limit = number(
        "50",
        "How many Received headers a message may have. More mean that it goes in circles, and it is returned.",
        least=1,
    )
    line_length_limit = number(
        "2048",
        "The longest piece of a line that is handled at once, in bytes. Longer lines are taken in pieces.",
        least=512,
    )
    queue_file_attribute_count_limit = number(
        "100",
        "How many attributes a Postfix queue file may give about one message. Our envelope has a bounded size, so "
        "this has no effect.",
        least=1,
    )
    duplicate_filter_limit = number(
        "1000",
        "How many recipients are remembered so that one who is named twice gets the message once. 0 for no limit.",
    )
    in_flow_delay = seconds(
        "1s",
        "How long a new message waits, at most, while the active queue is full and other new mail waits for room in "
        "it. It counts for mail from everywhere, one's own included. 0 turns the brake off.",
        most=10,
    )


class Headers:
    """Headers that are added, removed or completed."""

    always_add_missing_headers = flag(
        "no",
        "Whether missing From, To, Date and Message-Id headers are added to all mail. With no, only mail that "
        "starts at this system gets them.",
    )
    undisclosed_recipients_header = text(
        "",
        'The header to add to a message without any To or Cc header, in the form "To: text;". Empty adds none.',
    )
    message_drop_headers = words(
        "bcc, content-length, resent-bcc, return-path",
        "Headers that are removed from all mail that comes in.",
    )
    enable_original_recipient = flag(
        "yes",
        "Whether the recipient address before aliases were applied is kept, for X-Original-To headers and to tell "
        "duplicates apart.",
    )
    header_from_format = choice(
        "standard",
        'How a full name is put into a From header that we write: standard, as in "name <address>", or obsolete, as '
        'in "address (name)".',
        "standard obsolete",
    )
    full_name_encoding_charset = text(
        "utf-8",
        "The character set of full names with other than ASCII letters, in a From header that we write.",
    )
    non_empty_end_of_header_action = choice(
        "fix_quietly",
        "What to do when headers end with a line that is neither header nor empty: fix_quietly puts an empty line "
        "before it, add_header also notes it in a header, reject refuses the message.",
        "fix_quietly add_header reject",
    )
    cleanup_replace_stray_cr_lf = flag(
        "yes",
        "Whether a lone carriage return or line feed inside a line is replaced by a space, so that it can never "
        "pass for a line end elsewhere.",
    )
    message_reject_characters = text(
        "",
        "Characters that no message may contain, such as \\0; a message with one is refused.",
    )
    message_strip_characters = text("", "Characters that are removed from every message, such as \\0.")


class ContentChecks:
    """Patterns for headers and body lines, and filters outside."""

    header_checks = words(
        "",
        "Tables of patterns for message headers. A match can reject, discard, hold, redirect, filter, replace, "
        "prepend, warn and more.",
        pending=True,
    )
    mime_header_checks = words("$header_checks", "Tables of patterns for MIME headers.", pending=True)
    nested_header_checks = words(
        "$header_checks",
        "Tables of patterns for the headers of attached messages.",
        pending=True,
    )
    body_checks = words("", "Tables of patterns for body lines, one line at a time.", pending=True)
    body_checks_size_limit = number(
        "51200",
        "How much of each MIME part is shown to the body patterns, in bytes.",
        pending=True,
    )
    content_filter = text(
        "",
        "The transport, with next hop, of an outside filter that all mail goes through after it was accepted.",
    )
    default_filter_nexthop = text(
        "",
        "The next hop for filter transports that name none. Empty uses the recipient's domain.",
    )
    receive_override_options = words(
        "",
        "Work to leave out when mail comes in, as behind a filter: no_unknown_recipient_checks, "
        "no_address_mappings, no_header_body_checks, no_milters.",
        among="no_unknown_recipient_checks no_address_mappings no_header_body_checks no_milters",
    )
    internal_mail_filter_classes = words(
        "",
        "Which mail that this system writes itself is also inspected: bounce, notify.",
        pending=True,
    )


class Mime:
    """Reading and converting MIME."""

    disable_mime_input_processing = flag(
        "no",
        "Whether incoming mail is taken as plain headers and body, without any look at its MIME structure.",
    )
    disable_mime_output_conversion = flag(
        "no",
        "Whether 8-bit mail is sent as it is to servers that did not offer 8BITMIME. With no, it is converted to "
        "quoted-printable.",
    )
    force_mime_input_conversion = flag(
        "no",
        "Whether 8-bit mail is converted to 7 bits as it comes in, before anything signs it.",
    )
    detect_8bit_encoding_header = flag(
        "yes",
        "Whether the Content-Transfer-Encoding headers of a message decide that it is 8-bit mail.",
    )
    mime_boundary_length_limit = number(
        "2048",
        "How many characters of a MIME boundary are compared.",
        least=1,
    )
    mime_nesting_limit = number(
        "100",
        "How deep MIME parts may be nested; what is deeper is not taken apart.",
        least=1,
    )
    strict_7bit_headers = flag("no", "Whether mail with 8-bit characters in its headers is refused.")
    strict_8bitmime = flag(
        "no",
        "Whether mail with 8-bit characters is refused where MIME does not allow them, in headers and in body.",
    )
    strict_8bitmime_body = flag("no", "Whether 8-bit content is refused that no MIME header announces.")
    strict_mime_encoding_domain = flag(
        "no",
        "Whether mail is refused that puts an encoding other than 7bit, 8bit or binary on parts that hold other parts.",
    )


class Smtputf8:
    """Addresses and headers beyond ASCII (RFC 6531)."""

    smtputf8_enable = flag(
        "${{$compatibility_level} <level {1} ? {no} : {yes}}",
        "Whether addresses and headers in UTF-8 are supported. With no, they are handled as bytes, without promises.",
    )
    strict_smtputf8 = flag(
        "no",
        "Whether UTF-8 in envelope addresses is refused when the client did not ask for SMTPUTF8.",
    )
    smtputf8_autodetect_classes = words(
        "sendmail, verify",
        "For which mail a need for SMTPUTF8 is found out by looking at it: sendmail, smtpd, qmqpd, forward, bounce, "
        "notify, verify, or all.",
        least=1,
        among="sendmail smtpd qmqpd forward bounce notify verify all",
    )
