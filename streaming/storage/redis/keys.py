"""The names of what is kept. A job's keys share a hash tag: one script may use them all."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Keys:
    """Names under one prefix."""

    prefix: str

    def row(self, job: str) -> str:
        return f"{self.prefix}:{{{job}}}:row"

    def events(self, job: str) -> str:
        return f"{self.prefix}:{{{job}}}:events"

    def records(self, job: str) -> str:
        return f"{self.prefix}:{{{job}}}:records"

    def base(self, job: str) -> str:
        return f"{self.prefix}:{{{job}}}:base"

    def viewers(self, job: str) -> str:
        return f"{self.prefix}:{{{job}}}:viewers"

    def channel(self, job: str) -> str:
        """Where the job's appends are told."""
        return f"{self.prefix}:{{{job}}}"

    def process(self, process: str) -> str:
        """The channel by which a process wakes its own follower."""
        return f"{self.prefix}:process:{process}"

    def claim(self, owner: str, key: str) -> str:
        """Which job has an idempotency key."""
        return f"{self.prefix}:key:{digest(owner)}:{digest(key)}"

    def jobs(self, name: str) -> str:
        """An index of jobs."""
        return f"{self.prefix}:jobs:{name}"

    def folder(self, folder: str) -> str:
        return f"{self.prefix}:blobs:{{{folder}}}"

    def part(self, folder: str, version: str, number: int) -> str:
        return f"{self.prefix}:blobs:{{{folder}}}:{version}:{number}"

    @property
    def folders(self) -> str:
        return f"{self.prefix}:folders"

    @property
    def size(self) -> str:
        return f"{self.prefix}:size"

    @property
    def format(self) -> str:
        return f"{self.prefix}:format"

    def turn(self, what: str) -> str:
        """Held by the one process that does something for all."""
        return f"{self.prefix}:turn:{what}"

    @property
    def secret(self) -> str:
        """What signs tickets."""
        return f"{self.prefix}:secret"

    def outbox(self, name: str) -> str:
        """Of webhooks: `calls`, `times` when they are due, `refused` jobs that get none.

        Of all jobs: calls outlast them.
        """
        return f"{self.prefix}:outbox:{name}"

    @property
    def leases(self) -> str:
        """What the jobs of each process hold and wait for."""
        return f"{self.prefix}:leases"

    @property
    def lease_news(self) -> str:
        """The channel on which changes of leases are told."""
        return f"{self.prefix}:leases:news"


def digest(text: str) -> str:
    """A name's fixed-length form."""
    return hashlib.sha256(text.encode()).hexdigest()[:32]
