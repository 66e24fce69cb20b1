"""Who is next: the order in which the messages of one transport reach its delivery agents.

For each message and transport there is a job; for each destination of a job a peer, with entries that each become one
delivery. Jobs go in the order of arrival. One that is long collects a free delivery slot for every few deliveries
of its own, and spends them on letting a shorter one overtake: a posting to a thousand recipients does not delay a
letter, and is itself hardly delayed. SCHEDULER_README, "Preemptive scheduling".

A peer whose destination is full waits there (destination.py) and costs nothing until it is woken; a job none of whose
peers is awake is out of the way. So choosing costs the same however much waits.

Nothing here waits, and the clock is handed in. The caller asks `next` while agents have room, and tells `finished`.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterable
from typing import Any

from estafeta.daemons.qmgr.destination import UNLIMITED, Destination, WatchedDestination
from estafeta.daemons.qmgr.limits import Limits


class Entry:
    """One delivery: recipients of one message (by index in the envelope) for one destination."""

    __slots__ = ("addresses", "destination", "job", "recipients")

    def __init__(self, job: Job, destination: Destination) -> None:
        self.job = job
        self.destination = destination
        self.recipients: list[int] = []
        self.addresses: list[str] = []
        """The recipients as the transport is to see them."""


class Peer:
    """One job's entries for one destination."""

    __slots__ = ("awake", "destination", "entries", "job", "waits")

    def __init__(self, job: Job, destination: Destination) -> None:
        self.job = job
        self.destination = destination
        self.entries: list[Entry] = []
        self.awake = False
        self.waits = 0
        """Counts the times it went to wait; an older note about it is void."""

    def wake(self) -> None:
        self.awake = True
        self.job.ready.append(self)
        self.job.transport.list_job(self.job)


class Job:
    """One message in one transport."""

    __slots__ = (
        "alone",
        "arrived",
        "chosen",
        "fresh",
        "listed",
        "message",
        "number",
        "overtaking",
        "peers",
        "ready",
        "remaining",
        "stood",
        "transport",
    )

    def __init__(self, transport: Transport, message: Any, number: int, now: float) -> None:
        self.transport = transport
        self.message = message
        """None once the attempt is over."""
        self.number = number
        self.arrived = now
        self.alone = False
        """Each recipient gets a delivery of its own, whatever the transport allows: VERP."""
        self.peers: dict[Destination, Peer] = {}
        self.fresh: list[Peer] = []
        """Peers that got their first entry since the job was last enlisted."""
        self.ready: list[Peer] = []
        """Peers that are awake, in turn. Nearly every job has one peer and that one entry: a deque for either would be
        a third of what a message takes in memory."""
        self.remaining = 0
        """Entries not yet chosen."""
        self.chosen = 0
        """Entries chosen, less what was spent: free slots are this over the slot cost."""
        self.listed = False
        self.overtaking = False
        self.stood = 0
        """Among the candidates with how many entries it stands; 0: it does not."""

    @property
    def long(self) -> bool:
        """Whether it can ever collect enough free slots for being overtaken to pay."""
        limits = self.transport.limits
        return self.chosen + self.remaining >= limits.minimum_slots * limits.slot_cost and self.remaining > 1


