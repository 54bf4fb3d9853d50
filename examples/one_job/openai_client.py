"""The openai package reads what a job of others writes: python openai_client.py JOB."""

import os
import sys

import openai

URL = os.environ.get("STREAMING_URL", "http://127.0.0.1:8000")

client = openai.OpenAI(base_url=f"{URL}/v1", api_key=os.environ.get("STREAMING_API_KEY", "none"))
for event in client.responses.retrieve(f"resp_{sys.argv[1]}", stream=True):
    if event.type == "response.output_text.delta":
        print(event.delta, end="", flush=True)
print()
