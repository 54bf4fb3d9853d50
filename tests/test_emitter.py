"""What a task says on its way to the log: how far ahead, how large, and what a refusal means."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from streaming.concurrency.pending import Pending, settle
from streaming.concurrency.stop_signal import StopSignal
from streaming.errors import Cancelled, Fenced, Superseded, TaskError, Unavailable
from streaming.events import make
from streaming.events.event import Draft
from streaming.running.emitter import POSTED_BYTES, POSTS, Budget, Emitter
from streaming.storage.rows import JobRow, first_row
from tests.jobs import submission
from tests.threads import Background, eventually


class SlowLog:
    """A log that commits what is posted when it is told to."""

    def __init__(self) -> None:
        self.posts: list[Pending[JobRow]] = []
        #: Behind which other each of them is to be.
        self.after: list[Pending[JobRow] | None] = []

    def post(self, *_: Any, after: Pending[JobRow] | None, **__: Any) -> Pending[JobRow]:
        self.posts.append(Pending())
        self.after.append(after)
        return self.posts[-1]


class LazyLog:
    """A log that commits a post when somebody waits for it, or fails to do so."""

    def __init__(self, *, error: Exception | None = None) -> None:
        self.error = error
        self.written: list[str] = []

    def post(self, _job: str, drafts: Sequence[Draft], **_: Any) -> Pending[JobRow]:
        return LazyPost(self, drafts)

    def append(self, _job: str, drafts: Sequence[Draft], **_: Any) -> JobRow:
        self.written += [draft.type for draft in drafts]
        return first_row(submission())


class LazyPost(Pending[JobRow]):
    """Under way until somebody waits for it."""

    def __init__(self, log: LazyLog, drafts: Sequence[Draft]) -> None:
        super().__init__()
        self._log = log
        self._drafts = drafts

    def hurry(self) -> None:
        self.error = self._log.error
        if self.error is None:
            self._log.append("job_1", self._drafts)
        settle([self])


def emitter_on(
    log: Any,
    *,
    stop: StopSignal | None = None,
    max_event_bytes: int = 2 * POSTED_BYTES,
    spend: Callable[[int, int], None] = lambda _events, _size: None,
) -> Emitter:
    return Emitter(
        log,
        "job_1",
        attempt=1,
        stop=stop or StopSignal(),
        max_event_bytes=max_event_bytes,
        spend=spend,
    )


def say(posts: Emitter, times: int = 1) -> None:
    for _ in range(times):
        posts.emit(make.text_delta, "a", "x")


@pytest.mark.parametrize(
    ("size", "free"), [(10, POSTS), (POSTED_BYTES // 2, 2)], ids=["events", "bytes"]
)
def test_who_is_too_far_ahead_waits_for_the_oldest_commit(size: int, free: int) -> None:
    log = SlowLog()
    posts = emitter_on(log)
    for _ in range(free - 1):
        posts.emit(make.text_delta, "a", "x" * size)

    def go_on() -> None:
        for _ in range(2):
            posts.emit(make.text_delta, "a", "x" * size)

    rest = Background(go_on)
    eventually(lambda: len(log.posts) >= free)
    assert not rest.ends_within(0.2)
    assert len(log.posts) == free
    settle(log.posts[:1])

    rest.result()
    assert len(log.posts) == free + 1


def test_who_waits_for_all_posts_waits_once_for_the_last_of_them() -> None:
    log = SlowLog()
    posts = emitter_on(log)
    say(posts, times=3)

    waiting = Background(posts.settle)
    eventually(lambda: log.posts[-1].waker is not None)
    asked_of = [post.waker is not None for post in log.posts]
    settle(log.posts)

    waiting.result()
    assert asked_of == [False, False, True]


def test_an_append_goes_behind_all_that_was_posted() -> None:
    log = LazyLog()
    posts = emitter_on(log)
    say(posts, times=2)
    assert log.written == []

    posts.append([make.log("the end")])

    assert log.written == ["text.delta", "text.delta", "log"]


def test_each_post_is_to_be_behind_the_one_before_it() -> None:
    log = SlowLog()
    say(emitter_on(log), times=3)

    assert log.after == [None, *log.posts[:2]]


@pytest.mark.parametrize(
    "act", [say, lambda posts: posts.append([make.log("the end")])], ids=["emit", "append"]
)
def test_what_a_post_has_failed_of_is_raised_though_nobody_waited_for_it(
    act: Callable[[Emitter], object],
) -> None:
    log = SlowLog()
    posts = emitter_on(log)
    say(posts)
    log.posts[0].error = Unavailable("no room")
    settle(log.posts)

    with pytest.raises(Unavailable, match="no room"):
        act(posts)

    assert len(log.posts) == 1


def test_a_task_that_was_stopped_says_nothing_more() -> None:
    log, stop = SlowLog(), StopSignal()
    posts = emitter_on(log, stop=stop)
    stop.set(Cancelled("enough"))

    with pytest.raises(Cancelled, match="enough"):
        say(posts)

    assert log.posts == []


@pytest.mark.parametrize("by", ["draft", "emit"])
@pytest.mark.parametrize("value", ["many", float("nan")], ids=["TypeError", "ValueError"])
def test_what_is_no_event_is_refused_by_the_name_of_its_type(by: str, value: Any) -> None:
    log = SlowLog()

    with pytest.raises(TaskError, match="^metric is not valid: ") as refused:
        getattr(emitter_on(log), by)(make.metric, "loss", value, None)

    assert (refused.value.code, log.posts) == ("invalid_output", [])


def test_events_and_their_bytes_are_spent_posted_or_appended() -> None:
    spent: list[tuple[int, int]] = []
    posts = emitter_on(LazyLog(), spend=lambda *each: spent.append(each))

    posts.emit(make.text_delta, "a", "x")
    posts.append([make.log("one"), make.log("two")])

    sizes = [len(draft.encoded) for draft in (make.text_delta("a", "x"), make.log("one"))]
    assert spent == [(1, sizes[0]), (1, sizes[1]), (1, sizes[1])]


def test_behind_a_post_that_has_failed_nothing_is_appended() -> None:
    log = LazyLog(error=Unavailable("no room"))
    posts = emitter_on(log)
    say(posts)

    with pytest.raises(Unavailable, match="no room"):
        posts.append([make.log("the end")])

    assert log.written == []


@pytest.mark.parametrize(
    "act",
    [
        lambda posts: say(posts, times=POSTS),
        lambda posts: posts.append([make.log("the end")]),
        lambda posts: posts.settle(),
    ],
    ids=["emit", "append", "settle"],
)
def test_a_refusal_by_the_log_ends_the_task_even_where_it_is_swallowed(
    act: Callable[[Emitter], object],
) -> None:
    stop = StopSignal()
    posts = emitter_on(LazyLog(error=Fenced("a newer attempt writes")), stop=stop)
    say(posts)

    with pytest.raises(Superseded, match="a newer attempt writes") as raised:
        act(posts)

    assert stop.reason is raised.value
    with pytest.raises(Superseded):
        say(posts)


def test_an_event_may_be_as_large_as_the_limit_and_not_a_byte_larger() -> None:
    log = SlowLog()
    posts = emitter_on(log, max_event_bytes=len(make.text_delta("a", "x" * 100).encoded))

    posts.emit(make.text_delta, "a", "x" * 100)
    with pytest.raises(TaskError) as refused:
        posts.emit(make.text_delta, "a", "x" * 101)

    assert refused.value.code == "output_too_large"
    assert len(log.posts) == 1

    with pytest.raises(TaskError, match="over the limit"):
        posts.append([make.text_delta("a", "x" * 101)])


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_process_is_told_that_it_has_no_job() -> None:
    posts, forks = emitter_on(SlowLog()), multiprocessing.get_context("fork")
    ours, theirs = forks.Pipe()

    def say() -> None:
        try:
            theirs.send(posts.emit(make.text_delta, "a", "x"))
        except TaskError as error:
            theirs.send(error.code)

    child = forks.Process(target=say)
    child.start()
    child.join(20)

    assert ours.poll(0)
    assert ours.recv() == "forked"


def test_a_budget_is_spent_once_and_for_all() -> None:
    budget = Budget(events=2, size=100)
    budget.spend(1, 60)
    with pytest.raises(TaskError, match="MAX_JOB_BYTES"):
        budget.spend(1, 60)
    with pytest.raises(TaskError):
        budget.spend(0, 0)
    with pytest.raises(TaskError, match="MAX_JOB_EVENTS"):
        Budget(events=0).spend(1, 1)


def test_a_budget_can_be_spent_to_its_last_event_and_byte() -> None:
    for more, limit in ((1, 0), "MAX_JOB_EVENTS"), ((0, 1), "MAX_JOB_BYTES"):
        budget = Budget(events=2, size=100)
        budget.spend(1, 60)
        budget.spend(1, 40)

        with pytest.raises(TaskError, match=limit):
            budget.spend(*more)
