"""TLS credentials from files: mutual TLS both ways, and renewed certificates without a restart."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, Final

import grpc
from lienthong.errors import InvalidArgument
from lienthong.settings import TlsSettings

_log: Final = logging.getLogger("lienthong.rpc")


def client_credentials(tls: TlsSettings) -> grpc.ChannelCredentials:
    """What a client shows and trusts; read once, so a channel is rebuilt after renewal."""
    certificate, key, roots = _read(tls)
    return grpc.ssl_channel_credentials(roots, key, certificate)


def server_credentials(tls: TlsSettings) -> grpc.ServerCredentials:
    """What a server shows and trusts; new handshakes use the files as they are then."""
    files = _TlsFiles(tls)
    # The stubs do not know that the callback may answer None, which is how gRPC says "unchanged".
    changed: Any = files.changed_configuration
    return grpc.dynamic_ssl_server_credentials(
        files.configuration(), changed, require_client_authentication=True
    )


class _TlsFiles:
    def __init__(self, tls: TlsSettings) -> None:
        self._tls = tls
        self._stamp = _stamp(tls)

    def configuration(self) -> grpc.ServerCertificateConfiguration:
        certificate, key, roots = _read(self._tls)
        return grpc.ssl_server_certificate_configuration([(key, certificate)], root_certificates=roots)

    def changed_configuration(self) -> grpc.ServerCertificateConfiguration | None:
        """Called by gRPC before a handshake; None keeps the old certificate."""
        try:
            stamp = _stamp(self._tls)
            if stamp == self._stamp:
                return None
            configuration = self.configuration()
        except (InvalidArgument, OSError):
            # Files are being replaced: the old ones still serve, the next handshake looks again.
            _log.warning("tls files not readable, keeping the old certificate", exc_info=True)
            return None
        self._stamp = stamp
        _log.info("tls certificate reloaded")
        return configuration


def _stamp(tls: TlsSettings) -> tuple[tuple[int, int], ...]:
    states = (path.stat() for path in (tls.certificate, tls.key, tls.roots))
    return tuple((state.st_mtime_ns, state.st_ino) for state in states)


def _read(tls: TlsSettings) -> tuple[bytes, bytes, bytes]:
    return _pem(tls.certificate), _pem(tls.key), _pem(tls.roots)


def _pem(path: Path) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InvalidArgument(
            "SETTINGS_INVALID", f"cannot read the TLS file {path}: {error.strerror}", path=path
        ) from None
    if b"-----BEGIN " not in content:
        raise InvalidArgument("SETTINGS_INVALID", f"the TLS file {path} is not PEM", path=path)
    return content