class Transport:
    """The scheduler of one transport."""

    def __init__(self, name: str, limits: Limits) -> None:
        self.name = name
        self.limits = limits
        self.destinations: dict[str, Destination] = {}
        self.busy = 0
        self.todo = 0
        self.recipients = 0
        """Recipients in memory, waiting or being delivered."""
        self.held = False
        """Between two deliveries with a transport rate delay."""
        self._order: list[tuple[int, Job]] = []
        self._overtaking: list[Job] = []
        self._candidates: dict[int, deque[Job]] = {}
        self._timers: list[tuple[float, int, Destination | None]] = []
        self._timer_count = 0

    # --- in

    def destination(self, name: str, nexthop: str) -> Destination:
        found = self.destinations.get(name)
        if found is None:
            make = WatchedDestination if self.limits.feedback_debug else Destination
            found = self.destinations[name] = make(name, nexthop, self.limits)
        return found

    def job(self, message: Any, number: int, now: float) -> Job:
        """A new job. `number` gives the order of jobs; `now` is when it came, seconds."""
        return Job(self, message, number, now)

    def add(self, job: Job, destination: Destination, index: int, address: str) -> None:
        """One more recipient of a job. Call `enlist` after the last."""
        self.recipients += 1
        peer = job.peers.get(destination)
        if peer is None:
            peer = job.peers[destination] = Peer(job, destination)
        most = self.limits.recipients or UNLIMITED
        if peer.entries and len(peer.entries[-1].recipients) < most and not job.alone:
            entry = peer.entries[-1]
        else:
            entry = Entry(job, destination)
            if not peer.entries:
                destination.peers.add(peer)
                if not peer.awake:
                    job.fresh.append(peer)
            peer.entries.append(entry)
            job.remaining += 1
            destination.todo += 1
            self.todo += 1
        entry.recipients.append(index)
        entry.addresses.append(address)

    def enlist(self, job: Job) -> None:
        """A job has all its recipients, for now: it may be chosen."""
        fresh, job.fresh = job.fresh, []
        for peer in fresh:
            if peer.destination.open:
                peer.wake()
            else:
                peer.destination.wait(peer)
        if job.ready:
            self.list_job(job)

    def list_job(self, job: Job) -> None:
        """A job has something to deliver: it is in the running again."""
        if job.overtaking:
            return
        if not job.listed:
            job.listed = True
            heapq.heappush(self._order, (job.number, job))
        if job.stood != job.remaining:
            self._stand(job)

    # --- out

    def next(self, now: float) -> Entry | None:
        """The next delivery, now counted as busy; None when nothing may go now."""
        if self.held or (self.limits.processes and self.busy >= self.limits.processes):
            return None
        while (job := self._current()) is not None:
            if self.limits.slot_cost and job.long:
                job = self._overtaken(job, now)
            entry = self._take(job)
            if entry is not None:
                return entry
        return None

    def finished(self, entry: Entry, now: float, dead: tuple[str, str] | None = None) -> list[Entry]:
        """An entry was delivered, or not. `dead`: status and text when its destination could not be reached.

        Returns the entries that the destination, now dead, does not get: they are to be put off.
        """
        destination = entry.destination
        self.busy -= 1
        self.recipients -= len(entry.recipients)
        destroyed: list[Entry] = []
        if dead is None:
            destination.reached()
        elif destination.missed(dead):
            destination.window = 0
            destroyed = self.drain(destination)
            self._at(now + self.limits.backoff, destination)
        destination.busy -= 1
        if self.limits.transport_rate_delay:
            self._at(now + self.limits.transport_rate_delay, None)
        if self.limits.rate_delay and not destination.dead:
            destination.held = True
            self._at(now + self.limits.rate_delay, destination)
        elif destination.open:
            destination.wake()
        self._forget(destination)
        return destroyed

    def drain(self, destination: Destination) -> list[Entry]:
        """Take all that waits for a destination out."""
        taken: list[Entry] = []
        for peer in destination.peers:
            taken += peer.entries
            peer.job.remaining -= len(peer.entries)
            peer.entries.clear()
            self._end_overtaking(peer.job)
        destination.peers.clear()
        destination.waiting.clear()
        destination.small.clear()
        self._account(taken)
        return taken

    def drain_all(self) -> list[Entry]:
        """Take everything that waits out: the transport does not work."""
        return [entry for destination in list(self.destinations.values()) for entry in self.drain(destination)]

    def withdraw(self, job: Job) -> list[Entry]:
        """Take a job's waiting entries out: its message is deleted or held."""
        taken: list[Entry] = []
        for peer in job.peers.values():
            taken += peer.entries
            peer.entries.clear()
            peer.destination.peers.discard(peer)
        job.remaining = 0
        self._end_overtaking(job)
        job.fresh.clear()
        job.ready.clear()
        self._account(taken)
        for peer in job.peers.values():
            # Somebody else may go in the place of one that was woken for it.
            if peer.awake and peer.destination.open:
                peer.destination.wake()
            peer.awake = False
            self._forget(peer.destination)
        return taken

    # --- time

    @property
    def wake_at(self) -> float | None:
        """When `tick` next has something to do, in the caller's seconds."""
        return self._timers[0][0] if self._timers else None

    def tick(self, now: float) -> None:
        """Rate delays that are over, dead destinations that are to be tried again."""
        while self._timers and self._timers[0][0] <= now:
            _, _, destination = heapq.heappop(self._timers)
            if destination is None:
                self.held = False
                continue
            destination.held = False
            if destination.dead:
                destination.revive()
            if destination.open:
                destination.wake()
            self._forget(destination)

    def flush(self) -> None:
        """Forget that destinations are dead."""
        for destination in list(self.destinations.values()):
            if destination.dead:
                destination.revive()
                self._forget(destination)

    # --- within

    def _current(self) -> Job | None:
        """The job that is served: the last that overtook another, else the oldest."""
        for job in reversed(self._overtaking):
            if job.ready:
                return job
        while self._order:
            job = self._order[0][1]
            if job.ready and not job.overtaking:
                return job
            heapq.heappop(self._order)
            job.listed = False
        return None

    def _take(self, job: Job) -> Entry | None:
        ready = job.ready
        while ready:
            peer = ready.pop(0)
            destination = peer.destination
            if not peer.entries:
                peer.awake = False
                continue
            if not destination.open:
                destination.wait(peer)
                continue
            entry = peer.entries.pop(0)
            destination.todo -= 1
            destination.busy += 1
            self.todo -= 1
            self.busy += 1
            if self.limits.transport_rate_delay:
                self.held = True
            job.remaining -= 1
            job.chosen += 1
            if peer.entries:
                ready.append(peer)
            else:
                peer.awake = False
                destination.peers.discard(peer)
            if destination.waiting and destination.open:
                destination.wake()
            if job.overtaking:
                self._end_overtaking(job)
            return entry
        return None

    def _overtaken(self, job: Job, now: float) -> Job:
        """The job that goes before a long one, if one does and enough slots are free or lent; else itself."""
        limits = self.limits
        most = (job.chosen + job.remaining) // limits.slot_cost
        best, best_rank = None, -1.0
        for count, jobs in list(self._candidates.items()):
            candidate = self._first(count, jobs, job)
            if candidate is None or count >= most:
                continue
            rank = (now - candidate.arrived) / count
            if rank > best_rank:
                best, best_rank = candidate, rank
        if best is None:
            return job
        wanted = best.remaining * (100 - limits.slot_discount) / 100 - limits.slot_loan
        if wanted * limits.slot_cost > job.chosen:
            return job
        job.chosen -= best.remaining * limits.slot_cost
        best.overtaking = True
        self._overtaking.append(best)
        return best

    def _end_overtaking(self, job: Job) -> None:
        """Once nothing of it waits."""
        if job.overtaking and not job.remaining:
            self._overtaking.remove(job)
            job.overtaking = False

    def _stand(self, job: Job) -> None:
        """Enter a job among those that may overtake, by what it needs."""
        count = job.stood = job.remaining
        jobs = self._candidates.get(count)
        if jobs is None:
            self._candidates[count] = deque((job,))
            return
        # Stale ones go as new ones come, so that the list does not grow with the mail that passes.
        for _ in range(2):
            if jobs and not self._stands(jobs[0], count):
                self._leave(jobs, count)
        jobs.append(job)

    def _first(self, count: int, jobs: deque[Job], current: Job) -> Job | None:
        while jobs and not self._stands(jobs[0], count):
            self._leave(jobs, count)
        if jobs and jobs[0] is current:
            # The one that is served stands for itself no more.
            self._leave(jobs, count)
            return self._first(count, jobs, current)
        if not jobs:
            del self._candidates[count]
            return None
        return jobs[0]

    @staticmethod
    def _leave(jobs: deque[Job], count: int) -> None:
        job = jobs.popleft()
        if job.stood == count:
            job.stood = 0

    @staticmethod
    def _stands(job: Job, count: int) -> bool:
        """Whether it could go now: a job whose destinations filled up meanwhile goes to wait there."""
        if job.remaining != count or job.overtaking:
            return False
        ready = job.ready
        while ready and not ready[0].destination.open:
            peer = ready.pop(0)
            peer.destination.wait(peer)
        return bool(ready)

    def _account(self, taken: Iterable[Entry]) -> None:
        for entry in taken:
            entry.destination.todo -= 1
            self.todo -= 1
            self.recipients -= len(entry.recipients)

    def _forget(self, destination: Destination) -> None:
        if destination.idle and self.destinations.get(destination.name) is destination:
            del self.destinations[destination.name]

    def _at(self, moment: float, destination: Destination | None) -> None:
        self._timer_count += 1
        heapq.heappush(self._timers, (moment, self._timer_count, destination))
