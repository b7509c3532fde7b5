"""What every client of a server that we ask shares: the key, the proxies, passing trouble."""

import base64
import datetime
import email.utils
import json
import logging
import math
import os
import re
import urllib.parse
from collections.abc import Callable, Mapping

import httpx2

from medvlp_jax.core.errors import UserError, reason

#: Statuses that a later attempt may not get.
PASSING = (408, 409, 425, 429, 500, 502, 503, 504, 520, 522, 524, 529)
#: What stands for the key.
REDACTED = "[key]"
#: A key this short is a placeholder ("EMPTY", "none"), which texts may hold as a word.
_SECRET_LENGTH = 8


class Secret:
    """A key, and the forms in which a server may send it back."""

    def __init__(self, value: str) -> None:
        self.value = value
        self._forms = sorted(_forms(value), key=len, reverse=True) if value else []

    @classmethod
    def of(cls, variable: str) -> "Secret":
        """The key in an environment variable; empty where that is unset.

        Raises:
          UserError: no key looks like what it holds.
        """
        secret = cls(os.environ.get(variable, "").strip())
        if not re.fullmatch(r"[!-~]*", secret.value):
            raise UserError(
                f"the environment variable {variable} holds blanks or characters that no key has; "
                "set it again"
            )
        return secret

    def out_of(self, text: str) -> str:
        """``text`` with every form of the key replaced."""
        for form in self._forms:
            text = text.replace(form, REDACTED)
        return text

    def out_of_start(self, text: str) -> str:
        """The same for the start of a longer text, which may end in the middle of the key."""
        text = self.out_of(text)
        for form in self._forms:
            for length in range(min(len(form) - 1, len(text)), 3, -1):
                if text.endswith(form[:length]):
                    return text[:-length] + REDACTED
        return text

    def out_of_answer(self, text: str) -> str:
        """The same for a model's words, in which a placeholder is left alone."""
        return self.out_of(text) if len(self.value) >= _SECRET_LENGTH else text


def _forms(key: str) -> set[str]:
    forms = {key, key.lower(), key.upper(), key.encode().hex(), key.encode().hex().upper()}
    forms |= {urllib.parse.quote(key, safe=""), urllib.parse.quote_plus(key), json.dumps(key)[1:-1]}
    for before in (b"", b" ", b"  "):  # base64 of a longer text holds one of three forms
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            whole = encode(before + key.encode()).decode().rstrip("=")
            # Letters at both ends also depend on the neighbours of the key.
            forms.add(whole[(0, 2, 3)[len(before)] : -1])
    return {form for form in forms if len(form) >= min(4, len(key))}


def client(
    headers: Mapping[str, str], timeout: float, said: Callable[[str], str], url: str = ""
) -> httpx2.AsyncClient:
    """A client that follows no redirect and decodes nothing that was not asked for.

    Args:
      headers: of every request.
      timeout: seconds, of every wait.
      said: makes a line that may be shown of what the library says.
      url: the one address that will be asked, where there is one.

    Raises:
      UserError: the address, or a proxy or certificate file of the environment, cannot be used.
    """
    # Their lines show headers and whole addresses, so the key too.
    for name in ("httpx2", "httpcore2"):
        logging.getLogger(name).setLevel(logging.WARNING)
    try:
        httpx2.URL(url)
        return httpx2.AsyncClient(
            headers={"Accept-Encoding": "identity", **headers},
            timeout=timeout,
            follow_redirects=False,
            limits=httpx2.Limits(max_connections=None),
        )
    except Exception as error:  # also of proxies in the environment and of certificate files
        at, look = (f"{url} cannot be asked", "url and at ") if url else ("no client", "")
        raise UserError(
            f"{at} ({said(reason(error))}); look at {look}the environment variables HTTP_PROXY, "
            "HTTPS_PROXY, ALL_PROXY and SSL_CERT_FILE"
        ) from error


def retry_after(value: str) -> float:
    """Seconds of a Retry-After header, which gives seconds or a date; 0 for neither."""
    try:
        seconds = float(value)
    except ValueError:
        try:
            then = email.utils.parsedate_to_datetime(value)
            seconds = (then - datetime.datetime.now(then.tzinfo)).total_seconds()
        except (ValueError, TypeError, OverflowError):
            return 0.0
    return 0.0 if math.isnan(seconds) else max(0.0, seconds)
