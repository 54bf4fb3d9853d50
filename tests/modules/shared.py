"""A task that another module imports."""

from streaming import JobContext, task


@task("shared")
def shared(ctx: JobContext, input: object) -> None:
    """Do nothing."""
