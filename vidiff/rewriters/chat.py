"""Any endpoint that speaks OpenAI's chat completions: OpenAI, vLLM, Ollama, llama.cpp."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from vidiff.checks import at_least, positive, within
from vidiff.registry import register
from vidiff.rewriters.base import SYSTEM, Rewriter, Rewritten
from vidiff.rewriters.cache import AnswerCache

if TYPE_CHECKING:
    from openai import OpenAI

LARGEST = 1 << 20
"""Bytes of an answer that are read."""

REFUSED = {401: "the key is wrong", 403: "the key may not use it", 404: "there is no such model"}
"""Statuses after which no other prompt is tried."""


@register("chat")
class Chat(Rewriter):
    """Asks a language model over the network, through OpenAI's chat completions.

    The key is read from the environment when prompts are rewritten, and is never written anywhere.
    Answers are kept on disk, so that the same prompt is asked for once. A prompt whose answer does
    not come, is empty, malformed or too long is kept as it is.

    Args:
        model: the model's name at the endpoint.
        base_url: the endpoint, as in ``http://localhost:8000/v1``; OpenAI's by default.
        system: the instruction that precedes each prompt.
        temperature: of the model's draws; 0 for the most probable words.
        timeout: seconds that one attempt may take, the transfer included.
        retries: further attempts after a timeout, a lost connection, or the statuses 408, 409, 429
            and 5xx, each after a longer wait.
        concurrency: prompts asked for at the same time.
        budget: tokens, of questions and answers together, after which the rest of the prompts is
            kept as it is; null is no limit. Requests that are under way may exceed it.
        key_name: the environment variable that holds the key.
        cache: whether answers are kept in, and taken from, ``$VIDIFF_CACHE/rewriters``.

    Raises:
        ValueError: if a number is out of its range, or ``base_url`` is no http address or holds a
            password.
    """

    def __init__(
        self,
        model: str,
        base_url: str | None = None,
        system: str = SYSTEM,
        temperature: float = 0.0,
        timeout: float = 30.0,
        retries: int = 3,
        concurrency: int = 4,
        budget: int | None = None,
        key_name: str = "OPENAI_API_KEY",
        cache: bool = True,
    ) -> None:
        within(0, 2, temperature=temperature)
        positive(timeout=timeout)
        at_least(0, retries=retries)
        at_least(1, concurrency=concurrency, budget=budget)
        self.base_url = _checked(base_url)
        self.model, self.system, self.temperature = model, system, temperature
        self.timeout, self.retries, self.concurrency = timeout, retries, concurrency
        self.budget, self.key_name = budget, key_name
        settings = {
            "model": model, "base_url": base_url, "system": system, "temperature": temperature,
        }  # fmt: skip
        self.cache = AnswerCache(settings, cache)

    def rewrite(self, prompts: Sequence[str]) -> Iterator[Rewritten]:
        session: _Session | None = None
        window = 16 * self.concurrency
        with ThreadPoolExecutor(self.concurrency) as pool:
            try:
                for start in range(0, len(prompts), window):
                    some = prompts[start : start + window]
                    known: dict[str, Any] = dict(self.cache.known(some))
                    missing = [prompt for prompt, answer in known.items() if answer is None]
                    if missing and session is None:  # one by itself: the endpoint may refuse all
                        session = _Session(self, self._client())
                        first = missing.pop(0)
                        known[first] = session.ask(first)
                    if session is not None:
                        known |= zip(missing, pool.map(session.ask, missing), strict=True)
                    for prompt in some:
                        answer = known.get(prompt)
                        if isinstance(answer, _Problem):
                            yield Rewritten.kept(prompt, answer)
                        else:
                            yield Rewritten.answered(prompt, answer)
            finally:
                pool.shutdown(wait=False, cancel_futures=True)

    def _client(self) -> OpenAI:
        try:
            from openai import OpenAI
        except ImportError as error:
            raise ValueError(
                "the rewriter chat needs the package openai: pip install 'vidiff[prompts]'"
            ) from error
        key = os.environ.get(self.key_name, "").strip()
        if not key and self.base_url is None:
            raise ValueError(
                f"the rewriter chat needs a key: set the environment variable {self.key_name}"
            )
        if not (key.isascii() and key.isprintable()):  # no header can hold it
            raise ValueError(
                f"the key in the environment variable {self.key_name} has letters beyond ASCII or "
                "line breaks, so it was not copied whole: set it again"
            )
        return OpenAI(
            api_key=key or "none",  # local endpoints need none, the client does
            base_url=self.base_url,
            timeout=self.timeout,
            max_retries=self.retries,
        )


class _Problem(str):
    """Why there is no answer."""


class _Session:
    """Requests of one call, and the tokens that they have used."""

    def __init__(self, chat: Chat, client: OpenAI) -> None:
        self.chat, self.client = chat, client
        self.used, self.lock = 0, threading.Lock()

    def ask(self, prompt: str) -> str:
        """The answer to one prompt, or the problem; a ``ValueError`` if the endpoint refuses."""
        import openai

        chat = self.chat
        if chat.budget is not None and self.used >= chat.budget:
            return _Problem(f"the budget of {chat.budget:,} tokens is used up")
        try:
            answer = self._answer(prompt)
        except openai.APIStatusError as error:
            if error.status_code in REFUSED:
                # The endpoint's own words may repeat a part of the key.
                raise ValueError(
                    f"{chat.base_url or 'OpenAI'} refuses model {chat.model!r} with status "
                    f"{error.status_code}, {REFUSED[error.status_code]}: check rewriter.model, "
                    f"rewriter.base_url and the environment variable {chat.key_name}"
                ) from None
            return _Problem(f"the endpoint answers with status {error.status_code}")
        except openai.APITimeoutError:
            return _Problem(f"no answer within {chat.timeout:g} s")
        except openai.APIConnectionError:
            return _Problem("the endpoint cannot be reached")
        except Exception as error:  # whatever an endpoint sends must not end the sampling
            return _Problem(f"the answer is malformed ({type(error).__name__})")
        if not isinstance(answer, _Problem):
            chat.cache.keep(prompt, answer)
        return answer

    def _answer(self, prompt: str) -> str:
        chat = self.chat
        ask = self.client.chat.completions.with_streaming_response.create
        with ask(
            model=chat.model,
            temperature=chat.temperature,
            messages=[
                {"role": "system", "content": chat.system},
                {"role": "user", "content": prompt},
            ],
        ) as response:
            body = self._body(response.iter_bytes(1 << 16))
        if isinstance(body, _Problem):
            return body
        reply = json.loads(body)
        self._count(reply, prompt)
        answer = reply["choices"][0]["message"]["content"]
        if not isinstance(answer, str):
            return _Problem(f"the answer is {type(answer).__name__}, not text")
        return answer

    def _body(self, chunks: Iterator[bytes]) -> bytes | _Problem:
        """The whole body, unless it is too large or takes too long."""
        end = time.monotonic() + self.chat.timeout
        body = bytearray()
        for chunk in chunks:
            body += chunk
            if len(body) > LARGEST:
                return _Problem(f"the answer has more than {LARGEST >> 20} MiB")
            if time.monotonic() > end:
                return _Problem(f"no whole answer within {self.chat.timeout:g} s")
        return bytes(body)

    def _count(self, reply: dict[str, Any], prompt: str) -> None:
        """Add the tokens that a reply used; where it does not say, four characters are one."""
        usage = reply.get("usage") or {}
        letters = len(self.chat.system) + len(prompt) + len(json.dumps(reply.get("choices")))
        with self.lock:
            self.used += int(usage.get("total_tokens") or letters / 4)


def _checked(base_url: str | None) -> str | None:
    if base_url is None:
        return None
    parts = urlsplit(base_url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"base_url must be like http://localhost:8000/v1, got {base_url!r}")
    if parts.username or parts.password or parts.query:
        raise ValueError(
            "base_url holds a password or a query, which configs would keep: put the key into the "
            "environment variable that key_name names"
        )
    return base_url
