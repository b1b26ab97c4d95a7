"""As users of Flask write it: each thread of gunicorn appends and syncs before it answers."""

import json
import os
from pathlib import Path

from flask import Flask, Response, jsonify, request
from werkzeug.exceptions import HTTPException, UnprocessableEntity

app = Flask(__name__)
file = os.open(Path(os.environ["DATA_DIR"]) / "events.ndjson", os.O_WRONLY | os.O_CREAT | os.O_APPEND)


@app.errorhandler(HTTPException)
def refuse(error: HTTPException) -> tuple[Response, int]:
    """`get_json` raises a 400 of its own for what is no JSON."""
    return jsonify(error=error.description), error.code or 500


def append(line: bytes) -> None:
    """One write to a file that is open for appending: lines of several threads do not mix, so there is no lock, and the
    file system can bring their syncs together."""
    if os.write(file, line) < len(line):
        os._exit(1)  # the disk is full, within a line: nothing may follow it
    os.fdatasync(file)


@app.post("/v1/events")
def receive() -> Response:
    event = request.get_json()
    if not isinstance(event, dict):
        raise UnprocessableEntity("an event must be a JSON object")
    if "data" not in event:
        raise UnprocessableEntity("data is missing")
    if type(event.get("id")) not in (int, str, type(None)):
        raise UnprocessableEntity("id must be a string or an integer")
    append(json.dumps(event, separators=(",", ":")).encode() + b"\n")
    return Response('{"accepted":1}', 202, mimetype="application/json")
