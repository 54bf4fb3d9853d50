"""The names of all keys. A job's keys share a hash tag, so that one script may use them all."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Keys:
    """Key names under one prefix."""

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
        """The channel on which the job's appends are published."""
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
        """Held by the one process that does some work for all."""
        return f"{self.prefix}:turn:{what}"

    @property
    def secret(self) -> str:
        """The secret that signs tickets."""
        return f"{self.prefix}:secret"

    def outbox(self, name: str) -> str:
        """For webhooks: `calls`, the `times` when they are due, and `refused` jobs that get none.

        Shared by all jobs: calls outlast them.
        """
        return f"{self.prefix}:outbox:{name}"

    @property
    def leases(self) -> str:
        """What the jobs of each process hold and wait for."""
        return f"{self.prefix}:leases"

    @property
    def lease_news(self) -> str:
        """The channel on which changes of leases are published."""
        return f"{self.prefix}:leases:news"


def digest(text: str) -> str:
    """A fixed-length form of a name."""
    return hashlib.sha256(text.encode()).hexdigest()[:32]
