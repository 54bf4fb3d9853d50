"""A plain Flask app with a view that asks a language model."""

import time

from flask import Flask, request

from streaming import Streaming

app = Flask(__name__)
streaming = Streaming(app)


def model(question):
    """Stands for a language model: it writes word by word, and takes its time."""
    answer = f"You asked: {question} That is a good question, and a good answer takes some time."
    for word in answer.split():
        time.sleep(0.1)
        yield word + " "


@streaming.task("answer")
def answer(ctx, input):
    yield from model(input["question"])


@app.post("/ask")
def ask():
    return streaming.submit(answer, {"question": request.json["question"]}), 202
