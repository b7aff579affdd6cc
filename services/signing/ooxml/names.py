"""The identifiers that standards fixed: namespaces, algorithms, content and relationship types."""

from typing import Final

DS: Final = "http://www.w3.org/2000/09/xmldsig#"
XADES: Final = "http://uri.etsi.org/01903/v1.3.2#"
PACKAGE_SIGNATURE: Final = "http://schemas.openxmlformats.org/package/2006/digital-signature"
RELATIONSHIPS: Final = "http://schemas.openxmlformats.org/package/2006/relationships"
CONTENT_TYPES: Final = "http://schemas.openxmlformats.org/package/2006/content-types"
OFFICE_SIGNATURE: Final = "http://schemas.microsoft.com/office/2006/digsig"
# Ours, in documents that outlive us: never change it, add a /2 beside it.
DOCUMENT_MARK: Final = "urn:lienthong:document-mark:1"
XML_PREFIX: Final = "{http://www.w3.org/XML/1998/namespace}"

C14N: Final = "http://www.w3.org/TR/2001/REC-xml-c14n-20010315"
EXCLUSIVE_C14N: Final = "http://www.w3.org/2001/10/xml-exc-c14n#"
RELATIONSHIP_TRANSFORM: Final = "http://schemas.openxmlformats.org/package/2006/RelationshipTransform"

DIGESTS: Final = {
    "http://www.w3.org/2001/04/xmlenc#sha256": "sha256",
    "http://www.w3.org/2001/04/xmldsig-more#sha384": "sha384",
    "http://www.w3.org/2001/04/xmlenc#sha512": "sha512",
}
SHA256_URI: Final = "http://www.w3.org/2001/04/xmlenc#sha256"
_MORE: Final = "http://www.w3.org/2001/04/xmldsig-more#"
RSA_SHA256: Final = _MORE + "rsa-sha256"
ECDSA_SHA256: Final = _MORE + "ecdsa-sha256"
SIGNATURES: Final = {
    _MORE + f"{key}-{digest}": (key, digest)
    for key in ("rsa", "ecdsa")
    for digest in ("sha256", "sha384", "sha512")
}
OBJECT_TYPE: Final = DS + "Object"
SIGNED_PROPERTIES_TYPE: Final = "http://uri.etsi.org/01903#SignedProperties"

ORIGIN_RELATIONSHIP: Final = RELATIONSHIPS + "/digital-signature/origin"
SIGNATURE_RELATIONSHIP: Final = RELATIONSHIPS + "/digital-signature/signature"
CERTIFICATE_RELATIONSHIP: Final = RELATIONSHIPS + "/digital-signature/certificate"
_OFFICE: Final = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/"
_STRICT: Final = "http://purl.oclc.org/ooxml/officeDocument/relationships/"
# What Office and LibreOffice leave unsigned: rewritten on saving, and not shown as content.
METADATA_RELATIONSHIPS: Final = frozenset(
    {
        RELATIONSHIPS + "/metadata/core-properties",
        RELATIONSHIPS + "/metadata/thumbnail",
        _OFFICE + "extended-properties",
        _STRICT + "extendedProperties",
    }
)
MAIN_RELATIONSHIPS: Final = frozenset({_OFFICE + "officeDocument", _STRICT + "officeDocument"})
TEMPLATE_RELATIONSHIPS: Final = frozenset({_OFFICE + "attachedTemplate", _STRICT + "attachedTemplate"})
# Loaded from elsewhere when the document is opened, so no signature covers what is seen.
EXTERNAL_CONTENT: Final = frozenset(
    base + kind
    for base in (_OFFICE, _STRICT)
    for kind in ("aFChunk", "audio", "frame", "image", "oleObject", "subDocument", "video")
)

RELATIONSHIPS_TYPE: Final = "application/vnd.openxmlformats-package.relationships+xml"
ORIGIN_TYPE: Final = "application/vnd.openxmlformats-package.digital-signature-origin"
SIGNATURE_TYPE: Final = "application/vnd.openxmlformats-package.digital-signature-xmlsignature+xml"
CERTIFICATE_TYPE: Final = "application/vnd.openxmlformats-package.digital-signature-certificate"
# Macros, ActiveX controls and what else runs; the macro-enabled main parts say it in their content types.
ACTIVE_TYPES: Final = (
    "macroenabled",
    "vbaproject",
    "vbadata",
    "activex",
    "ms-office.intlmacrosheet",
    "ms-excel.macrosheet",
)
MAIN_TYPES: Final = (
    "wordprocessingml.",
    "spreadsheetml.",
    "presentationml.",
    "ms-word.",
    "ms-excel.",
    "ms-powerpoint.",
)
