"""What the design of Millrace brings in Python: all requests that wait are written and synced together."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from app import Event, file, refuse
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse

lines: list[bytes] = []
waiting: list[asyncio.Future[None]] = []
arrived = asyncio.Event()


def write(group: bytes) -> None:
    while group:
        group = group[os.write(file, group) :]
    os.fdatasync(file)


async def commit() -> None:
    while True:
        await arrived.wait()
        arrived.clear()
        group, answers = b"".join(lines), waiting.copy()
        lines.clear()
        waiting.clear()
        try:
            await asyncio.to_thread(write, group)
        except OSError:
            os._exit(1)  # what a failed sync has lost is unknown: nothing is acknowledged any more
        for answer in answers:
            if not answer.done():  # the client has left
                answer.set_result(None)


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    committing = asyncio.create_task(commit())
    yield
    committing.cancel()


app = FastAPI(lifespan=lifespan)
app.add_exception_handler(RequestValidationError, refuse)


@app.post("/v1/events", status_code=202)
async def receive(event: Event) -> JSONResponse:
    durable = asyncio.get_running_loop().create_future()
    lines.append(event.model_dump_json(exclude_unset=True).encode() + b"\n")
    waiting.append(durable)
    arrived.set()
    await durable
    return JSONResponse({"accepted": 1}, 202)
