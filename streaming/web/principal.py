"""Principal: who asks, and what they may do."""

from __future__ import annotations

from dataclasses import dataclass

from streaming.running.origin import UserId

#: What a key may allow: start jobs and feed them; see jobs; cancel and delete them; all owners'.
SCOPES = ("submit", "read", "cancel", "admin")
#: Of one's own everything.
OWN = frozenset(SCOPES) - {"admin"}
#: What the owner of a job begins with where the host app's own login says who asks.
USER = "user:"


@dataclass(frozen=True, slots=True)
class Principal:
    """Whoever makes a request. What they make is `owner`'s; other owners' jobs are not there.

    `scopes` are of `SCOPES`; with `admin`, the other scopes hold for the jobs of all owners.
    """

    owner: str
    scopes: frozenset[str] = OWN
    #: The jobs that a ticket names; None where there is no ticket: all jobs.
    jobs: frozenset[str] | None = None
    #: Epoch seconds at which the ticket ends.
    expires_at: float | None = None
    #: The id of the API key.
    key: str = ""
    #: What the host app's own login calls the user, with its type; None where keys tell.
    user: UserId | None = None

    def __post_init__(self) -> None:
        unknown = set(self.scopes) - set(SCOPES)
        if unknown:
            raise ValueError(f"there is no scope {sorted(unknown)}; there are {', '.join(SCOPES)}")

    def may(self, scope: str) -> bool:
        return scope in self.scopes

    @property
    def sees(self) -> str | None:
        """The owner whose jobs are there for the principal; None: everybody's."""
        return None if self.may("admin") else self.owner
