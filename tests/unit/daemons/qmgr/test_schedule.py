import random
from collections import Counter

import pytest
from tests.talk.stage import logged

from estafeta.config.instance import Config
from estafeta.daemons.qmgr.limits import Limits, bad_feedback, feedback, log_feedback
from estafeta.daemons.qmgr.schedule import Entry, Job, Transport


class Post:
    """A transport under test: messages are numbers in the order of arrival."""

    def __init__(self, **limits: object) -> None:
        self.transport = Transport("smtp", Limits(**limits))  # type: ignore[arg-type]
        self.count = 0
        self.now = 1000.0

    def letter(self, *domains: str) -> Job:
        self.count += 1
        job = self.transport.job(self.count, self.count, self.now)
        for index, domain in enumerate(domains):
            self.transport.add(job, self.transport.destination(domain, domain), index, f"u{index}@{domain}")
        self.transport.enlist(job)
        return job

    def next(self) -> Entry | None:
        return self.transport.next(self.now)

    def done(self, entry: Entry, dead: bool = False) -> list[Entry]:
        return self.transport.finished(entry, self.now, ("4.4.1", "refused") if dead else None)

    def sequence(self, most: int = 10_000) -> str:
        """One delivery after the other: which message each time."""
        order = ""
        while len(order) < most and (entry := self.next()) is not None:
            order += str(entry.job.message)
            self.done(entry)
        return order


def test_jobs_go_in_the_order_of_arrival() -> None:
    post = Post()
    for domain in "abcab":
        post.letter(domain)
    assert post.sequence() == "12345"
    assert not post.transport.destinations
    assert post.transport.todo == post.transport.recipients == post.transport.busy == 0


def test_recipients_of_one_destination_share_a_delivery_up_to_the_limit() -> None:
    post = Post(recipients=2)
    post.letter("a", "b", "a", "a")
    sizes = Counter[str]()
    while (entry := post.next()) is not None:
        sizes[f"{entry.destination.name}{entry.recipients}"] += 1
        post.done(entry)
    assert sizes == {"a[0, 2]": 1, "a[3]": 1, "b[1]": 1}


def test_no_more_than_the_initial_concurrency_at_first_then_the_window_grows_to_the_limit() -> None:
    post = Post(initial_concurrency=2, concurrency=4, positive=feedback("1"), recipients=1)
    post.letter(*["a"] * 50)
    running = [entry for _ in range(3) if (entry := post.next()) is not None]
    assert len(running) == 2
    for _ in range(10):
        post.done(running.pop(0))
        while (entry := post.next()) is not None:
            running.append(entry)
    assert len(running) == 4


def test_a_full_destination_does_not_stop_the_others() -> None:
    post = Post(initial_concurrency=1, concurrency=1)
    post.letter("a")
    post.letter("a")
    post.letter("b")
    first, second = post.next(), post.next()
    assert first is not None and second is not None
    assert (first.job.message, second.job.message, post.next()) == (1, 3, None)
    post.done(first)
    third = post.next()
    assert third is not None and third.job.message == 2


def test_the_process_limit_counts_over_all_destinations() -> None:
    post = Post(processes=2)
    for domain in "abc":
        post.letter(domain)
    first = post.next()
    assert first is not None and post.next() is not None and post.next() is None
    post.done(first)
    assert post.next() is not None


@pytest.mark.parametrize(
    ("text", "at_4"), [("1", 1.0), ("0.5", 0.5), ("1/concurrency", 0.25), ("1/sqrt_concurrency", 0.5)]
)
def test_feedback_forms(text: str, at_4: float) -> None:
    assert feedback(text)(4) == at_4


@pytest.mark.parametrize("text", ["", "2", "-1", "x", "1/2", "1/"])
def test_bad_feedback_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="bad concurrency feedback"):
        feedback(text)


