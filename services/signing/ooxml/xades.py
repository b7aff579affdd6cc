"""The elements of a package signature, spelled as Office and LibreOffice expect, and reading our mark."""

import base64
import hashlib
from collections.abc import Iterable
from datetime import UTC, date, datetime
from typing import Final

from cryptography import x509
from lienthong.notation import printed_number
from lxml import etree

from services.signing.domain import IssueMark, issue_statement
from services.signing.ooxml import names, xml

SIGNATURE_ID: Final = "idPackageSignature"
PACKAGE_OBJECT, OFFICE_OBJECT, SIGNED_PROPERTIES = "idPackageObject", "idOfficeObject", "idSignedProperties"
_TARGET: Final = "#" + SIGNATURE_ID
_MARK: Final = ("Number", "Notation", "Date")
# MS-OFFCRYPTO 2.5.2.5: the values say what made the signature; Office wants all of them, in this order.
_SIGNATURE_INFO: Final = (
    ("SetupID", ""), ("SignatureText", ""), ("SignatureImage", ""), ("SignatureComments", ""),
    ("WindowsVersion", "10.0"), ("OfficeVersion", "16.0"), ("ApplicationVersion", "16.0"), ("Monitors", "1"),
    ("HorizontalResolution", "1280"), ("VerticalResolution", "800"), ("ColorDepth", "32"),
    ("SignatureProviderId", "{00000000-0000-0000-0000-000000000000}"), ("SignatureProviderUrl", ""),
    ("SignatureProviderDetails", "9"), ("SignatureType", "1"),
)  # fmt: skip


def add(
    parent: etree._Element,
    tag: str,
    text: str | None = None,
    *,
    ns: str = names.DS,
    prefix: str = "",
    **attributes: str,
) -> etree._Element:
    """A child element; `prefix` declares its namespace anew: "-" as the default one."""
    declared = {None if prefix == "-" else prefix: ns} if prefix else {}
    child = xml.new(f"{{{ns}}}{tag}", attributes, declared)
    child.text = text
    parent.append(child)
    return child


def encode(data: bytes) -> str:
    return base64.b64encode(data).decode()


def reference(
    parent: etree._Element,
    uri: str,
    digest: bytes,
    kind: str | None = None,
    transforms: Iterable[tuple[str, Iterable[str]]] = (),
) -> None:
    """One ds:Reference over SHA-256; a relationships transform names the Ids it keeps."""
    attributes = {"URI": uri} | ({"Type": kind} if kind else {})
    element = add(parent, "Reference", **attributes)
    steps = tuple(transforms)
    if steps:
        chain = add(element, "Transforms")
        for algorithm, ids in steps:
            step = add(chain, "Transform", Algorithm=algorithm)
            for identifier in ids:
                add(
                    step,
                    "RelationshipReference",
                    ns=names.PACKAGE_SIGNATURE,
                    prefix="mdssi",
                    SourceId=identifier,
                )
    add(element, "DigestMethod", Algorithm=names.SHA256_URI)
    add(element, "DigestValue", encode(digest))


def signature_time(package_object: etree._Element, time: datetime) -> None:
    """ECMA-376-2 10.5.8.8: the signer's claim of the time, in the package's own property."""
    holder = add(
        add(package_object, "SignatureProperties"), "SignatureProperty", Id="idSignatureTime", Target=_TARGET
    )
    element = add(holder, "SignatureTime", ns=names.PACKAGE_SIGNATURE, prefix="mdssi")
    add(element, "Format", "YYYY-MM-DDThh:mm:ssTZD", ns=names.PACKAGE_SIGNATURE)
    add(element, "Value", time_text(time), ns=names.PACKAGE_SIGNATURE)


