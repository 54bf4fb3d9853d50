"""Jobs in task hosts; those that only wait, as greenlets of this process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from streaming.errors import Unavailable
from streaming.running.attempt import Attempt
from streaming.running.host_attempt import HostedAttempt
from streaming.running.hosts import Hosts
from streaming.running.runner import Load
from streaming.running.threads import Lane, Running, ThreadRunner
from streaming.storage.rows import JobRow

#: Seconds that a host has to end a job that is to stop, before this process does: a little longer
#: than a host itself leaves to the code.
STOP_GRACE_S = 5.4


class HostRunner(ThreadRunner):
    """`ThreadRunner`'s lanes and queue; what it would run in a thread runs in a host.

    A job on trial has a host of its own, so that it harms no other. Where no host can be had,
    threads of this process run all jobs after all.
    """

    def __init__(
        self,
        make_attempt: Callable[[str, bool], Attempt],
        make_hosts: Callable[[HostRunner], Hosts],
        make_hosted: Callable[[str, bool, Hosts], HostedAttempt],
        *,
        threads: int,
        greenlets: int,
        queue: int,
        succeeded: Callable[[], bool] = lambda: False,
        ended: Callable[[Running], object] = lambda _: None,
        needed: bool = True,
        only_trials: bool = False,
    ) -> None:
        """`needed`: some task wants a host; else the first job that does starts them.

        `only_trials`: jobs that are not on trial run in threads of this process.
        """
        super().__init__(
            make_attempt,
            threads=threads,
            greenlets=greenlets,
            queue=queue,
            succeeded=succeeded,
            ended=ended,
            stop_grace_s=STOP_GRACE_S,
        )
        self._needed = needed
        self._only_trials = only_trials
        #: Hears of each job that a task in a host has submitted.
        self.accepted: Callable[[JobRow], object] = lambda _: None
        self._hosts = make_hosts(self)
        self._make_hosted = make_hosted

    @property
    def isolates(self) -> bool:  # type: ignore[override]
        """Suspects run in a host of their own, where there are hosts."""
        return self._hosts.given_up is None

    def start(self) -> None:
        super().start()
        self._hosts.start(needed=self._needed)

    def close(self) -> None:
        self._hosts.close()
        super().close()

    def dead(self) -> list[str]:
        return [*super().dead(), *self._hosts.dead()]

    def load(self) -> Load:
        return replace(super().load(), hosts=self._hosts.figures())

    def _make(self, lane: Lane, job: str, on_trial: bool) -> Running:
        here = lane is not self._threads or (self._only_trials and not on_trial)
        if here or self._hosts.given_up is not None:
            return super()._make(lane, job, on_trial)
        return self._make_hosted(job, on_trial, self._hosts)

    def _launch(self, lane: Lane, attempt: Running, on_trial: bool) -> None:
        if not isinstance(attempt, HostedAttempt):
            super()._launch(lane, attempt, on_trial)
            return
        attempt.over = lambda: self._ended(lane, attempt)
        attempt.fall_back = lambda: self._run_here(lane, attempt, on_trial)
        self._hosts.give(attempt)

    def _run_here(self, lane: Lane, hosted: HostedAttempt, on_trial: bool) -> None:
        """No host will run it: a thread of this process does."""
        attempt = self._make_attempt(hosted.job, on_trial)
        with self._lock:
            if self._attempts.get(hosted.job) is not hosted:
                return
            self._attempts[hosted.job] = attempt
        if hosted.stop.reason is not None:
            attempt.ask_to_stop(hosted.stop.reason)
        try:
            super()._launch(lane, attempt, on_trial)
        except Unavailable:
            self._ended(lane, attempt)
