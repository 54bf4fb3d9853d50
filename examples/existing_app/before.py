"""A plain Flask app with a view that asks a language model."""

import time

from flask import Flask, request

app = Flask(__name__)


def model(question):
    """Stands for a language model: it writes word by word, and takes its time."""
    answer = f"You asked: {question} That is a good question, and a good answer takes some time."
    for word in answer.split():
        time.sleep(0.1)
        yield word + " "


@app.post("/ask")
def ask():
    answer = ""
    for token in model(request.json["question"]):
        answer += token
    return {"answer": answer}
