"""The protocols of others over the log: a request becomes a job's input, events become frames.

Everything here is pure: no Flask, no sockets, no storage, no clock. A protocol is one file that
knows none of its siblings; what they share:

=============  ====================================================================================
`question`     `Question`: what any of them asks, in the form of OpenAI's Chat Completions
`answer`       `Reading`: a job's events as *moments* (text, thought, call, step, restart, end),
               whichever task made them; `Whole`: all of them at the end
`frames`       `Encoder`: moments to frames, with positions, beats, and ends that are told;
               `About`: which job is shown
`refusals`     what a failure means to a client of another protocol: status, code, another try
=============  ====================================================================================

**What a protocol file provides.** `parse(body) -> Question`, which raises `BadRequest` naming the
field; an `Encoder` that turns moments into frames; where the protocol has whole answers,
`completed(about, whole) -> dict`; where its errors have a shape of their own,
`error_body(problem) -> dict`.

**What the route side gives it** (`streaming/web`): the file `routes/<name>.py` has its URLs, on a
blueprint of `foreign.foreign_blueprint(name, error_body)`, and works with

- `models.find_model(name)`, `models.listed()`: what answers, and the task behind each name;
- `answers.reserve(transport)`: a slot, taken before a job exists, so that 429 and 503 come before
  it; use it in `with stream.set_up():`;
- `answers.ask(question, protocol, body, stream=stream)`: the job's row. A new job; or the one that
  the request joins (`x-stainless-retry-count`, `Idempotency-Key`); 403 where submissions are
  closed, 400 for what a task does not take. `origin` (in `row.options["origin"]`) has the
  protocol, the model, and what `Question.origin` says that later answers need to know again;
- `answers.find_answer(id, prefix)` and `answers.reopen(row, transport)`: a job again, to read it;
- `answers.respond_stream(Held(stream, row), make_encoder)`: the status line is held until the
  first piece or 2 s, a failure in that time has its own status; then frames, beats, and the
  protocol's own end also at a drain. Events are never merged. Behind the end: 204. The stream is
  not rotated (`Lifetime.stay_open`): leave that out for clients that come back by themselves;
- `respond_whole(held, taker, make, error_body)` of `whole_answers`: an answer in one piece; its
  request is a viewer that may hang up, and from the third second on holds nothing of the app's;
- `answers.with_job(response, row)`: the header `X-Job-Id`; `handshake` for WebSockets
  (`response_session` is an example).

Hanging up is `on_disconnect` and `disconnect_grace_s` of the job: `Question.goes_on` decides,
`X-On-Disconnect` over it. A stream that the server ends is none. An encoder says by
`takes_restarts` whether a second attempt's text may follow the first's; else it is given a
`Restarted` moment, only where the reader was shown what is void, and ends with `restarted()`.

**How to add one.** Its name is in `config.PROTOCOLS`. Write `protocols/<name>.py` and
`web/routes/<name>.py`; name its blueprints in `server/mounting.py` (`PROTOCOL_ROUTES` under the
prefix and /v1, `ROOT_ROUTES` under the prefix alone): `STREAMING_PROTOCOLS` mounts them, and the
start looks whether the app has one of the rules already. Add the file to the contract "Protocols
do not know their siblings" in pyproject.toml, a page in docs/protocols, routes to
docs/reference.md, and tests with the official client to tests/protocols.
"""
