"""Who calls, and what they may: certificates to callers, callers against the contract."""

from __future__ import annotations

from pathlib import Path

import pytest
from lienthong.errors import PermissionDenied, Unauthenticated
from lienthong.rpc.access import AccessTable
from lienthong.rpc.identity import (
    Caller,
    CallerKind,
    Identities,
    current_caller,
    node_dns_name,
    parse_caller,
)

from tests.unit.libs.rpc_support import DOMAIN, NODE, ROUTING, Authority, compile_contract


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("node/H01.15/routing", Caller(DOMAIN, CallerKind.NODE, node="H01.15", service="routing")),
        ("node/H01/node", Caller(DOMAIN, CallerKind.NODE, node="H01", service="node")),
        (
            "org/G22/clerk/nguyen-van-a",
            Caller(DOMAIN, CallerKind.ORGANIZATION, organization="G22", role="clerk", name="nguyen-van-a"),
        ),
        ("operator/b", Caller(DOMAIN, CallerKind.OPERATOR, name="b")),
        ("auditor/c", Caller(DOMAIN, CallerKind.AUDITOR, name="c")),
    ],
)
def test_identities_that_call(path: str, expected: Caller) -> None:
    caller = parse_caller(f"spiffe://{DOMAIN}/{path}")
    assert caller == expected
    assert str(caller) == path


@pytest.mark.parametrize(
    "uri",
    [
        f"spiffe://{DOMAIN}/node/H01",  # signs envelopes only
        f"spiffe://{DOMAIN}/org/G22",  # the agency's seal
        f"spiffe://{DOMAIN}/tsa/x",
        f"spiffe://{DOMAIN}/node/h01/routing",
        f"spiffe://{DOMAIN}/node/H01/routing/",
        f"spiffe://{DOMAIN}/node/H01/routing\n",
        f"spiffe://{DOMAIN}/node/H01/../H02/routing",
        f"spiffe://{DOMAIN}/org/G22/owner/x",
        f"https://{DOMAIN}/node/H01/routing",
        "",
    ],
)
def test_identities_that_do_not(uri: str) -> None:
    assert parse_caller(uri) is None


def context_of(authority: Authority, *uris: str) -> dict[str, list[bytes]]:
    return {"x509_pem_cert": [authority.issue(*uris).certificate.read_bytes()]}


def test_the_certificate_tells_the_caller(tmp_path: Path) -> None:
    caller = Identities(DOMAIN).caller(context_of(Authority(tmp_path), ROUTING))
    assert (caller.node, caller.service, len(caller.fingerprint)) == (NODE, "routing", 64)


def test_certificates_that_name_nobody_or_two_are_refused(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    for uris in ((), (f"spiffe://{DOMAIN}/org/G22",), (ROUTING, f"spiffe://{DOMAIN}/operator/b")):
        with pytest.raises(Unauthenticated) as refused:
            Identities(DOMAIN).caller(context_of(authority, *uris))
        assert refused.value.reason == "IDENTITY_UNKNOWN"
    with pytest.raises(Unauthenticated):
        Identities(DOMAIN).caller({})
    with pytest.raises(Unauthenticated):
        Identities(DOMAIN).caller({"x509_pem_cert": [b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END"]})


def test_a_foreign_trust_domain_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PermissionDenied) as refused:
        Identities("other.lienthong").caller(context_of(Authority(tmp_path), ROUTING))
    assert refused.value.reason == "TRUST_DOMAIN_FOREIGN"


def test_a_state_issued_certificate_is_bound_by_fingerprint(tmp_path: Path) -> None:
    context = context_of(Authority(tmp_path))
    with pytest.raises(Unauthenticated) as unbound:
        Identities(DOMAIN).caller(context)
    bindings = {unbound.value.metadata["fingerprint"]: f"spiffe://{DOMAIN}/org/G22/client/van-thu"}
    assert Identities(DOMAIN, bindings).caller(context).organization == "G22"


def test_outside_of_a_call_there_is_no_caller() -> None:
    with pytest.raises(Unauthenticated):
        current_caller()


def test_node_names_are_dns_names() -> None:
    assert node_dns_name("H01.15") == "h01.15.node.lienthong"


CALLERS = {
    "routing": "node/H01/routing",
    "storage": "node/H01/storage",
    "whole": "node/H01/node",
    "peer": "node/G22/routing",
    "client": "org/G22/client/a",
    "leader": "org/G22/leader/a",
    "clerk": "org/G22/clerk/a",
    "operator": "operator/a",
    "auditor": "auditor/a",
}


def outcome(table: AccessTable, method: str, caller: Caller) -> str:
    try:
        table.check(method, caller)
    except PermissionDenied as refused:
        return refused.reason
    return "passed"


@pytest.mark.parametrize(
    ("method", "allowed"),
    [
        ("One", {"routing", "storage", "whole"}),
        ("ForRouting", {"routing", "whole"}),
        ("ForPeers", {"peer"}),
        ("ForClerks", {"clerk"}),
        ("Forgotten", set()),
        ("Unheard", set()),
    ],
)
def test_who_may_call_what(method: str, allowed: set[str], tmp_path_factory: pytest.TempPathFactory) -> None:
    compile_contract(tmp_path_factory.mktemp("contract"))
    table = AccessTable.of_services(NODE, ["lienthong_test.v1.Probe", "lienthong_test.v1.Absent"])
    outcomes = {}
    for name, path in CALLERS.items():
        caller = parse_caller(f"spiffe://{DOMAIN}/{path}")
        assert caller is not None
        outcomes[name] = outcome(table, f"/lienthong_test.v1.Probe/{method}", caller)
        assert outcome(table, "/grpc.health.v1.Health/Check", caller) == "passed"
    refusal = "ROLE_REFUSED" if allowed else "METHOD_CLOSED"
    assert outcomes == {name: "passed" if name in allowed else refusal for name in CALLERS}