def test_bad_feedback_is_told_with_its_line_and_counts_as_the_default() -> None:
    """qmgr must not end for it: all mail would stand still."""
    conf = Config.for_test(
        default_destination_concurrency_positive_feedback="2/", slow_destination_concurrency_negative_feedback="bogus"
    )
    limits = Limits.of(conf, "slow", 0)
    assert (limits.positive(4), limits.negative(4)) == (1, 1)
    told = bad_feedback(conf, ["smtp", "slow"])
    assert [text.partition(": bad")[0] for text in told] == [
        "built-in default: default_destination_concurrency_positive_feedback: "
        "ignoring malformed or unreasonable feedback: 2/",
        "built-in default: slow_destination_concurrency_negative_feedback: "
        "ignoring malformed or unreasonable feedback: bogus",
    ]


def fail_until_dead(post: Post) -> tuple[int, list[Entry]]:
    failures = 0
    while True:
        running = []
        while (entry := post.next()) is not None:
            running.append(entry)
        for entry in running:
            failures += 1
            if drained := post.done(entry, dead=True):
                return failures, drained


def test_with_the_defaults_of_postfix_three_failures_make_a_destination_dead() -> None:
    # Seen with Postfix 3.7 and destination_concurrency_feedback_debug: windows 5, 3, 2 and then the end.
    post = Post(positive=feedback("1"), negative=feedback("1"))
    for _ in range(12):
        post.letter("a")
    failures, drained = fail_until_dead(post)
    assert (failures, len(drained)) == (3, 12 - 5)
    assert post.transport.todo == 0


def test_more_cohorts_can_fail_when_the_limit_says_so() -> None:
    post = Post(negative=feedback("1/concurrency"), failed_cohorts=2)
    for _ in range(30):
        post.letter("a")
    assert fail_until_dead(post)[0] == 8


def test_a_destination_without_cohort_limit_never_dies() -> None:
    post = Post(failed_cohorts=0)
    for _ in range(50):
        post.letter("a")
    for _ in range(50):
        entry = post.next()
        assert entry is not None
        assert post.done(entry, dead=True) == []


def test_a_dead_destination_is_tried_again_after_the_backoff() -> None:
    post = Post(initial_concurrency=1, backoff=300.0)
    post.letter("a")
    post.letter("a")
    entry = post.next()
    assert entry is not None
    assert [each.job.message for each in post.done(entry, dead=True)] == [2]
    assert post.transport.destination("a", "a").dead
    assert post.transport.wake_at == 1300.0
    post.transport.tick(1299.0)
    assert post.transport.destination("a", "a").dead
    post.transport.tick(1300.0)
    assert not post.transport.destinations
    post.letter("a")
    assert post.next() is not None


def test_a_flush_forgets_dead_destinations() -> None:
    post = Post(initial_concurrency=1)
    post.letter("a")
    entry = post.next()
    assert entry is not None
    post.done(entry, dead=True)
    post.transport.flush()
    assert not post.transport.destination("a", "a").dead


def test_a_delivery_that_gets_through_revives_a_dead_destination() -> None:
    post = Post(initial_concurrency=2)
    for _ in range(4):
        post.letter("a")
    one, two = post.next(), post.next()
    assert one is not None and two is not None
    post.transport.destination("a", "a").failed_cohorts = 0.9
    assert len(post.done(one, dead=True)) == 2
    post.done(two)
    post.letter("a")
    assert post.next() is not None


def test_a_failure_narrows_the_window_at_once() -> None:
    post = Post(initial_concurrency=4, negative=feedback("1/concurrency"), failed_cohorts=9)
    for _ in range(9):
        post.letter("a")
    entry = post.next()
    assert entry is not None
    post.done(entry, dead=True)
    assert entry.destination.window == 3
    for _ in range(3):
        if (entry := post.next()) is not None:
            post.done(entry, dead=True)
    assert entry is not None and entry.destination.window == 2


def test_a_rate_delay_pauses_between_deliveries_to_one_destination() -> None:
    post = Post(rate_delay=10, concurrency=1)
    for domain in "aab":
        post.letter(domain)
    first, other = post.next(), post.next()
    assert first is not None and other is not None
    assert (first.job.message, other.job.message, post.next()) == (1, 3, None)
    post.done(first)
    assert post.next() is None
    post.now += 9
    post.transport.tick(post.now)
    assert post.next() is None
    post.now += 1
    post.transport.tick(post.now)
    second = post.next()
    assert second is not None and second.job.message == 2


