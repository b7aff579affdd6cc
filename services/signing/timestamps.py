"""Getting timestamps: the client that production uses, the in-process one, and what both share with pyHanko.

The authority in production belongs to another organization and answers in 2 to 131 seconds (measured), so the
client waits minutes, tries a second authority, keeps few requests in flight and believes nothing it is sent.
"""

import asyncio
import secrets
from collections.abc import Callable, Sequence
from typing import Final, Self

import aiohttp
from asn1crypto import algos, core, tsp
from lienthong.clock import Clock
from lienthong.errors import DataLoss, DomainError, InvalidArgument, Unavailable
from lienthong.pki.trust import TrustStore

from services.signing.domain import Timestamper
from services.signing.timestamp_token import (
    DIGEST_SIZES,
    TimestampInfo,
    imprint_algorithm,
    token_time,
    verify_token,
)
from services.signing.tsa import TimestampAuthority
from services.signing.tsa_http import QUERY_TYPE, REPLY_TYPE

__all__ = [
    "HttpTimestamper",
    "LocalTimestamper",
    "TimestampInfo",
    "TimestampRefused",
    "Timestamper",
    "build_query",
    "imprint_algorithm",
    "read_reply",
    "token_time",
    "verify_token",
]

_MAX_REPLY_BYTES: Final = 64 * 1024
_NONCE_BITS: Final = 64


class TimestampRefused(Unavailable):
    """The authority answered, and said no."""


class _Response(core.Sequence):  # type: ignore[misc]
    """TimeStampResp with the token OPTIONAL, as RFC 3161 has it; asn1crypto's own cannot read a rejection."""

    _fields = [  # noqa: RUF012  (asn1crypto completes the list)
        ("status", tsp.PKIStatusInfo),
        ("time_stamp_token", core.Any, {"optional": True}),
    ]


def build_query(digest: bytes, algorithm: str, nonce: int) -> bytes:
    """A DER TimeStampReq that asks for the certificates."""
    if DIGEST_SIZES.get(algorithm) != len(digest):
        raise InvalidArgument(
            "DIGEST_INVALID", "a digest of SHA-256, SHA-384 or SHA-512 is needed", algorithm=algorithm
        )
    imprint = {"hash_algorithm": algos.DigestAlgorithm({"algorithm": algorithm}), "hashed_message": digest}
    request = {"version": "v1", "message_imprint": imprint, "nonce": nonce, "cert_req": True}
    return bytes(tsp.TimeStampReq(request).dump())


def read_reply(reply: bytes) -> bytes:
    """The DER token inside a TimeStampResp; TimestampRefused with its words where there is none."""
    try:
        response = _Response.load(reply, strict=True)
        status = response["status"]
        code, failure = status["status"].native, status["fail_info"].native
        text = "; ".join(status["status_string"].native or ())
        token = response["time_stamp_token"]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise InvalidArgument("TIMESTAMP_INVALID", "the reply is not a TimeStampResp") from error
    if code not in ("granted", "granted_with_mods"):
        reasons = ",".join(sorted(failure or ()))
        raise TimestampRefused(
            "TIMESTAMP_UNAVAILABLE", "the authority refused", failure=reasons, said=text[:200]
        )
    if isinstance(token, core.Void):
        raise InvalidArgument("TIMESTAMP_INVALID", "the reply is granted and carries no token")
    return bytes(token.dump())


class LocalTimestamper:
    """Stamps with an authority in this process: no network, for the node that runs its own and for tests."""

    def __init__(
        self, authority: TimestampAuthority, random_bits: Callable[[int], int] = secrets.randbits
    ) -> None:
        self._authority = authority
        self._random_bits = random_bits

    async def timestamp(self, digest: bytes, algorithm: str) -> bytes:
        """Return a DER TimeStampToken."""
        return read_reply(
            self._authority.respond(build_query(digest, algorithm, self._random_bits(_NONCE_BITS)))
        )


