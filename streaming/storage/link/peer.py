"""One end of a link: frames over a socket pair, calls that are answered, and notes that are not.

Both ends are alike. A frame is four bytes of length and a MessagePack list. What is sent while a
frame is on its way is the next frame, so that many posts share the cost of one.
"""

from __future__ import annotations

import itertools
import logging
import struct
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

import msgpack

from streaming.concurrency.inbox import Inbox
from streaming.concurrency.locks import Latch
from streaming.concurrency.pending import Pending, settle
from streaming.concurrency.platform import native_lock, native_sleep
from streaming.concurrency.sockets import NativeSocket
from streaming.concurrency.threads import Thread
from streaming.errors import StreamingError, Unavailable
from streaming.storage.link.crew import Crew
from streaming.storage.link.wire import Packed, pack_error, unpack_error

logger = logging.getLogger(__name__)

#: Minimum seconds between two frames, and where nobody waits for what they say; the first after a
#: pause is not delayed. As between two commits: what is gathered here need not wait there.
FRAME_S, GATHER_S = 0.002, 0.005
#: Maximum messages in one frame, and bytes that are read at once.
MESSAGES, READ_BYTES = 2000, 1 << 18
#: Seconds that a thread without anything to send rests at a time.
REST_S = 3600.0
#: What a frame begins with: its length.
_HEAD = struct.Struct("!I")

#: Kinds of messages: a call, its answer, a note; and those that share a list of their own.
CALL, ANSWER, NOTE = 0, 1, 2

Method: TypeAlias = Callable[..., object]


