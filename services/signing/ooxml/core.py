"""Opening one signature part: structure that cannot be wrapped, the certificate, the value, the references.

Everything a later step reads comes from elements that the checked SignedInfo covers.
"""

import base64
import binascii
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils
from cryptography.hazmat.primitives.serialization import Encoding
from lxml import etree

from services.signing.domain import Reason
from services.signing.ooxml import names, xml
from services.signing.ooxml.errors import unacceptable
from services.signing.ooxml.package import Package

_HASHES: dict[str, hashes.HashAlgorithm] = {
    "sha256": hashes.SHA256(),
    "sha384": hashes.SHA384(),
    "sha512": hashes.SHA512(),
}
_QUALIFYING = f"{{{names.DS}}}Object/{{{names.XADES}}}QualifyingProperties"
_CERTIFICATE_DIGEST = "/".join(
    f"{{{names.XADES}}}{tag}" for tag in ("SignedSignatureProperties", "{0}", "Cert", "CertDigest")
)


@dataclass(frozen=True, slots=True)
class OpenedSignature:
    """A signature whose value and own references hold; nothing is said yet about the parts it names."""

    root: etree._Element
    certificate: x509.Certificate
    others: tuple[x509.Certificate, ...]
    objects: tuple[etree._Element, ...]
    manifest: etree._Element
    properties: etree._Element | None
    qualifying: etree._Element | None


def open_signature(package: Package, part: str) -> OpenedSignature:
    """InvalidArgument with the Reason where the signature itself is not sound."""
    if part not in package:
        raise unacceptable(Reason.SIGNATURE_MALFORMED, "the signature part is missing", part=part)
    if package.content_type(part) != names.SIGNATURE_TYPE:
        raise unacceptable(
            Reason.CONTENT_TYPE_CHANGED, "the signature part has another content type", part=part
        )
    root = package.read_xml(part)
    if root.tag != f"{{{names.DS}}}Signature":
        raise _malformed("the root element is no Signature")
    by_id = _unique_ids(root)
    info = one(root, "SignedInfo")
    properties, qualifying = _properties(root)
    certificates = _certificates(root)
    leaf = _signing_certificate(certificates, properties)
    _check_value(root, info, leaf)
    signed = [_target(root, reference, by_id) for reference in info.iterchildren(f"{{{names.DS}}}Reference")]
    if properties is not None and properties not in signed:
        raise _malformed("the XAdES properties are not signed")
    objects = tuple(element for element in signed if element.tag == f"{{{names.DS}}}Object")
    manifests = [found for element in objects for found in element.iterchildren(f"{{{names.DS}}}Manifest")]
    if len(manifests) != 1:
        raise _malformed("a package signature has exactly one signed Manifest")
    others = tuple(certificate for certificate in certificates if certificate != leaf)
    return OpenedSignature(root, leaf, others, objects, manifests[0], properties, qualifying)


def one(parent: etree._Element, tag: str, namespace: str = names.DS) -> etree._Element:
    """The only child of that name."""
    found = list(parent.iterchildren(f"{{{namespace}}}{tag}"))
    if len(found) != 1:
        raise _malformed(f"exactly one {tag} is needed")
    return found[0]


