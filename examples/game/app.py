"""Four in a row for two, over one job: its text is the game, move by move."""

from flask import Flask, redirect, render_template, url_for
from pydantic import BaseModel, Field

from streaming import Streaming

COLUMNS, ROWS = 7, 6
#: The ways in which four may lie: across, upwards, and along both diagonals.
WAYS = [(1, 0), (0, 1), (1, 1), (1, -1)]
#: Seconds that a player may think.
THINKING_S = 1800

app = Flask(__name__)
streaming = Streaming(app)


class Move(BaseModel):
    """A disc of a player's. As a demonstration: whoever says a name is that player."""

    by: str = Field(pattern=r"^\w{1,20}$")
    column: int = Field(ge=0, lt=COLUMNS)


@streaming.task("four", "Four in a row", takes_input=Move, cooperative=True)
def four(ctx, input):
    """The first two who move play against each other; whoever else is there watches."""
    players, discs = [], {}
    for move in ctx.inputs(timeout_s=THINKING_S):
        by, column = move["by"], move["column"]
        row = sum((column, each) in discs for each in range(ROWS))
        if row == ROWS or not is_on(players, by, turn=len(discs) % 2):
            continue
        discs[column, row] = by
        yield f"{by} {column}\n"
        if has_four(discs, column, row):
            return {"winner": by}
        if len(discs) == COLUMNS * ROWS:
            break
    return {"winner": None}


def is_on(players, by, *, turn):
    """Whether it is this player's turn. The first two names that come are the players."""
    if len(players) == turn and by not in players:
        players.append(by)
    return players[turn:] != [] and players[turn] == by


def has_four(discs, column, row):
    """Whether the disc there is one of four."""

    def run(x, y):
        """How many of the same follow upon it in this direction."""
        for far in range(1, 4):
            if discs.get((column + far * x, row + far * y)) != discs[column, row]:
                return far - 1
        return 3

    return any(run(x, y) + run(-x, -y) >= 3 for x, y in WAYS)


@app.get("/")
def start():
    return render_template("start.html")


@app.post("/games")
def create():
    return redirect(url_for("show", job=streaming.submit(four, {})["id"]))


@app.get("/games/<job>")
def show(job):
    return render_template("game.html", job=job)
