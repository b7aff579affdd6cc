"""Certificates made by others are judged before a mesh starts, all faults at once."""

import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from lienthong.clock import FakeClock
from lienthong.errors import FailedPrecondition
from lienthong.mesh.keys import issue_all
from lienthong.mesh.layout import Layout
from lienthong.mesh.pki_check import check_pki, pki_faults
from lienthong.mesh.topology import Topology
from lienthong.pki.testing import LIFETIME, TestAuthority

NOW = FakeClock.START
TOPOLOGY = Topology.parse(
    """
trust_domain: hai.lienthong.test
nodes:
  - {node: G22, name: Nút MẪU, tier: CENTRAL}
  - {node: H01, name: Nút MẪU, tier: PROVINCE, parent: G22}
organizations:
  - {code: G22, name: Cơ quan MẪU, tier: CENTRAL, node: G22}
  - code: H01
    name: Cơ quan MẪU
    tier: PROVINCE
    node: H01
    signs_itself: true
    people: [{kind: clerk, name: van-thu}]
operators: [quan-tri]
"""
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pki") / "made"
    issue_all(TOPOLOGY, Layout(folder), FakeClock())
    return folder


@pytest.fixture
def layout(made: Path, tmp_path: Path) -> Layout:
    """A copy that a test may spoil."""
    shutil.copytree(made / "pki", tmp_path / "own")
    return Layout(tmp_path / "mesh", tmp_path / "own")


def faults(layout: Layout, at: datetime = NOW) -> dict[str, str]:
    return {
        str(fault.where.relative_to(layout.pki)): fault.reason
        for fault in pki_faults(TOPOLOGY, layout, "node", at)
    }


def test_what_is_whole_passes(layout: Layout) -> None:
    check_pki(TOPOLOGY, layout, "node", NOW)


def test_services_of_their_own_need_certificates_of_their_own(layout: Layout) -> None:
    with pytest.raises(FailedPrecondition, match="PKI_INCOMPLETE") as refusal:
        check_pki(TOPOLOGY, layout, "services", NOW)
    assert "node/H01/routing/tls/certificate.pem" in str(refusal.value.violations)


def test_all_that_is_missing_is_told_at_once(layout: Layout) -> None:
    for gone in ("node/H01/node/tls/key.pem", "org/G22/seal/chain.pem", "tsa/g22/timestamp/certificate.pem"):
        (layout.pki / "issued" / gone).unlink()

    assert faults(layout) == {
        "issued/node/H01/node/tls/key.pem": "PKI_INCOMPLETE",
        "issued/org/G22/seal/chain.pem": "PKI_INCOMPLETE",
        "issued/tsa/g22/timestamp/certificate.pem": "PKI_INCOMPLETE",
    }


def test_what_its_holder_keeps_elsewhere_need_not_be_there(layout: Layout) -> None:
    for path in ("org/H01/seal", "org/H01/clerk", "operator"):
        shutil.rmtree(layout.pki / "issued" / path)

    assert faults(layout) == {}


def replaced(layout: Layout, path: str, issue: Callable[[TestAuthority], object]) -> None:
    """Issue into the same hierarchy, and put it where another certificate belongs."""
    authority = TestAuthority.open(layout.pki, NOW)
    made = issue(authority)
    target = layout.pki / "issued" / path
    shutil.rmtree(target)
    shutil.copytree(made.folder, target)  # type: ignore[attr-defined]


def test_a_certificate_of_somebody_else_is_refused(layout: Layout) -> None:
    replaced(layout, "node/H01/node/tls", lambda authority: authority.tls_node("H99"))

    assert faults(layout) == {"issued/node/H01/node/tls/certificate.pem": "IDENTITY_WRONG"}


def test_a_certificate_for_another_purpose_is_refused(layout: Layout) -> None:
    replaced(layout, "node/H01/envelope", lambda authority: authority.tls_node("H01"))

    found = faults(layout)
    assert set(found) == {"issued/node/H01/envelope/certificate.pem"}


def test_a_key_that_does_not_fit_is_refused(layout: Layout) -> None:
    issued = layout.pki / "issued"
    shutil.copy(issued / "org/G22/envelope/key.pem", issued / "org/H01/envelope/key.pem")

    assert faults(layout) == {"issued/org/H01/envelope/key.pem": "KEY_MISMATCH"}


def test_another_hierarchy_is_not_trusted(layout: Layout, tmp_path: Path) -> None:
    stranger = TestAuthority.create(tmp_path / "stranger", NOW, TOPOLOGY.trust_domain)
    made = stranger.tls_node("H01")
    target = layout.pki / "issued/node/H01/node/tls"
    shutil.rmtree(target)
    shutil.copytree(made.folder, target)

    assert faults(layout) == {"issued/node/H01/node/tls/certificate.pem": "CERTIFICATE_UNTRUSTED"}


def test_certificates_that_only_ended_are_told_as_such(layout: Layout) -> None:
    late = NOW + LIFETIME + timedelta(days=1)
    with pytest.raises(FailedPrecondition, match="CERTIFICATE_EXPIRED"):
        check_pki(TOPOLOGY, layout, "node", late.astimezone(UTC))


def test_garbage_is_refused_by_name(layout: Layout) -> None:
    (layout.pki / "issued/node/H01/node/tls/certificate.pem").write_text("rác")
    (layout.pki / "issued/org/G22/seal/key.pem").write_bytes(b"\x00")

    assert set(faults(layout)) == {"issued/node/H01/node/tls", "issued/org/G22/seal"}
    (layout.pki / "roots.pem").write_text("rác")
    assert set(faults(layout)) == {"."}
