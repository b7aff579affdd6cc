"""Judging an RFC 3161 token: imprint, signer's certificate, signature, the chain at the token's time."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from asn1crypto import cms, tsp
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID
from lienthong.errors import DomainError, InvalidArgument
from lienthong.pki.trust import TrustStore
from lienthong.pki.usage import TIMESTAMP_USAGES

DIGEST_SIZES: Final = {"sha256": 32, "sha384": 48, "sha512": 64}
MAX_TOKEN_BYTES: Final = 64 * 1024
_MAX_ISSUERS: Final = 5
_HASHES: Final[dict[str, hashes.HashAlgorithm]] = {
    "sha256": hashes.SHA256(),
    "sha384": hashes.SHA384(),
    "sha512": hashes.SHA512(),
}


@dataclass(frozen=True, slots=True)
class TimestampInfo:
    """What a verified token proves."""

    time: datetime
    serial: int
    signer: x509.Certificate
    algorithm: str
    nonce: int | None


def verify_token(token: bytes, expected_digest: bytes, trust: TrustStore) -> TimestampInfo:
    """What the token proves about the digest; anything wrong is InvalidArgument TIMESTAMP_INVALID."""
    try:
        info, chain = _open(token, expected_digest)
    except InvalidArgument:
        raise
    except Exception as error:
        # asn1crypto and cryptography parse lazily: hostile DER surfaces as almost any exception
        # (InvalidVersion, AttributeError, RecursionError ...), wherever a field is first touched.
        raise _invalid("the token cannot be read", cause=type(error).__name__) from error
    try:
        trust.verify_chain(info.signer, chain[:_MAX_ISSUERS], info.time, TIMESTAMP_USAGES)
    except DomainError as error:
        raise _invalid("the authority's certificate is not trusted", cause=error.reason) from error
    return info


def imprint_algorithm(token: bytes) -> str:
    """Over which digest the token was made, so that the caller can compute the one to expect."""
    try:
        info = cms.ContentInfo.load(token)["content"]["encap_content_info"]["content"].parsed
        algorithm = info["message_imprint"]["hash_algorithm"]["algorithm"].native
    except Exception as error:
        raise _invalid("the token cannot be read", cause=type(error).__name__) from error
    if algorithm not in DIGEST_SIZES:
        raise _invalid("the token's digest algorithm is not accepted", algorithm=algorithm)
    return str(algorithm)


def token_time(token: bytes) -> datetime:
    """The time a token claims, unverified: for display beside a verdict that says it is not proven."""
    try:
        claimed = (
            cms.ContentInfo.load(token)["content"]["encap_content_info"]["content"].parsed["gen_time"].native
        )
    except Exception as error:
        raise _invalid("the token cannot be read", cause=type(error).__name__) from error
    if not isinstance(claimed, datetime):
        raise _invalid("the token carries no time")
    return claimed


def _open(token: bytes, digest: bytes) -> tuple[TimestampInfo, list[x509.Certificate]]:
    if len(token) > MAX_TOKEN_BYTES:
        raise _invalid("the token is larger than any authority makes")
    content = cms.ContentInfo.load(token, strict=True)
    if content["content_type"].native != "signed_data":
        raise _invalid("the token is not signed data")
    signed = content["content"]
    inner = signed["encap_content_info"]
    if inner["content_type"].native != "tst_info" or len(signed["signer_infos"]) != 1:
        raise _invalid("the token is not one signature over a TSTInfo")
    info: tsp.TSTInfo = inner["content"].parsed
    algorithm = _imprint(info, digest)
    certificates = [
        x509.load_der_x509_certificate(item.chosen.dump())
        for item in signed["certificates"] or ()
        if item.name == "certificate"
    ]
    signer_info = signed["signer_infos"][0]
    leaf = _signer(signer_info, certificates)
    _check_usage(leaf)
    _check_signature(signer_info, bytes(inner["content"]), leaf)
    nonce = info["nonce"].native
    found = TimestampInfo(info["gen_time"].native, info["serial_number"].native, leaf, algorithm, nonce)
    return found, [certificate for certificate in certificates if certificate != leaf]


def _imprint(info: tsp.TSTInfo, digest: bytes) -> str:
    imprint = info["message_imprint"]
    algorithm = str(imprint["hash_algorithm"]["algorithm"].native)
    if DIGEST_SIZES.get(algorithm) != len(digest):
        raise _invalid("the token's digest algorithm is not the one expected", algorithm=algorithm)
    if imprint["hashed_message"].native != digest:
        raise _invalid("the token stamps something else")
    return algorithm


def _signer(signer: cms.SignerInfo, certificates: Sequence[x509.Certificate]) -> x509.Certificate:
    identifier = signer["sid"]
    for certificate in certificates:
        if identifier.name == "issuer_and_serial_number":
            wanted = identifier.chosen
            if (
                certificate.serial_number == wanted["serial_number"].native
                and certificate.issuer.public_bytes() == wanted["issuer"].dump()
            ):
                return certificate
        elif _key_identifier(certificate) == identifier.chosen.native:
            return certificate
    raise _invalid("the token does not carry its signer's certificate")


def _key_identifier(certificate: x509.Certificate) -> bytes | None:
    try:
        return certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    except x509.ExtensionNotFound:
        return None


def _check_usage(certificate: x509.Certificate) -> None:
    try:
        usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage)
    except x509.ExtensionNotFound:
        raise _invalid("the signer's certificate is not for timestamping") from None
    if not usage.critical or list(usage.value) != [ExtendedKeyUsageOID.TIME_STAMPING]:
        raise _invalid("the signer's certificate is not for timestamping alone")


def _check_signature(signer: cms.SignerInfo, content: bytes, leaf: x509.Certificate) -> None:
    algorithm = signer["digest_algorithm"]["algorithm"].native
    chosen = _HASHES.get(algorithm)
    if chosen is None:
        raise _invalid("the token is signed with a weak digest", algorithm=algorithm)
    attributes = signer["signed_attrs"]
    values = {attribute["type"].native: attribute["values"] for attribute in attributes or ()}
    if len(values) != len(attributes or ()) or not {"content_type", "message_digest"} <= values.keys():
        raise _invalid("signed attributes are missing or repeated")
    if values["content_type"].native != ["tst_info"]:
        raise _invalid("the signed content type is not TSTInfo")
    if values["message_digest"].native != [hashlib.new(algorithm, content).digest()]:
        raise _invalid("the content was changed after signing")
    if not _names_certificate(values.get("signing_certificate_v2"), values.get("signing_certificate"), leaf):
        raise _invalid("the signed certificate identifier is missing or names another certificate")
    # Signed as a SET OF although carried under [0] (RFC 5652 5.4).
    _verify_raw(leaf, signer, b"\x31" + attributes.dump()[1:], chosen)


def _names_certificate(
    second: cms.SetOfAny | None, first: cms.SetOfAny | None, certificate: x509.Certificate
) -> bool:
    """ESSCertIDv2 binds the certificate; ESSCertID (SHA-1) is what older authorities still send."""
    encoded = certificate.public_bytes(Encoding.DER)
    if second is not None:
        named = second[0]["certs"][0]
        algorithm = named["hash_algorithm"]["algorithm"].native
        return (
            algorithm in DIGEST_SIZES
            and named["cert_hash"].native == hashlib.new(algorithm, encoded).digest()
        )
    if first is None:
        return False
    # SHA-1 only identifies here; the chain and the signature decide.
    sha1 = hashlib.sha1(encoded, usedforsecurity=False).digest()
    return bool(first[0]["certs"][0]["cert_hash"].native == sha1)


def _verify_raw(
    leaf: x509.Certificate, signer: cms.SignerInfo, data: bytes, algorithm: hashes.HashAlgorithm
) -> None:
    signature, method = signer["signature"].native, signer["signature_algorithm"]
    kind = method.signature_algo
    if method["algorithm"].native != "rsassa_pkcs1v15" and method.hash_algo != algorithm.name:
        raise _invalid("digest and signature algorithm disagree")
    match leaf.public_key():
        case rsa.RSAPublicKey() as key if kind == "rsassa_pkcs1v15" and key.key_size >= 2048:
            key.verify(signature, data, padding.PKCS1v15(), algorithm)
        case ec.EllipticCurvePublicKey() as key if kind == "ecdsa":
            key.verify(signature, data, ec.ECDSA(algorithm))
        case _:
            raise _invalid("the token's signature algorithm is not accepted", algorithm=kind)


def _invalid(message: str, **metadata: object) -> InvalidArgument:
    error = InvalidArgument("TIMESTAMP_INVALID", message)
    error.metadata.update({name: str(value) for name, value in metadata.items()})
    return error
