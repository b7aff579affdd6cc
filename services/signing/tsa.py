"""A timestamp authority of our own (RFC 3161, RFC 5816): request bytes in, response bytes out, no I/O.

Everything that does not change from token to token is encoded once, so a token costs one signature and a few
concatenations. Serials, clock and the judgement whether the clock may be trusted are injected.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID
from lienthong.clock import Clock
from lienthong.errors import DomainError

from services.signing import der

Sign = Callable[[bytes], bytes]
"""Signs the given bytes over SHA-256: PKCS#1 v1.5, or ECDSA in DER."""

DEFAULT_POLICY: Final = "1.3.6.1.4.1.58888.1.3.1"

_TST_INFO, _SIGNED_DATA = der.oid("1.2.840.113549.1.9.16.1.4"), der.oid("1.2.840.113549.1.7.2")
_CONTENT_TYPE, _MESSAGE_DIGEST, _SIGNING_TIME = (der.oid(f"1.2.840.113549.1.9.{n}") for n in (3, 4, 5))
_SIGNING_CERTIFICATE_V2 = der.oid("1.2.840.113549.1.9.16.2.47")
_SHA256 = "2.16.840.1.101.3.4.2.1"
_DIGEST_SIZES: Final = {
    der.oid(_SHA256): 32,
    der.oid("2.16.840.1.101.3.4.2.2"): 48,
    der.oid("2.16.840.1.101.3.4.2.3"): 64,
}
_ONE = der.integer(1)
_EXPLICIT_0, _IMPLICIT_0 = 0xA0, 0xA0


class Failure(Enum):
    """PKIFailureInfo bits (RFC 3161 2.4.2)."""

    BAD_ALG = 0
    BAD_REQUEST = 2
    BAD_DATA_FORMAT = 5
    TIME_NOT_AVAILABLE = 14
    UNACCEPTED_POLICY = 15
    UNACCEPTED_EXTENSION = 16
    SYSTEM_FAILURE = 25


class RefusedError(Exception):
    """This request earns no token; `failure` says why."""

    def __init__(self, failure: Failure, text: str) -> None:
        super().__init__(text)
        self.failure = failure


@dataclass(frozen=True, slots=True)
class Query:
    """What a request asks for; imprint and nonce stay encoded because the token repeats them to the byte."""

    imprint: bytes
    policy: bytes
    nonce: bytes
    certificates: bool


