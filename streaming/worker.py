"""The job worker of a deployment on Redis: `python -m streaming.worker`.

It runs the jobs of the Flask app that `STREAMING_APP` names (`wsgi:app`), and serves nothing.
SIGTERM, once or often, ends it in order: it takes no more jobs, lets those that run finish or
hands them over, and exits.
"""

if __name__ == "__main__":
    # Only here: a child that computes for a task (`ctx.compute`) loads this file again.
    from streaming.server.worker_process import main

    main()