def office_object(signature: etree._Element, mark: IssueMark | None) -> etree._Element:
    """The application's object: Office's details with a comment for people, and our mark for programs."""
    element = add(signature, "Object", Id=OFFICE_OBJECT)
    holder = add(element, "SignatureProperties")
    details = add(holder, "SignatureProperty", Id="idOfficeV1Details", Target=_TARGET)
    info = add(details, "SignatureInfoV1", ns=names.OFFICE_SIGNATURE, prefix="-")
    comment = issue_statement(mark) if mark else ""
    for tag, value in _SIGNATURE_INFO:
        add(info, tag, comment if tag == "SignatureComments" else value, ns=names.OFFICE_SIGNATURE)
    if mark is not None:
        own = add(holder, "SignatureProperty", Id="idDocumentMark", Target=_TARGET)
        element_mark = add(own, "DocumentMark", ns=names.DOCUMENT_MARK, prefix="-")
        add(element_mark, "Number", printed_number(mark.number), ns=names.DOCUMENT_MARK)
        add(element_mark, "Notation", mark.notation, ns=names.DOCUMENT_MARK)
        add(element_mark, "Date", mark.date.isoformat(), ns=names.DOCUMENT_MARK)
    return element


def qualifying_properties(signature: etree._Element, certificate: bytes, time: datetime) -> etree._Element:
    """XAdES properties (ETSI EN 319 132): when, and by which certificate; returns the SignedProperties."""
    parsed = x509.load_der_x509_certificate(certificate)
    qualifying = add(
        add(signature, "Object"), "QualifyingProperties", ns=names.XADES, prefix="xd", Target=_TARGET
    )
    signed = add(qualifying, "SignedProperties", ns=names.XADES, Id=SIGNED_PROPERTIES)
    properties = add(signed, "SignedSignatureProperties", ns=names.XADES)
    add(properties, "SigningTime", time_text(time), ns=names.XADES)
    identified = add(add(properties, "SigningCertificate", ns=names.XADES), "Cert", ns=names.XADES)
    digest = add(identified, "CertDigest", ns=names.XADES)
    add(digest, "DigestMethod", Algorithm=names.SHA256_URI)
    add(digest, "DigestValue", encode(hashlib.sha256(certificate).digest()))
    issuer = add(identified, "IssuerSerial", ns=names.XADES)
    add(issuer, "X509IssuerName", parsed.issuer.rfc4514_string())
    add(issuer, "X509SerialNumber", str(parsed.serial_number))
    add(
        add(properties, "SignaturePolicyIdentifier", ns=names.XADES), "SignaturePolicyImplied", ns=names.XADES
    )
    return signed


def add_timestamp(signature: etree._Element, token: bytes) -> None:
    """Put a token over the canonical SignatureValue into the unsigned properties."""
    qualifying = signature.find(f"{{{names.DS}}}Object/{{{names.XADES}}}QualifyingProperties")
    if qualifying is None:
        raise ValueError("the signature has no XAdES properties")
    unsigned = _child_or_new(_child_or_new(qualifying, "UnsignedProperties"), "UnsignedSignatureProperties")
    stamp = add(unsigned, "SignatureTimeStamp", ns=names.XADES)
    add(stamp, "CanonicalizationMethod", Algorithm=names.C14N)
    add(stamp, "EncapsulatedTimeStamp", encode(token), ns=names.XADES)


def _child_or_new(parent: etree._Element, tag: str) -> etree._Element:
    found = parent.find(f"{{{names.XADES}}}{tag}")
    return add(parent, tag, ns=names.XADES) if found is None else found


def value_to_stamp(signature: etree._Element, method: str = names.C14N) -> bytes:
    """What a signature timestamp is made over: the ds:SignatureValue element, canonical."""
    value = signature.find(f"{{{names.DS}}}SignatureValue")
    if value is None:
        raise ValueError("the signature has no value")
    return xml.canonical(value, method)


def read_mark(signed_objects: Iterable[etree._Element]) -> tuple[str, str, date] | None:
    """Number, notation and date out of objects that the signature covers."""
    for element in signed_objects:
        properties = f"{{{names.DS}}}SignatureProperties/{{{names.DS}}}SignatureProperty"
        mark = element.find(f"{properties}/{{{names.DOCUMENT_MARK}}}DocumentMark")
        if mark is not None:
            number, notation, day = (mark.findtext(f"{{{names.DOCUMENT_MARK}}}{tag}") or "" for tag in _MARK)
            return number, notation, date.fromisoformat(day)
    return None


def time_text(time: datetime) -> str:
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
