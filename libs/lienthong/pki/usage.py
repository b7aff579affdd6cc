"""What a certificate may be used for: key usages and extended key usages of this project."""

from __future__ import annotations

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, ObjectIdentifier

CLIENT_AUTH = ExtendedKeyUsageOID.CLIENT_AUTH
SERVER_AUTH = ExtendedKeyUsageOID.SERVER_AUTH
EMAIL_PROTECTION = ExtendedKeyUsageOID.EMAIL_PROTECTION
TIME_STAMPING = ExtendedKeyUsageOID.TIME_STAMPING
DOCUMENT_SIGNING = ObjectIdentifier("1.3.6.1.5.5.7.3.36")  # RFC 9336
ENVELOPE_SIGNING = ObjectIdentifier("2.25.243216814207533812650118420393717405")
"""Ours (a UUID arc): envelope keys are used by software, so they must never pass for a seal on a document."""

ENVELOPE_USAGES = frozenset({ENVELOPE_SIGNING, DOCUMENT_SIGNING})
TRANSPORT_USAGES = frozenset({CLIENT_AUTH, SERVER_AUTH})
DOCUMENT_USAGES = frozenset({DOCUMENT_SIGNING, EMAIL_PROTECTION})
TIMESTAMP_USAGES = frozenset({TIME_STAMPING})


def key_usage(
    *, digital_signature: bool = False, content_commitment: bool = False, authority: bool = False
) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        content_commitment=content_commitment,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )
