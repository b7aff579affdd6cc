"""Putting a signature into a package: what is covered, what is signed, how the file changes.

A signature adds parts under `/_xmlsignatures/` and touches only the content types and the package's
relationships, neither of which any signature covers as a whole; so earlier signatures stay valid.
"""

import asyncio
import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils
from lienthong.errors import FailedPrecondition, InvalidArgument
from lienthong.pki.keys import SigningKey
from lxml import etree

from services.signing.domain import IssueMark, Reason, Timestamper
from services.signing.ooxml import names, relationships, xades, xml
from services.signing.ooxml.archive import rewrite
from services.signing.ooxml.errors import unacceptable
from services.signing.ooxml.package import CONTENT_TYPES_PART, Package
from services.signing.ooxml.survey import (
    PACKAGE_RELATIONSHIPS,
    Survey,
    active_parts,
    require_one_main_part,
    survey,
)

_ORIGIN = "/_xmlsignatures/origin.sigs"
_MAX_SIGNATURES = 32


@dataclass(frozen=True, slots=True)
class PreparedSignature:
    """A signature without its value; `xml` survives a restart, `to_be_signed` goes to the key."""

    xml: bytes
    to_be_signed: bytes


async def sign_package(
    source: Path,
    target: Path,
    key: SigningKey,
    *,
    time: datetime,
    mark: IssueMark | None = None,
    timestamper: Timestamper | None = None,
) -> None:
    """Sign `source` into `target`; with a timestamper at level B-T, else B-B (see extend.py).

    InvalidArgument where the document may not be signed, FailedPrecondition KEY_MISMATCH where the key is not
    the certificate's.
    """
    prepared = await asyncio.to_thread(prepare_signature, source, key.chain, time=time, mark=mark)
    value = await asyncio.to_thread(key.sign, prepared.to_be_signed)
    await complete_signature(source, target, prepared.xml, value, timestamper=timestamper)


def prepare_signature(
    source: Path, chain: Sequence[bytes], *, time: datetime, mark: IssueMark | None = None
) -> PreparedSignature:
    """Digest everything; `chain` is DER, the signer's certificate first."""
    with Package.open(source) as package:
        found = survey(package)
        _refuse_unsuitable(package, found)
        root = xml.new(f"{{{names.DS}}}Signature", {"Id": xades.SIGNATURE_ID}, {None: names.DS})
        info = xades.add(root, "SignedInfo")
        xades.add(info, "CanonicalizationMethod", Algorithm=names.C14N)
        xades.add(info, "SignatureMethod", Algorithm=_method(x509.load_der_x509_certificate(chain[0])))
        xades.add(root, "SignatureValue")
        certificates = xades.add(xades.add(root, "KeyInfo"), "X509Data")
        for certificate in chain:
            xades.add(certificates, "X509Certificate", xades.encode(certificate))
        content = xades.add(root, "Object", Id=xades.PACKAGE_OBJECT)
        _manifest(xades.add(content, "Manifest"), package, found)
        if package.with_doctype:
            part = min(package.with_doctype)
            raise unacceptable(Reason.DOCTYPE_PRESENT, "a part declares a document type", part=part)
    xades.signature_time(content, time)
    office = xades.office_object(root, mark)
    properties = xades.qualifying_properties(root, chain[0], time)
    for element in (content, office):
        xades.reference(info, f"#{element.get('Id')}", _sha256(xml.canonical(element)), names.OBJECT_TYPE)
    transforms = [(names.C14N, ())]
    digest = _sha256(xml.canonical(properties))
    xades.reference(info, f"#{xades.SIGNED_PROPERTIES}", digest, names.SIGNED_PROPERTIES_TYPE, transforms)
    return PreparedSignature(xml.serialize(root), xml.canonical(info))


async def complete_signature(
    source: Path, target: Path, prepared: bytes, value: bytes, *, timestamper: Timestamper | None = None
) -> None:
    """Put the value (ECDSA as DER) made over `to_be_signed` into the prepared signature, and write."""
    root = xml.parse(prepared, "prepared signature")
    _set_value(root, value)
    if timestamper is not None:
        token = await timestamper.timestamp(_sha256(xades.value_to_stamp(root)), "sha256")
        xades.add_timestamp(root, token)
    await asyncio.to_thread(_write, source, target, xml.serialize(root))


def require_signable(source: Path) -> None:
    """What `sign_package` would refuse of the document itself."""
    with Package.open(source) as package:
        _refuse_unsuitable(package, survey(package))


def _refuse_unsuitable(package: Package, found: Survey) -> None:
    require_one_main_part(found, package)
    if len(found.signatures) >= _MAX_SIGNATURES:
        raise unacceptable(Reason.DOCUMENT_TOO_COMPLEX, "the document has too many signatures")
    if active := active_parts(package):
        raise unacceptable(
            Reason.DOCUMENT_ACTIVE_CONTENT, "the document carries macros or controls", part=active[0]
        )
    for arrow in found.all_relationships():
        if arrow.type in names.TEMPLATE_RELATIONSHIPS and arrow.external:
            raise unacceptable(Reason.TEMPLATE_ATTACHED, "a template outside is attached", part=arrow.source)
        if arrow.type in names.EXTERNAL_CONTENT and arrow.external:
            raise unacceptable(
                Reason.CONTENT_NOT_COVERED, "content is loaded from outside", part=arrow.source
            )
    for part in found.content:
        if not package.content_type(part):
            raise unacceptable(Reason.DOCUMENT_BROKEN, "a part has no content type", part=part)


