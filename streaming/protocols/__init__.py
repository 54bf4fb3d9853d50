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

**What the route side gives it** (`streaming/web`): the file `routes/<name>.py` has its URLs, and
works with

- `models.find_model(name)`: the task behind a model's name; `models.listed()`: all of them;
- `answers.start(question, protocol, body)`: the job, stored; joined where the request is a retry
  (`x-stainless-retry-count`, `Idempotency-Key`); 403 where submissions are closed. The job's
  `origin` (in `JobRow.options["origin"]`, from `job.queued`) has the protocol's name, the model,
  and whatever `Question.origin` says that later answers need to know again;
- `answers.begin(...)`: a slot, taken before a job exists, so that 429 and 503 come before it too;
- `answers.respond_stream(held, encoder)`: the status line is held until the first piece or 2 s, a
  failure in that time has its own status; then frames, beats, and the protocol's own end also at
  a drain. Events are never merged. A reader whose client cannot come back is not rotated;
- `answers.wait_for_end(held)`: the whole answer, its request being a viewer that may hang up.

Hanging up is `on_disconnect` and `disconnect_grace_s` of the job: `Question.goes_on` decides,
`X-On-Disconnect` over it. A stream that the server ends is none.

**How to add one.** Its name is in `config.PROTOCOLS`. Write `protocols/<name>.py`, and
`web/routes/<name>.py` with a blueprint made by `web.foreign.foreign_blueprint(name, error_body)`;
put that into `server/mounting.py`'s `PROTOCOL_ROUTES` under the name: `STREAMING_PROTOCOLS`
mounts it, and the start looks whether the app has one of its rules already. Add the file to the
contract "Protocols do not know their siblings" in pyproject.toml, a page in docs/protocols, and
tests with the official client.
"""
