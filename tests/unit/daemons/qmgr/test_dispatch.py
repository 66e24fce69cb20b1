"""Where recipients go: filters, probes of verify(8), questions of sendmail -bv."""

from __future__ import annotations

from estafeta.mail.envelope import TRACE_PROBE, TRACE_VERIFY, Recipient
from estafeta.services.verify import BOUNCE, DEFER, OK

from .post_office import BOUNCED, DEFERRED, SENT, PostOffice, run

PROBE = TRACE_VERIFY | TRACE_PROBE


def test_a_content_filter_asks_no_table_about_recipients() -> None:
    async def case(post: PostOffice, lines: list[str]) -> None:
        post.letter("a@down", "b@x", content_filter="lmtp:unix:filter")
        await post.settle()
        assert post.delivered == [("lmtp", "Q1", ["a@down", "b@x"])]
        assert post.agent.seen[0].nexthop == "unix:filter"

    run(case)


def test_a_filter_without_next_hop_gets_the_recipients_domain_or_what_the_administrator_says() -> None:
    async def case(post: PostOffice, lines: list[str]) -> None:
        post.letter("b@x", "bare", content_filter="smtp:")
        await post.settle()
        assert sorted(each.nexthop for each in post.agent.seen) == ["host.example.com", "x"]

    run(case)

    async def with_default(post: PostOffice, lines: list[str]) -> None:
        post.letter("b@x", content_filter="smtp")
        await post.settle()
        assert post.agent.seen[0].nexthop == "[filter]:26"

    run(with_default, default_filter_nexthop="[filter]:26")


def test_a_question_about_an_address_does_not_go_to_the_filter() -> None:
    async def case(post: PostOffice, lines: list[str]) -> None:
        post.letter("b@x", content_filter="lmtp:unix:filter", trace=TRACE_VERIFY)
        await post.settle()
        assert post.delivered == [("smtp", "Q1", ["b@x"])]

    run(case)


def test_a_probe_has_its_own_routing_and_its_outcome_goes_to_verify() -> None:
    async def case(post: PostOffice, lines: list[str]) -> None:
        for answer, status in ((SENT, OK), (DEFERRED, DEFER), (BOUNCED, BOUNCE)):
            post.agent.answer = lambda delivery, answer=answer: [answer]  # type: ignore[misc]
            post.letter(Recipient("a@x", "alias@here", orcpt="rfc822;alias@here"), trace=PROBE)
            await post.settle()
            assert sorted(post.verifier.told) == [("a@x", status, answer.text), ("alias@here", status, answer.text)]
            post.verifier.told.clear()
        assert [transport for transport, _, _ in post.delivered] == ["probes"] * 3
        assert post.keeper.released == ["Q1", "Q2", "Q3"]
        assert post.reporter.asked == []
        assert post.queue.probes == 0

    run(case)


def test_a_probe_is_made_again_when_verify_was_away() -> None:
    async def case(post: PostOffice, lines: list[str]) -> None:
        post.verifier.away = True
        post.letter("a@x", trace=PROBE)
        await post.settle()
        assert "verify service failure" in lines[-1]
        assert post.keeper.released == []
        assert "deferred/Q1" in post.keeper.files
        post.verifier.away = False
        await post.later(400)
        assert post.verifier.told == [("a@x", OK, SENT.text)]
        assert post.keeper.released == ["Q1"]

    run(case)


def test_only_so_many_probes_are_under_way() -> None:
    async def case(post: PostOffice, lines: list[str]) -> None:
        post.agent.answer = lambda delivery: None
        post.letter("a@x", trace=PROBE)
        post.letter("b@x", trace=PROBE)
        post.letter("c@x")
        await post.settle()
        assert [transport for transport, _, _ in post.delivered if transport != "retry"] == ["probes", "smtp"]
        assert post.verifier.told == [("b@x", DEFER, "Too many address verification requests")]

    run(case, address_verify_pending_request_limit="1")


def test_a_probe_of_the_double_bounce_address_is_answered_here() -> None:
    async def case(post: PostOffice, lines: list[str]) -> None:
        post.letter("double-bounce@here", trace=PROBE)
        post.probe_routing.transports["here"] = ("local", "here")
        await post.settle()
        text = "undeliverable postmaster notification discarded"
        assert post.verifier.told == [("double-bounce@here", OK, text)]
        assert any(f"status=deliverable ({text})" in line for line in lines)

    run(case)
