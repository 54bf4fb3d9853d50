"""Two tasks, one of which comes from elsewhere too."""

from streaming import JobContext, task
from tests.modules.shared import shared as shared_too


@task("count", "Count up")
def count(ctx: JobContext, input: dict[str, int]) -> int:
    """Count to a number."""
    return sum(1 for _ in range(input["to"]))


also_shared = shared_too
