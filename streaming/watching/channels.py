"""The channels of a process: one for the readers of each job in each form."""

from __future__ import annotations

from streaming.events.wire import Form
from streaming.watching.channel import Channel
from streaming.watching.writer import StreamWriter


class Channels:
    """The channels that have streams. Used in the event loop's thread alone."""

    def __init__(self, writer: StreamWriter) -> None:
        self._writer = writer
        self._channels: dict[tuple[str, Form], Channel] = {}

    def join(self, job: str, form: Form) -> Channel:
        """The channel of a job's readers of one form; `NotFound` without such a job."""
        live = self._writer.log.live(job)
        channel = self._channels.get((job, form))
        if channel is None:
            channel = self._channels[job, form] = Channel(self._writer, job, form, live)
        channel.streams += 1
        return channel

    def leave(self, channel: Channel) -> None:
        """A stream has ended."""
        channel.streams -= 1
        if not channel.streams:
            del self._channels[channel.job, channel.form]
            self._writer.chunks.forget(channel)