def decode(element: etree._Element) -> bytes:
    """The base64 content of an element."""
    try:
        return base64.b64decode("".join((element.text or "").split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise _malformed("a value is not base64") from error


def expected_digest(reference: etree._Element) -> tuple[str, bytes]:
    """Algorithm and value that a Reference (or CertDigest) states; SHA-1 is refused."""
    uri = one(reference, "DigestMethod").get("Algorithm") or ""
    algorithm = names.DIGESTS.get(uri)
    if algorithm is None:
        raise unacceptable(Reason.ALGORITHM_WEAK, "the digest algorithm is not accepted", algorithm=uri[:100])
    return algorithm, decode(one(reference, "DigestValue"))


def transforms_of(reference: etree._Element) -> list[etree._Element]:
    """The Transform elements of a Reference."""
    holders = list(reference.iterchildren(f"{{{names.DS}}}Transforms"))
    if len(holders) > 1:
        raise _malformed("a reference has several lists of transforms")
    return [step for holder in holders for step in xml.children(holder)]


def _unique_ids(root: etree._Element) -> dict[str, etree._Element]:
    """An Id used twice lets one program check an element and another show its twin (wrapping)."""
    seen: set[str] = set()
    found: dict[str, etree._Element] = {}
    for element in root.iter(etree.Element):
        for name, value in element.attrib.items():
            if etree.QName(str(name)).localname.lower() != "id":
                continue
            if value in seen:
                raise unacceptable(
                    Reason.DUPLICATE_ID, "an Id is used twice in the signature", id=str(value)[:100]
                )
            seen.add(str(value))
            if name == "Id":
                found[str(value)] = element
    return found


def _properties(root: etree._Element) -> tuple[etree._Element | None, etree._Element | None]:
    qualifying = root.findall(_QUALIFYING)
    if len(qualifying) > 1 or len(list(root.iter(f"{{{names.XADES}}}QualifyingProperties"))) != len(
        qualifying
    ):
        raise _malformed("XAdES properties are misplaced or repeated")
    if not qualifying:
        return None, None
    if qualifying[0].get("Target") != f"#{root.get('Id')}":
        raise _malformed("the XAdES properties are about another signature")
    return one(qualifying[0], "SignedProperties", names.XADES), qualifying[0]


def _certificates(root: etree._Element) -> list[x509.Certificate]:
    data = list(one(root, "KeyInfo").iterchildren(f"{{{names.DS}}}X509Data"))
    encoded = [
        decode(found) for holder in data for found in holder.iterchildren(f"{{{names.DS}}}X509Certificate")
    ]
    if not 0 < len(encoded) <= 16:
        raise _malformed("the signature carries no certificate, or too many")
    try:
        return [x509.load_der_x509_certificate(item) for item in encoded]
    except ValueError as error:
        raise _malformed("a certificate cannot be read") from error


def _signing_certificate(
    certificates: list[x509.Certificate], properties: etree._Element | None
) -> x509.Certificate:
    """XAdES says which certificate signed; without it the first is meant."""
    digests = list(_certificate_digests(properties))
    if not digests:
        return certificates[0]
    algorithm, value = expected_digest(digests[0])
    for certificate in certificates:
        if hashlib.new(algorithm, certificate.public_bytes(Encoding.DER)).digest() == value:
            return certificate
    raise _malformed("the certificate that XAdES names is not in the signature")


def _certificate_digests(properties: etree._Element | None) -> Iterator[etree._Element]:
    if properties is not None:
        for form in ("SigningCertificate", "SigningCertificateV2"):
            yield from properties.iterfind(_CERTIFICATE_DIGEST.replace("{0}", form))


def _check_value(root: etree._Element, info: etree._Element, leaf: x509.Certificate) -> None:
    uri = one(info, "SignatureMethod").get("Algorithm") or ""
    if uri not in names.SIGNATURES:
        raise unacceptable(
            Reason.ALGORITHM_WEAK, "the signature algorithm is not accepted", algorithm=uri[:100]
        )
    kind, digest = names.SIGNATURES[uri]
    data = xml.canonical(info, one(info, "CanonicalizationMethod").get("Algorithm") or "")
    value = decode(one(root, "SignatureValue"))
    try:
        match leaf.public_key():
            case rsa.RSAPublicKey() as key if kind == "rsa":
                if key.key_size < 2048:
                    raise unacceptable(Reason.ALGORITHM_WEAK, "the key is shorter than 2048 bits")
                key.verify(value, data, padding.PKCS1v15(), _HASHES[digest])
            case ec.EllipticCurvePublicKey() as key if kind == "ecdsa":
                key.verify(_der(value, key), data, ec.ECDSA(_HASHES[digest]))
            case _:
                raise _malformed("key and signature algorithm do not belong together")
    except InvalidSignature as error:
        raise unacceptable(Reason.SIGNATURE_BROKEN, "the signature value does not verify") from error


def _der(value: bytes, key: ec.EllipticCurvePublicKey) -> bytes:
    """XMLDSig 1.1, 6.4.3: r and s side by side, each as long as the curve's order."""
    size = (key.key_size + 7) // 8
    if len(value) != 2 * size:
        raise unacceptable(Reason.SIGNATURE_BROKEN, "the signature value has a wrong length")
    return utils.encode_dss_signature(
        int.from_bytes(value[:size], "big"), int.from_bytes(value[size:], "big")
    )


def _target(
    root: etree._Element, reference: etree._Element, by_id: dict[str, etree._Element]
) -> etree._Element:
    """The element a SignedInfo reference covers: only where a package signature has one, and unchanged."""
    uri = reference.get("URI") or ""
    element = by_id.get(uri[1:]) if uri.startswith("#") else None
    if element is None or not _is_in_place(root, element):
        raise _malformed(f"SignedInfo refers to {uri[:100]!r}")
    method = names.C14N
    for step in transforms_of(reference):
        method = step.get("Algorithm") or ""
        if method not in (names.C14N, names.EXCLUSIVE_C14N):
            raise _malformed("SignedInfo uses a transform that is not accepted")
    algorithm, value = expected_digest(reference)
    if hashlib.new(algorithm, xml.canonical(element, method)).digest() != value:
        raise unacceptable(
            Reason.DIGEST_MISMATCH, "a signed part of the signature was changed", element=uri[:100]
        )
    return element


def _is_in_place(root: etree._Element, element: etree._Element) -> bool:
    if element.tag == f"{{{names.DS}}}Object":
        return element.getparent() is root
    return element in root.findall(f"{_QUALIFYING}/{{{names.XADES}}}SignedProperties")


def _malformed(message: str) -> Exception:
    return unacceptable(Reason.SIGNATURE_MALFORMED, message)