def _manifest(manifest: etree._Element, package: Package, found: Survey) -> None:
    for part, arrows in sorted(found.to_be_signed().items()):
        ids = [arrow.id for arrow in arrows]
        digest = _sha256(relationships.transform(package.read(part), part, ids))
        uri = f"{part}?ContentType={names.RELATIONSHIPS_TYPE}"
        steps = [(names.RELATIONSHIP_TRANSFORM, ids), (names.C14N, ())]
        xades.reference(manifest, uri, digest, transforms=steps)
    for part in sorted(found.content):
        uri = f"{part}?ContentType={package.content_type(part)}"
        xades.reference(manifest, uri, package.digest(part, "sha256"))


def _method(certificate: x509.Certificate) -> str:
    match certificate.public_key():
        case rsa.RSAPublicKey() as key if key.key_size >= 2048:
            return names.RSA_SHA256
        case ec.EllipticCurvePublicKey() as key if isinstance(key.curve, ec.SECP256R1):
            return names.ECDSA_SHA256
    raise InvalidArgument("KEY_UNSUPPORTED", "documents are signed with RSA from 2048 bits or P-256")


def _set_value(root: etree._Element, value: bytes) -> None:
    """Check the value before it goes anywhere; XMLDSig wants ECDSA as r || s, not DER."""
    info, place = (root.find(f"{{{names.DS}}}{tag}") for tag in ("SignedInfo", "SignatureValue"))
    first = root.findtext(f"{{{names.DS}}}KeyInfo/{{{names.DS}}}X509Data/{{{names.DS}}}X509Certificate")
    if info is None or place is None or not first:
        raise unacceptable(Reason.SIGNATURE_MALFORMED, "not a prepared signature")
    key = x509.load_der_x509_certificate(base64.b64decode(first)).public_key()
    try:
        if isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(value, xml.canonical(info), ec.ECDSA(hashes.SHA256()))
            r, s = utils.decode_dss_signature(value)
            size = (key.key_size + 7) // 8
            value = r.to_bytes(size, "big") + s.to_bytes(size, "big")
        elif isinstance(key, rsa.RSAPublicKey):
            key.verify(value, xml.canonical(info), padding.PKCS1v15(), hashes.SHA256())
    except InvalidSignature as error:
        raise FailedPrecondition("KEY_MISMATCH", "the signature value is not the certificate's") from error
    place.text = xades.encode(value)


def _write(source: Path, target: Path, signature: bytes) -> None:
    with Package.open(source) as package:
        found = survey(package)
        changed: dict[str, bytes] = {}
        if not found.signatures:
            # A later signature must not do this: others may have signed a relationship part as it is.
            for part in found.relationships:
                if (stripped := relationships.normalized(package.read(part), part)) is not None:
                    changed[part] = stripped
        part = _free_name(package)
        origin = found.origin or _ORIGIN
        if found.origin is None:
            root = changed.get(PACKAGE_RELATIONSHIPS) or package.read(PACKAGE_RELATIONSHIPS)
            changed[PACKAGE_RELATIONSHIPS] = _with_origin(root)
            changed[_ORIGIN] = b""
        changed[CONTENT_TYPES_PART] = _with_types(package, origin, part)
        arrows = relationships.part_of(origin)
        changed[arrows] = _with_signature(package.read(arrows) if arrows in package else None, arrows, part)
        changed[part] = signature
        rewrite(package, target, changed)


def _free_name(package: Package) -> str:
    taken = {part.lower() for part in package.entries}
    return next(
        name for n in range(1, len(taken) + 2) if (name := f"/_xmlsignatures/sig{n}.xml") not in taken
    )


def _with_origin(data: bytes) -> bytes:
    root = xml.parse(data, PACKAGE_RELATIONSHIPS)
    _add_relationship(root, names.ORIGIN_RELATIONSHIP, _ORIGIN.removeprefix("/"))
    return xml.serialize(root)


def _with_signature(data: bytes | None, arrows: str, part: str) -> bytes:
    root = (
        xml.new(f"{{{names.RELATIONSHIPS}}}Relationships", {}, {None: names.RELATIONSHIPS})
        if data is None
        else xml.parse(data, arrows)
    )
    # LibreOffice reads relative targets only; a foreign origin may live elsewhere.
    beside = arrows.startswith("/_xmlsignatures/_rels/")
    _add_relationship(root, names.SIGNATURE_RELATIONSHIP, part.rpartition("/")[2] if beside else part)
    return xml.serialize(root)


def _add_relationship(root: etree._Element, kind: str, target: str) -> None:
    taken = {element.get("Id") for element in xml.children(root)}
    identifier = next(name for n in range(1, len(taken) + 2) if (name := f"rIdSignature{n}") not in taken)
    xades.add(root, "Relationship", ns=names.RELATIONSHIPS, Id=identifier, Type=kind, Target=target)


def _with_types(package: Package, origin: str, part: str) -> bytes:
    root = package.read_xml(CONTENT_TYPES_PART)
    if package.content_type(origin) is None:
        # Defaults come before overrides in the schema.
        attributes = {"Extension": "sigs", "ContentType": names.ORIGIN_TYPE}
        root.insert(0, etree.Element(f"{{{names.CONTENT_TYPES}}}Default", attributes))
    elif package.content_type(origin) != names.ORIGIN_TYPE:
        xades.add(root, "Override", ns=names.CONTENT_TYPES, PartName=origin, ContentType=names.ORIGIN_TYPE)
    xades.add(root, "Override", ns=names.CONTENT_TYPES, PartName=part, ContentType=names.SIGNATURE_TYPE)
    return xml.serialize(root)


def _sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()