class HttpTimestamper:
    """Stamps through other organizations' authorities, tried in turn, in rounds with a doubling pause."""

    def __init__(
        self,
        urls: Sequence[str],
        trust: TrustStore,
        clock: Clock,
        *,
        timeout: float = 180.0,
        attempts: int = 3,
        pause: float = 2.0,
        max_in_flight: int = 4,
        random_bits: Callable[[int], int] = secrets.randbits,
    ) -> None:
        if not urls or attempts < 1 or max_in_flight < 1:
            raise ValueError("at least one authority, one attempt and one request in flight are needed")
        self._urls, self._trust, self._clock = tuple(urls), trust, clock
        self._timeout = aiohttp.ClientTimeout(total=timeout, sock_connect=min(timeout, 30.0))
        self._attempts, self._pause, self._random_bits = attempts, pause, random_bits
        self._slots = asyncio.Semaphore(max_in_flight)
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Drop the connections; a later call opens new ones."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def timestamp(self, digest: bytes, algorithm: str) -> bytes:
        """Return a verified token (DER). Unavailable when none came, DataLoss when only false ones did."""
        failures: dict[str, DomainError] = {}
        for attempt in range(self._attempts):
            if attempt:
                await self._clock.sleep(self._pause * 2 ** (attempt - 1))
            for url in self._urls:
                try:
                    return await self._stamp(url, digest, algorithm)
                except DomainError as error:
                    if error.reason == "DIGEST_INVALID":
                        raise
                    failures[url] = error
        raise _verdict(failures)

    async def _stamp(self, url: str, digest: bytes, algorithm: str) -> bytes:
        nonce = self._random_bits(_NONCE_BITS)
        query = build_query(digest, algorithm, nonce)
        # The slot is held for the exchange only: a pause between rounds must not keep others waiting.
        async with self._slots:
            reply = await self._exchange(url, query)
        token = read_reply(reply)
        info = verify_token(token, digest, self._trust)
        if info.nonce != nonce:
            raise InvalidArgument("TIMESTAMP_INVALID", "the token answers another request")
        return token

    async def _exchange(self, url: str, query: bytes) -> bytes:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=self._timeout, cookie_jar=aiohttp.DummyCookieJar())
        headers = {"Content-Type": QUERY_TYPE, "Accept": REPLY_TYPE}
        try:
            async with self._session.post(
                url, data=query, headers=headers, allow_redirects=False
            ) as response:
                if response.status != 200 or response.content_type != REPLY_TYPE:
                    raise _unavailable("the authority answered something else", status=response.status)
                reply = await response.content.read(_MAX_REPLY_BYTES + 1)
                while len(reply) <= _MAX_REPLY_BYTES and (
                    more := await response.content.read(_MAX_REPLY_BYTES)
                ):
                    reply += more
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _unavailable("the authority did not answer", cause=type(error).__name__) from error
        if len(reply) > _MAX_REPLY_BYTES:
            raise InvalidArgument("TIMESTAMP_INVALID", "the reply is larger than any authority makes")
        return reply


def _verdict(failures: dict[str, DomainError]) -> DomainError:
    """One error for all that went wrong. Waiting may help unless every authority sent false tokens."""
    told = {f"authority_{n}": f"{url}: {error.message}" for n, (url, error) in enumerate(failures.items(), 1)}
    error: DomainError = Unavailable("TIMESTAMP_UNAVAILABLE", "no timestamp authority gave a token")
    if all(failure.reason == "TIMESTAMP_INVALID" for failure in failures.values()):
        error = DataLoss("TIMESTAMP_INVALID", "no timestamp authority sent a token that verifies")
    error.metadata.update(told)
    return error


def _unavailable(message: str, **metadata: object) -> Unavailable:
    error = Unavailable("TIMESTAMP_UNAVAILABLE", message)
    error.metadata.update({name: str(value) for name, value in metadata.items()})
    return error
