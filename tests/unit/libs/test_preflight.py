"""What operators get wrong is told before anything is served."""

from __future__ import annotations

import shutil
import socket
from datetime import timedelta
from pathlib import Path

import pytest
from lienthong.advice import explain
from lienthong.clock import SystemClock
from lienthong.errors import DomainError, FailedPrecondition
from lienthong.pki.identity import Identity, Kind
from lienthong.pki.issuing import Issued
from lienthong.pki.testing import TestAuthority
from lienthong.preflight import check_certificate, check_folder, place
from lienthong.rpc.ports import refused_port
from lienthong.settings import TlsSettings

DOMAIN = "mau.test"
ROUTING = Identity(DOMAIN, Kind.NODE, node="H01", service="routing")
NOW = SystemClock().now()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> TestAuthority:
    return TestAuthority.create(tmp_path_factory.mktemp("pki"), NOW, DOMAIN)


def tls(authority: TestAuthority, files: Issued) -> TlsSettings:
    return TlsSettings(certificate=files.chain_path, key=files.key_path, roots=authority.roots_path)


def refusal(settings: TlsSettings, identity: Identity = ROUTING) -> DomainError:
    with pytest.raises(DomainError) as refused:
        check_certificate(settings, identity, NOW)
    assert "vi:" in explain(refused.value), "there is something to do about it"
    return refused.value


def test_a_good_certificate_passes(authority: TestAuthority) -> None:
    check_certificate(tls(authority, authority.tls_node("H01", "routing")), ROUTING, NOW)


def test_an_expired_certificate_is_named_with_its_file(authority: TestAuthority) -> None:
    files = authority.tls_node("H01", "routing", not_after=NOW - timedelta(days=1), label="old")
    error = refusal(tls(authority, files))
    assert error.reason == "CERTIFICATE_EXPIRED"
    assert str(files.chain_path) in error.message


def test_a_certificate_of_the_future_is_refused(authority: TestAuthority) -> None:
    files = authority.tls_node("H01", "routing", not_before=NOW + timedelta(days=1), label="new")
    assert refusal(tls(authority, files)).reason == "CERTIFICATE_NOT_YET_VALID"


def test_a_certificate_of_another_service_or_node_is_refused(authority: TestAuthority) -> None:
    for files in (authority.tls_node("H01", "storage"), authority.tls_node("G22", "routing")):
        error = refusal(tls(authority, files))
        assert error.reason == "CERTIFICATE_FOREIGN"
        assert "this process is node/H01/routing" in error.message


def test_a_clerks_certificate_is_no_nodes(authority: TestAuthority) -> None:
    assert refusal(tls(authority, authority.tls_client("H01", "clerk", "an"))).reason == "CERTIFICATE_FOREIGN"


def test_a_certificate_of_another_mesh_is_refused(authority: TestAuthority, tmp_path: Path) -> None:
    other = TestAuthority.create(tmp_path / "other", NOW, "khac.test")
    error = refusal(tls(other, other.tls_node("H01", "routing")))
    assert error.reason == "CERTIFICATE_FOREIGN"
    assert "khac.test" in error.message
    # The same names from another authority: only the roots can tell.
    twin = TestAuthority.create(tmp_path / "twin", NOW, DOMAIN)
    error = refusal(tls(authority, twin.tls_node("H01", "routing")))
    assert error.reason == "CERTIFICATE_UNTRUSTED"
    assert str(authority.roots_path) in error.message


def test_a_key_of_another_certificate_is_refused(authority: TestAuthority) -> None:
    files = authority.tls_node("H01", "routing")
    other = authority.tls_node("H01", "reporting")
    settings = TlsSettings(certificate=files.chain_path, key=other.key_path, roots=authority.roots_path)
    assert refusal(settings).reason == "KEY_CERTIFICATE_MISMATCH"


def test_a_missing_file_is_named(authority: TestAuthority, tmp_path: Path) -> None:
    files = authority.tls_node("H01", "routing")
    settings = TlsSettings(
        certificate=files.chain_path, key=tmp_path / "gone.pem", roots=authority.roots_path
    )
    error = refusal(settings)
    assert error.reason == "SETTINGS_INVALID"
    assert "gone.pem" in error.message


def test_a_folder_that_is_a_file_is_not_writable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FailedPrecondition) as refused:
        check_folder(tmp_path / "file" / "storage", "storage.folder")
    assert refused.value.reason == "FOLDER_NOT_WRITABLE"
    assert refused.value.message.startswith("storage.folder: ")


def test_a_read_only_folder_is_not_writable() -> None:
    # Not even root writes there.
    with pytest.raises(FailedPrecondition) as refused:
        check_folder(Path("/proc/self"), "storage.folder")
    assert refused.value.reason == "FOLDER_NOT_WRITABLE"


def test_a_disk_without_room_is_told(tmp_path: Path) -> None:
    free = shutil.disk_usage(tmp_path).free
    check_folder(tmp_path, "signing.spool", room=1)
    with pytest.raises(FailedPrecondition) as refused:
        check_folder(tmp_path, "signing.spool", room=free * 2)
    assert refused.value.reason == "DISK_NEARLY_FULL"
    assert list(tmp_path.iterdir()) == [], "the probe is gone"


def test_a_taken_port_and_a_wrong_address_are_told_apart() -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        taken = refused_port(f"127.0.0.1:{holder.getsockname()[1]}", "listen")
    assert taken.reason == "PORT_TAKEN"
    for wrong in ("127.0.0.1:http", "192.0.2.1:7443", "nonsense", "127.0.0.1:99999"):
        assert refused_port(wrong, "listen").reason == "SETTINGS_INVALID"


def test_a_place_says_no_password() -> None:
    assert place("postgresql://an:bimat@db.mau:5432/registry") == "db.mau:5432/registry"
