"""Why a port could not be had: gRPC only says that it could not."""

from __future__ import annotations

import errno
import socket

from lienthong.errors import DomainError, FailedPrecondition, InvalidArgument


def refused_port(listen: str, setting: str) -> DomainError:
    """What to tell about an address ("host:port") that could not be bound, asked of the system once more.

    PORT_TAKEN, PORT_FORBIDDEN, or SETTINGS_INVALID for what is no address of this machine.
    """
    host, _, port = listen.rpartition(":")
    try:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            probe.bind((host.strip("[]"), int(port)))
    except (ValueError, OverflowError):
        problem = "is not host:port"
    except OSError as error:
        if error.errno == errno.EACCES:
            return FailedPrecondition(
                "PORT_FORBIDDEN", f"{setting}: {listen} needs rights that this process lacks", listen=listen
            )
        if error.errno != errno.EADDRINUSE:
            problem = f"cannot be bound: {error.strerror}"
        else:
            return _taken(listen, setting)
    else:
        # Free again: whoever had it a moment ago is gone.
        return _taken(listen, setting)
    return InvalidArgument("SETTINGS_INVALID", f"{setting}: {listen} {problem}", field=setting, listen=listen)


def _taken(listen: str, setting: str) -> FailedPrecondition:
    return FailedPrecondition("PORT_TAKEN", f"{setting}: {listen} is taken by another process", listen=listen)
