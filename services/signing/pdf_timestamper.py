"""Our timestampers for pyHanko, which brings a client interface of its own."""

from typing import Final

from asn1crypto import cms
from pyhanko.sign.timestamps import TimeStamper
from pyhanko.sign.timestamps.common_utils import extract_ts_certs

from services.signing.domain import Timestamper

RESERVED_TOKEN_BYTES: Final = 12 * 1024


class PdfTimestamper(TimeStamper):
    """Give one of our timestampers to pyHanko. The token was verified before pyHanko sees it."""

    def __init__(self, timestamper: Timestamper) -> None:
        super().__init__(include_nonce=True)  # type: ignore[no-untyped-call]
        self._timestamper = timestamper

    async def async_timestamp(self, message_digest: bytes, md_algorithm: str) -> cms.ContentInfo:
        """Return the token as pyHanko wants it, and remember its certificates for validation data."""
        token = cms.ContentInfo.load(await self._timestamper.timestamp(message_digest, md_algorithm))
        for certificate in extract_ts_certs(token, self.cert_registry):
            self._certs[certificate.issuer_serial] = certificate
        return token

    async def async_dummy_response(self, md_algorithm: str) -> cms.ContentInfo:  # noqa: ARG002
        """A placeholder of the size we reserve: pyHanko would ask the authority just to measure."""
        return cms.ContentInfo({"content_type": "data", "content": bytes(RESERVED_TOKEN_BYTES)})
