"""A real chat endpoint on this machine that misbehaves as it is told."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Reply = tuple[int, bytes | Iterator[bytes]]


@dataclass
class Endpoint:
    """What was asked, and what is answered to the n-th request."""

    answer: Callable[[str, int], Reply]
    url: str = ""
    requests: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    busy: int = 0
    busiest: int = 0  # requests at the same time
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def prompts(self) -> list[str]:
        """The prompts that were asked for, in the order of arrival."""
        return [request["messages"][-1]["content"] for request in self.requests]


def completion(text: object, tokens: int | None = 10) -> bytes:
    """The body of a chat completion."""
    usage = {} if tokens is None else {"usage": {"total_tokens": tokens}}
    choices = [{"index": 0, "message": {"role": "assistant", "content": text}}]
    reply = {"id": "1", "object": "chat.completion", "choices": choices, **usage}
    return json.dumps(reply).encode()


def fuller(prompt: str, number: int) -> Reply:
    """A good answer."""
    return 200, completion(f"{prompt}, filmed at dawn")


@contextmanager
def serving(answer: Callable[[str, int], Reply] = fuller) -> Iterator[Endpoint]:
    """An endpoint at ``url`` for as long as the context lasts."""
    endpoint = Endpoint(answer)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with endpoint.lock:
                number = len(endpoint.requests)
                endpoint.requests.append(request)
                endpoint.keys.append(self.headers["Authorization"])
                endpoint.busy += 1
                endpoint.busiest = max(endpoint.busiest, endpoint.busy)
            try:
                status, body = endpoint.answer(request["messages"][-1]["content"], number)
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                if isinstance(body, bytes):
                    self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                for part in [body] if isinstance(body, bytes) else body:
                    self.wfile.write(part)
                    self.wfile.flush()
            except OSError:
                pass  # the client has hung up
            finally:
                with endpoint.lock:
                    endpoint.busy -= 1

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    endpoint.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield endpoint
    finally:
        server.shutdown()
        server.server_close()


def slowly(body: bytes, pause: float) -> Iterator[bytes]:
    """A body whose bytes come one by one, so that no single read takes long."""
    for byte in body:
        time.sleep(pause)
        yield bytes([byte])