def test_a_transport_rate_delay_pauses_between_all_deliveries() -> None:
    post = Post(transport_rate_delay=5)
    post.letter("a")
    post.letter("b")
    first = post.next()
    assert first is not None and post.next() is None
    post.done(first)
    assert post.next() is None
    post.now += 5
    post.transport.tick(post.now)
    assert post.next() is not None


# SCHEDULER_README: a ten-recipient mail, then two two-recipient mails, slot cost 2.


def ten_two_two(**limits: object) -> str:
    post = Post(slot_cost=2, minimum_slots=2, recipients=1, concurrency=0, initial_concurrency=1000, **limits)
    post.letter(*["a"] * 10)
    post.letter("a", "a")
    post.letter("a", "a")
    return post.sequence()


def test_a_long_job_pays_with_slots_that_it_has_collected() -> None:
    assert ten_two_two(slot_discount=0, slot_loan=0) == "11112211113311"


def test_a_discount_lets_the_short_job_go_earlier() -> None:
    assert ten_two_two(slot_discount=50, slot_loan=0) == "11221111331111"


def test_without_slot_cost_nobody_overtakes() -> None:
    post = Post(slot_cost=0, recipients=1)
    post.letter(*["a"] * 20)
    post.letter("b")
    assert post.sequence() == "1" * 20 + "2"


def test_a_short_job_is_not_worth_overtaking() -> None:
    post = Post(recipients=1)
    post.letter(*["a"] * 10)
    post.letter("b")
    assert post.sequence() == "1" * 10 + "2"


@pytest.mark.parametrize("domain", ["list.example", "elsewhere.example"])
def test_a_letter_is_not_delayed_by_a_list_posting_even_to_the_same_destination(domain: str) -> None:
    post = Post(recipients=1)
    post.letter(*["list.example"] * 1000)
    running = [entry for _ in range(5) if (entry := post.next()) is not None]
    post.letter(domain)
    order = []
    for _ in range(5):
        post.done(running.pop(0))
        while (entry := post.next()) is not None:
            running.append(entry)
            order.append(entry.job.message)
    assert 2 in order[:3]


def test_many_letters_do_not_stop_a_list_posting() -> None:
    post = Post(recipients=1, concurrency=0, initial_concurrency=1000)
    post.letter(*["a"] * 100)
    for _ in range(500):
        post.letter("b")
    order = []
    while (entry := post.next()) is not None:
        order.append(entry.job.message)
        post.done(entry)
    last = max(place for place, number in enumerate(order) if number == 1)
    # A free slot for every five deliveries, and the loan: it takes at most about a quarter longer.
    assert last < 100 * 1.25 + 10


def test_a_withdrawn_job_leaves_its_place_to_others() -> None:
    post = Post(initial_concurrency=1, concurrency=1)
    post.letter("a")
    second = post.letter("a", "b")
    post.letter("a")
    first = post.next()
    assert first is not None
    post.done(first)
    assert len(post.transport.withdraw(second)) == 2
    third = post.next()
    assert third is not None and third.job.message == 3
    post.done(third)
    assert post.transport.recipients == 0
    assert not post.transport.destinations


def test_a_job_can_be_refilled() -> None:
    post = Post(recipients=1)
    job = post.letter("a")
    entry = post.next()
    assert entry is not None
    post.transport.add(job, post.transport.destination("a", "a"), 7, "x@a")
    post.transport.enlist(job)
    again = post.next()
    assert again is not None and again.recipients == [7]