def private_key_signer(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> Sign:
    """Sign with a key held in memory; a PKCS#11 token brings its own `Sign`."""
    if isinstance(key, rsa.RSAPrivateKey):
        return lambda data: key.sign(data, padding.PKCS1v15(), hashes.SHA256())
    return lambda data: key.sign(data, ec.ECDSA(hashes.SHA256()))


def rejection(failure: Failure, text: str) -> bytes:
    """A TimeStampResp without a token: status rejection(2), the reason as text and as a bit."""
    free_text = der.sequence(der.tlv(der.UTF8, text.encode()))
    return der.sequence(der.sequence(der.integer(2), free_text, der.named_bit(failure.value)))


class TimestampAuthority:
    """Answers timestamp requests. Safe to call from several threads when `serials` and `sign` are."""

    def __init__(
        self,
        sign: Sign,
        certificate: x509.Certificate,
        chain: Sequence[x509.Certificate],
        *,
        clock: Clock,
        serials: Callable[[], int],
        clock_trusted: Callable[[], bool] = lambda: True,
        policy: str = DEFAULT_POLICY,
        accuracy_seconds: int = 1,
    ) -> None:
        _require_timestamping_certificate(certificate)
        self._sign, self._clock, self._serials, self._clock_trusted = sign, clock, serials, clock_trusted
        self._policy = der.oid(policy)
        self._certificate = certificate
        self._static = _Static.of(certificate, chain, accuracy_seconds)

    @property
    def certificate(self) -> x509.Certificate:
        return self._certificate

    def respond(self, request: bytes) -> bytes:
        """The DER TimeStampResp for a DER TimeStampReq; whatever the bytes are, it is a valid one."""
        try:
            return self._grant(self._parse(request))
        except RefusedError as refused:
            return rejection(refused.failure, str(refused))
        except DomainError as unavailable:  # no serial, no key: ours to repair, and the client tries another
            return rejection(Failure.SYSTEM_FAILURE, unavailable.reason)
        except der.DerError as malformed:
            return rejection(Failure.BAD_DATA_FORMAT, f"not a DER TimeStampReq: {malformed}")

    def _parse(self, request: bytes) -> Query:
        outer = der.Reader(request)
        body = outer.inside(der.SEQUENCE)
        outer.finish()
        if body.content(der.INTEGER) != b"\x01":
            raise RefusedError(Failure.BAD_REQUEST, "request version is not 1")
        imprint = body.element(der.SEQUENCE)
        _check_imprint(imprint)
        policy = body.element(der.OID) if body.next_tag() == der.OID else self._policy
        nonce = body.element(der.INTEGER) if body.next_tag() == der.INTEGER else b""
        wanted = body.content(der.BOOLEAN) if body.next_tag() == der.BOOLEAN else b"\x00"
        if body.next_tag() == _IMPLICIT_0:
            raise RefusedError(Failure.UNACCEPTED_EXTENSION, "no request extension is supported")
        body.finish()
        if policy != self._policy:
            raise RefusedError(Failure.UNACCEPTED_POLICY, "the requested policy is not offered")
        return Query(imprint, policy, nonce, certificates=wanted != b"\x00")

    def _grant(self, query: Query) -> bytes:
        # A wrong time in a token cannot be taken back: better none (RFC 3161 2.4.2, timeNotAvailable).
        if not self._clock_trusted():
            raise RefusedError(Failure.TIME_NOT_AVAILABLE, "the clock is not trusted at the moment")
        now, static = self._clock.now(), self._static
        info = der.sequence(
            _ONE,
            query.policy,
            query.imprint,
            der.integer(self._serials()),
            der.tlv(der.GENERALIZED_TIME, _generalized(now)),
            static.accuracy,
            query.nonce,
            static.authority_name,
        )
        # A SET OF is signed under its own tag, then carried under [0] (RFC 5652 5.4).
        attributes = b"".join(sorted([*static.attributes, _digest_attribute(info), _time_attribute(now)]))
        signature = self._sign(der.tlv(der.SET, attributes))
        signer = der.sequence(
            _ONE,
            static.signer_id,
            static.digest_algorithm,
            der.tlv(_IMPLICIT_0, attributes),
            static.signature_algorithm,
            der.tlv(der.OCTET_STRING, signature),
        )
        signed = der.sequence(
            der.integer(3),
            der.tlv(der.SET, static.digest_algorithm),
            der.sequence(_TST_INFO, der.tlv(_EXPLICIT_0, der.tlv(der.OCTET_STRING, info))),
            static.certificates if query.certificates else b"",
            der.tlv(der.SET, signer),
        )
        token = der.sequence(_SIGNED_DATA, der.tlv(_EXPLICIT_0, signed))
        return der.sequence(der.sequence(der.integer(0)), token)


@dataclass(frozen=True, slots=True)
class _Static:
    """The parts of a token that are the same in every token."""

    accuracy: bytes
    authority_name: bytes
    attributes: tuple[bytes, ...]
    signer_id: bytes
    digest_algorithm: bytes
    signature_algorithm: bytes
    certificates: bytes

    @classmethod
    def of(cls, leaf: x509.Certificate, chain: Sequence[x509.Certificate], accuracy: int) -> "_Static":
        encoded = leaf.public_bytes(Encoding.DER)
        issuer, serial = leaf.issuer.public_bytes(), der.integer(leaf.serial_number)
        directory_name = der.tlv(0xA4, issuer)
        # ESSCertIDv2 (RFC 5816) pins the certificate, else a token could be re-attributed to another with the
        # same key; SHA-256 is the DEFAULT hash and a default is left out of DER.
        certificate_id = der.sequence(
            der.tlv(der.OCTET_STRING, hashlib.sha256(encoded).digest()),
            der.sequence(der.sequence(directory_name), serial),
        )
        authority = der.tlv(_EXPLICIT_0, der.tlv(0xA4, leaf.subject.public_bytes()))
        others = [certificate.public_bytes(Encoding.DER) for certificate in chain if certificate != leaf]
        return cls(
            accuracy=der.sequence(der.integer(accuracy)),
            authority_name=authority,
            attributes=(
                _attribute(_CONTENT_TYPE, _TST_INFO),
                _attribute(_SIGNING_CERTIFICATE_V2, der.sequence(der.sequence(certificate_id))),
            ),
            signer_id=der.sequence(issuer, serial),
            digest_algorithm=der.sequence(der.oid(_SHA256)),
            signature_algorithm=_signature_algorithm(leaf),
            certificates=der.tlv(_IMPLICIT_0, *sorted([encoded, *others])),
        )


def _check_imprint(imprint: bytes) -> None:
    fields = der.Reader(imprint).inside(der.SEQUENCE)
    algorithm = fields.inside(der.SEQUENCE)
    identifier = algorithm.element(der.OID)
    if algorithm.next_tag() == der.NULL:
        algorithm.element(der.NULL)
    algorithm.finish()
    digest = fields.content(der.OCTET_STRING)
    fields.finish()
    size = _DIGEST_SIZES.get(identifier)
    if size is None:
        raise RefusedError(
            Failure.BAD_ALG, "the digest algorithm is not accepted: use SHA-256, SHA-384 or SHA-512"
        )
    if len(digest) != size:
        raise RefusedError(Failure.BAD_DATA_FORMAT, "the digest has not the length of its algorithm")


def _require_timestamping_certificate(certificate: x509.Certificate) -> None:
    """RFC 3161 2.3: exactly one extended key usage, timeStamping, and critical. Verifiers refuse all else."""
    try:
        usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage)
    except x509.ExtensionNotFound:
        raise ValueError(
            "a timestamp authority's certificate needs extended key usage timeStamping"
        ) from None
    if not usage.critical or list(usage.value) != [ExtendedKeyUsageOID.TIME_STAMPING]:
        raise ValueError("extended key usage must be critical and timeStamping alone")


