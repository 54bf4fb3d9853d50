"""A chat with users and a database: Flask-Login, Flask-SQLAlchemy, answers that are streamed."""

from flask import Flask, abort, render_template_string, request
from flask_login import (
    LoginManager,
    UserMixin,
    current_user,
    login_required,
    login_user,
)
from flask_sqlalchemy import SQLAlchemy

from streaming import Streaming

app = Flask(__name__)
app.config.update(SECRET_KEY="change me", SQLALCHEMY_DATABASE_URI="sqlite:///chat.db")
db = SQLAlchemy(app)
logins = LoginManager(app)
streaming = Streaming(app, authorize=lambda: current_user.is_authenticated and current_user.id)


class User(UserMixin, db.Model):
    id = db.Column(db.Integer, primary_key=True)
    name = db.Column(db.String(80), unique=True)


class Message(db.Model):
    id = db.Column(db.Integer, primary_key=True)
    user_id = db.Column(db.ForeignKey("user.id"), nullable=False)
    role = db.Column(db.String(20), nullable=False)
    content = db.Column(db.Text, nullable=False)


@logins.user_loader
def load_user(id):
    return db.session.get(User, int(id))


@streaming.task("reply")
def reply(ctx, input):
    """Answer the user's last message."""
    found = db.session.scalars(db.select(Message).filter_by(user_id=ctx.owner).order_by(Message.id))
    messages = [{"role": each.role, "content": each.content} for each in found]
    db.session.close()  # the connection goes back to its pool while the model writes
    text = ""
    for token in ctx.llm.stream(messages, max_tokens=40):
        text += token
        yield token
    db.session.add(Message(user_id=ctx.owner, role="assistant", content=text))
    db.session.commit()


@app.post("/login/<name>")
def login(name):
    """As a demonstration: whoever says a name is that user."""
    user = db.session.scalar(db.select(User).filter_by(name=name)) or User(name=name)
    db.session.add(user)
    db.session.commit()
    login_user(user)
    return {"id": user.id}


@app.post("/messages")
@login_required
def say():
    content = request.get_json().get("content") or abort(400)
    db.session.add(Message(user_id=current_user.id, role="user", content=content))
    db.session.commit()
    return streaming.submit(reply, {}), 202


@app.get("/messages")
@login_required
def messages():
    found = db.session.scalars(db.select(Message).filter_by(user_id=current_user.id))
    return [{"role": each.role, "content": each.content} for each in found]


@app.get("/")
def page():
    return render_template_string(PAGE)


PAGE = """
<!doctype html><title>Chat</title>
<form id="form"><input id="text" placeholder="Say something"> <button>Send</button></form>
<pre id="answer"></pre>
<script type="module">
  import { Streaming, fold } from "/v1/streaming.js";
  const post = (url, body) => fetch(url, { method: "POST", body: JSON.stringify(body ?? {}),
    headers: { "Content-Type": "application/json" } }).then((answer) => answer.json());
  await post("/login/guest");
  form.onsubmit = async (event) => {
    event.preventDefault();
    let job = await post("/messages", { content: text.value });
    const onEvent = (event) => { job = fold(job, event); answer.textContent = job.text; };
    new Streaming().watch(job.id, { after: job.seq, onEvent });
  };
</script>
"""

with app.app_context():
    db.create_all()