class Peer:
    """Owns the socket and the two threads that read and write it.

    `methods` answer the other end's calls in threads of their own; `notes` are for what needs no
    answer and never blocks: they run in the reading thread, in the order of their coming.
    """

    def __init__(
        self,
        socket: NativeSocket,
        *,
        name: str,
        methods: Mapping[str, Method] | None = None,
        notes: Mapping[str, Callable[..., object]] | None = None,
        inline: bool = False,
    ) -> None:
        """`inline`: whoever has something to send may send it himself, and be held up by a full
        socket. Not for processes with greenlets."""
        self._socket = socket
        self._inline = inline
        #: Held by the thread that sends: others leave what they have to it, or to the writer.
        self._turn = native_lock()
        self._sent_at = 0.0
        self._methods = dict(methods or {})
        self._notes = dict(notes or {})
        self._started = False
        self._when_over: list[Callable[[], object]] = []
        self._lock = native_lock()
        self._ids = itertools.count(1)
        self._asked: dict[int, Pending[Any]] = {}
        self._inbox: Inbox[tuple[str, object]] = Inbox()
        self._crew = Crew(f"{name}-call")
        self._writer = Thread(self._write, name=f"{name}-writer")
        self._reader = Thread(self._read, name=f"{name}-reader")
        #: Open when the other end is gone, or this one is closed.
        self.over = Latch()

    def add(
        self,
        *,
        methods: Mapping[str, Method] | None = None,
        notes: Mapping[str, Callable[..., object]] | None = None,
    ) -> None:
        """More that the other end may ask for; before `start`."""
        self._methods.update(methods or {})
        self._notes.update(notes or {})

    def when_over(self, call: Callable[[], object]) -> None:
        """Have `call` run when the other end is gone, in the reading thread; before `start`."""
        self._when_over.append(call)

    def start(self) -> None:
        """Begin to read and write; again it does nothing."""
        if self._started:
            return
        self._started = True
        self._writer.start()
        self._reader.start()

    def close(self) -> None:
        """End the link: who waits for an answer gets `Unavailable`."""
        self._inbox.close()
        try:
            self._socket.shutdown(2)  # wakes both threads, also one that is sending
        except OSError:
            logger.debug("the other end of the link has gone before")
        self._reader.join(5)
        self._writer.join(5)
        self._crew.close()
        self._socket.close()

    def fileno(self) -> int:
        return int(self._socket.fileno())

    def call(self, method: str, *args: object) -> Any:
        """Have the other end do something, and wait: its result, or its error is raised."""
        return self.begin(method, *args).result()

    def begin(self, method: str, *args: object) -> Pending[Any]:
        """A call whose result is waited for later."""
        asked: Pending[Any] = Pending()
        number = next(self._ids)
        with self._lock:
            if self.over.is_open:
                raise _gone()
            self._asked[number] = asked
        self._give("", (CALL, number, method, args))
        return asked

    def note(self, name: str, *args: object) -> None:
        """Tell the other end something; `Unavailable` when this one is closed."""
        self._give("", (NOTE, name, args))

    def share(self, name: str, item: object, *, at_once: bool = False) -> None:
        """A note that travels in one list with others of its name: `notes[name](items)` there.

        It has time to gather with others, unless somebody waits for it (`at_once`).
        """
        self._give(name, item, at_once=at_once)

    def apart(self, call: Callable[[], object]) -> None:
        """Run it in a thread of its own: what notes do must not wait for the other end."""
        self._crew.give(call)

    def _give(
        self, name: str, item: object, *, at_once: bool = True, inline: bool | None = None
    ) -> None:
        self._inbox.put((name, item))
        if self._inline if inline is None else inline:
            # After a pause no other thread need be woken; under load, what gathers is one frame.
            pause_s = FRAME_S if at_once else GATHER_S
            if self._until(pause_s) <= 0 and self._turn.acquire(False):
                self._send_here()
                if not self._inbox:
                    return
        if at_once:
            self._inbox.hurry()
        self._inbox.ring()

    def _send_here(self) -> None:
        """Send what has gathered in the calling thread, which has the turn."""
        try:
            self._send()
        except OSError as error:  # the reading thread sees it, too
            logger.debug("the link's other end takes nothing more: %s", error)
        finally:
            self._turn.release()

    def _send(self) -> bool | None:
        """Send what has gathered; False when there was nothing, None when there never will be."""
        batch = self._inbox.take(MESSAGES)
        if not batch:
            return None if batch is None else False
        self._socket.sendall(b"".join(_frames(batch)))
        self._sent_at = time.monotonic()
        return True

    def _write(self) -> None:
        self._inbox.open()
        try:
            while True:
                while (left := self._until(GATHER_S)) > 0 and self._inbox.gather(left):
                    pass  # again, where another thread has sent a frame meanwhile
                native_sleep(self._until(FRAME_S))
                with self._turn:
                    sent = self._send()
                if sent is None:
                    return
                if not sent:
                    self._inbox.rest(REST_S)
        except OSError as error:
            logger.debug("the link's other end takes nothing more: %s", error)

    def _until(self, pause_s: float) -> float:
        """Seconds until so much time has passed since the last frame."""
        return self._sent_at + pause_s - time.monotonic()

    def _read(self) -> None:
        buffer = bytearray()
        try:
            while data := self._socket.recv(READ_BYTES):
                buffer += data
                self._take(buffer)
        except OSError as error:
            logger.debug("the link's other end says nothing more: %s", error)
        finally:
            self._end()

    def _take(self, buffer: bytearray) -> None:
        """Handle the whole frames at the beginning of the buffer."""
        start = 0
        while len(buffer) - start >= _HEAD.size:
            (length,) = _HEAD.unpack_from(buffer, start)
            begin = start + _HEAD.size
            if len(buffer) < begin + length:
                break
            with memoryview(buffer) as view:
                frame = msgpack.unpackb(view[begin : begin + length])
            start = begin + length
            self._handle(frame)
        del buffer[:start]

    def _handle(self, frame: Packed) -> None:
        kind = frame[0]
        if kind == CALL:
            self._crew.give(lambda: self._answer(*frame[1:]))
        elif kind == ANSWER:
            self._settle(*frame[1:])
        else:
            try:
                self._notes[frame[1]](*frame[2])
            except Exception:  # one bad note must not end the link
                logger.exception("a note %r over the link failed", frame[1])

    def _answer(self, number: int, method: str, args: Packed) -> None:
        """Do what was asked, in a thread of its own; whatever happens, there is an answer."""
        try:
            answer = (ANSWER, number, True, self._methods[method](*args))
        except Exception as error:  # whatever it is, it is raised at the other end
            if not isinstance(error, StreamingError | ValueError):
                logger.exception("call %r over the link failed", method)
            answer = (ANSWER, number, False, pack_error(error))
        if not self.over.is_open:
            self._give("", answer, inline=True)  # a real thread, and nobody else waits for it

    def _settle(self, number: int, went_well: bool, value: Any) -> None:
        with self._lock:
            asked = self._asked.pop(number, None)
        if asked is None:
            return
        if went_well:
            asked.value = value
        else:
            asked.error = unpack_error(value)
        settle([asked])

    def _end(self) -> None:
        """The other end is gone: nobody will answer."""
        with self._lock:
            self.over.open()
            waiting, self._asked = list(self._asked.values()), {}
        for each in waiting:
            each.error = _gone()
        settle(waiting)
        self._inbox.close()
        self._crew.close()
        for call in self._when_over:
            call()


def _frames(batch: Iterable[tuple[str, object]]) -> Iterable[bytes]:
    """The frames of a batch, in order: neighbours that share a list make one."""
    for name, group in itertools.groupby(batch, key=lambda item: item[0]):
        if not name:
            for _, message in group:
                yield _frame(message)
            continue
        yield _frame((NOTE, name, ([item for _, item in group],)))


def _frame(message: object) -> bytes:
    packed: bytes = msgpack.packb(message)
    return _HEAD.pack(len(packed)) + packed


def _gone() -> Unavailable:
    return Unavailable("the other end of the link is gone", code="link_lost")
