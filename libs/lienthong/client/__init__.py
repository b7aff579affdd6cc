"""What an agency's software imports: one connection, one client for its organization.

    async with Connection(tls, "127.0.0.1:7443", node="G22") as connection:
        agency = Agency(connection, "G22")
        attachment = await agency.attach(Path("cong-van.pdf"), MAIN)
        submission = await agency.submit(document, ["H01"], IssueHere(notation="VPCP-TH"))

Every call raises the domain errors of the server: `lienthong.errors`, with the same reason.
"""

from __future__ import annotations

from lienthong.client.agency import ANNEX, COPY, EDITABLE, MAIN, Agency, AlreadyIssued, IssueHere
from lienthong.client.connection import Connection
from lienthong.client.inbox import Fetched, Inbox
from lienthong.client.operator import Operator
from lienthong.client.profiles import Profile, Profiles
from lienthong.client.registers import Registers
from lienthong.client.signing import Placement, Placements

__all__ = [
    "ANNEX",
    "COPY",
    "EDITABLE",
    "MAIN",
    "Agency",
    "AlreadyIssued",
    "Connection",
    "Fetched",
    "Inbox",
    "IssueHere",
    "Operator",
    "Placement",
    "Placements",
    "Profile",
    "Profiles",
    "Registers",
]