def _signature_algorithm(certificate: x509.Certificate) -> bytes:
    match certificate.public_key():
        case rsa.RSAPublicKey():
            return der.sequence(der.oid("1.2.840.113549.1.1.11"), der.tlv(der.NULL))
        case ec.EllipticCurvePublicKey():
            return der.sequence(der.oid("1.2.840.10045.4.3.2"))
        case other:
            raise ValueError(f"a timestamp authority signs with RSA or ECDSA, not {type(other).__name__}")


def _attribute(kind: bytes, value: bytes) -> bytes:
    return der.sequence(kind, der.tlv(der.SET, value))


def _digest_attribute(info: bytes) -> bytes:
    return _attribute(_MESSAGE_DIGEST, der.tlv(der.OCTET_STRING, hashlib.sha256(info).digest()))


def _time_attribute(now: datetime) -> bytes:
    # RFC 5652 11.3: UTCTime through 2049, GeneralizedTime from 2050.
    stamp = _generalized(now)
    value = der.tlv(der.UTC_TIME, stamp[2:]) if now.year < 2050 else der.tlv(der.GENERALIZED_TIME, stamp)
    return _attribute(_SIGNING_TIME, value)


def _generalized(now: datetime) -> bytes:
    return now.strftime("%Y%m%d%H%M%SZ").encode()