@pytest.mark.parametrize("seed", range(20))
def test_whatever_happens_nothing_is_lost_or_delivered_twice(seed: int) -> None:
    dice = random.Random(seed)
    post = Post(
        recipients=dice.choice([1, 2, 50]),
        concurrency=dice.choice([0, 1, 2, 20]),
        initial_concurrency=dice.choice([1, 2, 5]),
        processes=dice.choice([0, 3, 100]),
        slot_cost=dice.choice([0, 2, 5]),
        rate_delay=dice.choice([0, 0, 3]),
        failed_cohorts=dice.choice([1, 3]),
        minimum_slots=dice.choice([0, 3]),
    )
    wanted, seen = Counter[tuple[int, int]](), Counter[tuple[int, int]]()
    running: list[Entry] = []
    jobs: list[Job] = []

    def see(entries: list[Entry]) -> None:
        for entry in entries:
            message = entry.job.message
            seen.update((message, index) for index in entry.recipients)
            if not any(number == message for number, _ in wanted - seen):
                # The message is over: its job forgets its peers, which may still wait somewhere.
                jobs[message - 1].peers.clear()

    for _ in range(600):
        what = dice.random()
        if what < 0.3:
            domains = [dice.choice("abcdefgh") for _ in range(dice.choice([1, 1, 1, 3, 40]))]
            domains = [name for name in domains if not post.transport.destination(name, name).dead]
            if domains:
                jobs.append(post.letter(*domains))
                wanted.update((post.count, index) for index in range(len(domains)))
        elif what < 0.7:
            if (entry := post.next()) is not None:
                running.append(entry)
        elif what < 0.98 and running:
            entry = running.pop(dice.randrange(len(running)))
            see([entry])
            see(post.done(entry, dead=dice.random() < 0.2))
        elif jobs:
            see(post.transport.withdraw(dice.choice(jobs)))
        post.now += dice.random()
        post.transport.tick(post.now)
    for _ in range(20_000):
        entry = post.next()
        if entry is None and not running:
            if post.transport.wake_at is None:
                break
            post.now = post.transport.wake_at
            post.transport.tick(post.now)
            continue
        if entry is not None:
            running.append(entry)
        entry = running.pop()
        see([entry])
        see(post.done(entry))
    assert seen == wanted
    assert post.transport.todo == post.transport.busy == post.transport.recipients == 0
    assert not post.transport._overtaking


def test_each_change_of_a_window_is_logged_on_demand() -> None:
    # What Postfix 3.7 logs for a refused port, with a cohort limit of 3 and a feedback of 0.5 / concurrency; and for
    # one delivery that gets through.
    form = feedback("0.5 / concurrency")
    watched = Post(feedback_debug=True, initial_concurrency=1, concurrency=6, negative=form, failed_cohorts=3)
    for _ in range(3):
        watched.letter("a")
    with logged() as lines:
        for _ in range(3):
            entry = watched.next()
            assert entry is not None
            watched.done(entry, dead=True)
    assert lines == [
        "qmgr_queue_throttle: feedback 0.5",
        "qmgr_queue_throttle: queue a: limit 6 window 1 success 0 failure 0.5 fail_cohorts 1",
        "qmgr_queue_throttle: feedback 0.5",
        "qmgr_queue_throttle: queue a: limit 6 window 1 success 0 failure 1 fail_cohorts 2",
        "qmgr_queue_throttle: queue a: limit 6 window 0 success 0 failure 1 fail_cohorts 3",
    ]
    watched.letter("b")
    with logged() as lines:
        entry = watched.next()
        assert entry is not None
        watched.done(entry)
    assert lines == [
        "qmgr_queue_unthrottle: feedback 1",
        "qmgr_queue_unthrottle: queue b: limit 6 window 2 success 0 failure 0 fail_cohorts 0",
    ]


def test_nothing_is_logged_about_windows_by_default() -> None:
    post = Post()
    post.letter("a")
    with logged() as lines:
        entry = post.next()
        assert entry is not None
        post.done(entry)
    assert lines == []


def test_a_transports_feedback_is_logged_with_the_parameter_that_sets_it() -> None:
    conf = Config.for_test(
        default_destination_concurrency_positive_feedback="1 / concurrency",
        slow_destination_concurrency_negative_feedback="0.5",
    )
    with logged() as lines:
        log_feedback(conf, "slow")
    assert lines == [
        "slow: default_destination_concurrency_positive_feedback feedback type 1 value at 5: 0.2",
        "slow: slow_destination_concurrency_negative_feedback feedback type 0 value at 5: 0.5",
    ]
