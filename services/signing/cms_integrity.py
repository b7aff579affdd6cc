"""What signatures inside a PDF and those beside a file share: CMS, its digest, its value, its algorithms."""

from __future__ import annotations

from typing import Final

from asn1crypto import cms
from asn1crypto import x509 as asn1_x509
from pyhanko.sign.validation.generic_cms import validate_sig_integrity

from services.signing.domain import Reason

STRONG: Final = frozenset({"sha256", "sha384", "sha512"})


def is_strong(signer: cms.SignerInfo) -> bool:
    """SHA-1 and MD5 are refused in the digest as in the signature algorithm, where that names one."""
    method = signer["signature_algorithm"]
    digests = {str(signer["digest_algorithm"]["algorithm"].native)}
    if method["algorithm"].native != "rsassa_pkcs1v15":
        digests.add(str(method.hash_algo))
    return digests <= STRONG


def flaws(signer: cms.SignerInfo, certificate: asn1_x509.Certificate, digest: bytes) -> list[Reason]:
    """Whether the signature is over this digest and was made with the certificate's key."""
    intact, valid = validate_sig_integrity(signer, certificate, "data", digest)
    return [*([] if intact else [Reason.DIGEST_MISMATCH]), *([] if valid else [Reason.SIGNATURE_BROKEN])]
