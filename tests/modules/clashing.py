"""A task whose name another one has."""

from streaming import JobContext, task


@task("count")
def another(ctx: JobContext, input: object) -> None:
    """Do nothing."""
