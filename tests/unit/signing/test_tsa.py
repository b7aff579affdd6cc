"""The timestamp authority: tokens, refusals, the encoding rules; over HTTP too."""

import hashlib
import itertools
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import pytest_asyncio
from aiohttp import ClientSession
from aiohttp.test_utils import TestServer
from asn1crypto import algos, cms, core, tsp
from lienthong.clock import FakeClock
from lienthong.errors import InvalidArgument, Unavailable
from lienthong.pki.testing import TestAuthority
from lienthong.pki.trust import TrustStore

from services.signing.der import DerError, Reader, integer, oid
from services.signing.timestamps import TimestampRefused, build_query, read_reply, verify_token
from services.signing.tsa import DEFAULT_POLICY, TimestampAuthority, private_key_signer
from services.signing.tsa_http import QUERY_TYPE, REPLY_TYPE, timestamp_app
from tests.support.ooxml import OoxmlWorld, timestamp_authority

DIGEST = hashlib.sha256("MẪU".encode()).digest()
QUERY = build_query(DIGEST, "sha256", 77)


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> OoxmlWorld:
    return OoxmlWorld.create(tmp_path_factory.mktemp("pki"))


def info_of(token: bytes) -> tsp.TSTInfo:
    return cms.ContentInfo.load(token)["content"]["encap_content_info"]["content"].parsed


def request(**changes: object) -> bytes:
    """A TimeStampReq made by another library than ours."""
    algorithm = changes.pop("algorithm", "sha256")
    imprint = {
        "hash_algorithm": algos.DigestAlgorithm({"algorithm": algorithm}),
        "hashed_message": changes.pop("digest", DIGEST),
    }
    fields = {"version": "v1", "message_imprint": imprint} | changes
    return bytes(tsp.TimeStampReq(fields).dump())


def failure_of(reply: bytes) -> str:
    with pytest.raises(TimestampRefused) as caught:
        read_reply(reply)
    return caught.value.metadata["failure"]


def test_token(office: OoxmlWorld) -> None:
    token = read_reply(office.tsa.respond(QUERY))
    found = verify_token(token, DIGEST, office.trust)
    assert (found.time, found.nonce, found.algorithm) == (office.clock.now(), 77, "sha256")
    assert found.signer == office.tsa.certificate
    info = info_of(token)
    assert info["policy"].native == DEFAULT_POLICY
    assert info["accuracy"]["seconds"].native == 1
    assert info["tsa"].chosen.native["common_name"].startswith("TEST TSA")
    assert info.dump(force=True) == info.dump(), "canonical DER, as another library would encode it"


def test_identifies_its_certificate(office: OoxmlWorld) -> None:
    """RFC 5816: ESSCertIDv2 with SHA-256 (the default, therefore left out) and the issuer's serial."""
    signer = cms.ContentInfo.load(read_reply(office.tsa.respond(QUERY)))["content"]["signer_infos"][0]
    attributes = {one["type"].native: one["values"][0] for one in signer["signed_attrs"]}
    named = attributes["signing_certificate_v2"]["certs"][0]
    assert named["hash_algorithm"]["algorithm"].native == "sha256"
    assert named["issuer_serial"]["serial_number"].native == office.tsa.certificate.serial_number
    encoded = [one.dump() for one in signer["signed_attrs"]]
    assert encoded == sorted(encoded)


def test_serials_come_from_outside_and_are_unique(office: OoxmlWorld) -> None:
    serials = [info_of(read_reply(office.tsa.respond(QUERY)))["serial_number"].native for _ in range(50)]
    assert serials == list(range(serials[0], serials[0] + 50))


@pytest.mark.parametrize(("algorithm", "size"), [("sha256", 32), ("sha384", 48), ("sha512", 64)])
def test_digests(office: OoxmlWorld, algorithm: str, size: int) -> None:
    token = read_reply(office.tsa.respond(build_query(bytes(size), algorithm, 1)))
    assert verify_token(token, bytes(size), office.trust).algorithm == algorithm


def test_certificates_only_when_asked(office: OoxmlWorld) -> None:
    bare = cms.ContentInfo.load(read_reply(office.tsa.respond(request())))["content"]
    full = cms.ContentInfo.load(read_reply(office.tsa.respond(request(cert_req=True))))["content"]
    assert not bare["certificates"]
    assert len(full["certificates"]) == 2


def test_nonce_is_optional_and_repeated_as_it_came(office: OoxmlWorld) -> None:
    for nonce in (None, 0, 127, 128, 2**64 - 1, -5):
        fields = {} if nonce is None else {"nonce": nonce}
        assert info_of(read_reply(office.tsa.respond(request(**fields))))["nonce"].native == nonce


@pytest.mark.parametrize(
    ("query", "failure"),
    [
        (request(algorithm="sha1", digest=bytes(20)), "bad_alg"),
        (request(algorithm="md5", digest=bytes(16)), "bad_alg"),
        (request(digest=bytes(31)), "bad_data_format"),
        (request(req_policy="1.2.3.4"), "unaccepted_policy"),
        (request(extensions=[{"extn_id": "1.2.3", "extn_value": b"x"}]), "unaccepted_extensions"),
        (request(version="v2"), "bad_request"),
        (b"", "bad_data_format"),
        (b"\x30\x80\x02\x01\x01\x00\x00", "bad_data_format"),
        (QUERY + b"\x00", "bad_data_format"),
        (QUERY[:-1], "bad_data_format"),
        (b"\x30\x84\xff\xff\xff\xff" + QUERY, "bad_data_format"),
    ],
)
def test_refusals_are_encoded(office: OoxmlWorld, query: bytes, failure: str) -> None:
    assert failure_of(office.tsa.respond(query)) == failure


def test_every_cut_and_flip_of_a_query_gets_an_answer(office: OoxmlWorld) -> None:
    answers = {True: 0, False: 0}
    for place in range(len(QUERY)):
        for query in (QUERY[:place], QUERY[:place] + bytes([QUERY[place] ^ 0x81]) + QUERY[place + 1 :]):
            reply = Reader(office.tsa.respond(query)).inside(0x30)
            answers[reply.inside(0x30).content(0x02) == b"\x00"] += 1
    assert min(answers.values()) > 10, "flips of the digest are granted, cuts are refused"


def test_the_own_policy_may_be_asked_for(office: OoxmlWorld) -> None:
    token = read_reply(office.tsa.respond(request(req_policy=DEFAULT_POLICY)))
    assert info_of(token)["policy"].native == DEFAULT_POLICY


def test_no_token_while_the_clock_is_not_trusted(office: OoxmlWorld) -> None:
    trusted = [False]
    issued = office.authority.issued("tsa/test", "timestamp")
    tsa = timestamp_authority(issued, office.clock, clock_trusted=lambda: trusted[0])
    assert failure_of(tsa.respond(QUERY)) == "time_not_available"
    trusted[0] = True
    assert read_reply(tsa.respond(QUERY))


def test_no_token_without_a_serial(office: OoxmlWorld) -> None:
    def none_left() -> int:
        raise Unavailable("DATABASE_UNAVAILABLE")

    issued = office.authority.issued("tsa/test", "timestamp")
    tsa = timestamp_authority(issued, office.clock, serials=none_left)
    assert failure_of(tsa.respond(QUERY)) == "system_failure"


def test_another_certificate_cannot_stamp(office: OoxmlWorld) -> None:
    key = office.authority.issued("org/G22", "seal")
    with pytest.raises(ValueError, match="timeStamping"):
        TimestampAuthority(
            private_key_signer(key.key()),
            key.certificate(),
            (),
            clock=office.clock,
            serials=itertools.count(1).__next__,
        )


def test_after_2050(tmp_path: Path) -> None:
    """RFC 5652 11.3: signing time turns from UTCTime into GeneralizedTime."""
    clock = FakeClock(datetime(2050, 1, 2, tzinfo=UTC))
    authority = TestAuthority.create(tmp_path, clock)
    tsa = timestamp_authority(authority.timestamp_authority(), clock)
    trust = TrustStore.load(authority.roots_path, authority.document_chain_path, authority.crl_paths)
    token = read_reply(tsa.respond(QUERY))
    assert verify_token(token, DIGEST, trust).time == clock.now()
    signer = cms.ContentInfo.load(token)["content"]["signer_infos"][0]
    times = [one["values"][0] for one in signer["signed_attrs"] if one["type"].native == "signing_time"]
    assert isinstance(times[0].chosen, core.GeneralizedTime)


# -- judging tokens ------------------------------------------------------------------------------------------


def refused(office: OoxmlWorld, token: bytes, digest: bytes = DIGEST) -> str:
    with pytest.raises(InvalidArgument, match="TIMESTAMP_INVALID") as caught:
        verify_token(token, digest, office.trust)
    return caught.value.message


def test_another_digest(office: OoxmlWorld) -> None:
    token = read_reply(office.tsa.respond(QUERY))
    assert "something else" in refused(office, token, bytes(32))
    assert "digest algorithm" in refused(office, token, bytes(48))


def test_without_certificate(office: OoxmlWorld) -> None:
    assert "certificate" in refused(office, read_reply(office.tsa.respond(request())))


def test_a_stranger(office: OoxmlWorld, tmp_path: Path) -> None:
    stranger = OoxmlWorld.create(tmp_path)
    assert "not trusted" in refused(office, read_reply(stranger.tsa.respond(QUERY)))


def test_expired_and_revoked_authority(office: OoxmlWorld) -> None:
    now = office.clock.now()
    expired = office.authority.timestamp_authority("expired", not_after=now - timedelta(days=1))
    tsa = timestamp_authority(expired, office.clock)
    assert "not trusted" in refused(office, read_reply(tsa.respond(QUERY)))


def test_flipped_bytes_are_noticed(office: OoxmlWorld) -> None:
    """Except in the certificates that nothing depends on, and in version numbers that nothing signs."""
    token = read_reply(office.tsa.respond(QUERY))
    accepted = []
    for place in range(0, len(token), 3):
        flipped = token[:place] + bytes([token[place] ^ 0x01]) + token[place + 1 :]
        try:
            found = verify_token(flipped, DIGEST, office.trust)
        except InvalidArgument:
            continue
        accepted.append(place)
        assert found.time == office.clock.now()
        assert found.signer == office.tsa.certificate
    intermediate = office.authority.issued("tsa/test", "timestamp").chain_der()[1]
    start = token.index(intermediate)
    outside = [place for place in accepted if not start <= place < start + len(intermediate)]
    assert len(outside) < 8


# -- HTTP ----------------------------------------------------------------------------------------------------


@pytest_asyncio.fixture
async def endpoint(office: OoxmlWorld) -> AsyncIterator[TestServer]:
    server = TestServer(timestamp_app(office.tsa))
    await server.start_server()
    yield server
    await server.close()


async def test_post(office: OoxmlWorld, endpoint: TestServer) -> None:
    async with ClientSession() as session:
        response = await session.post(
            endpoint.make_url("/"), data=QUERY, headers={"Content-Type": QUERY_TYPE}
        )
        assert (response.status, response.content_type) == (200, REPLY_TYPE)
        assert verify_token(read_reply(await response.read()), DIGEST, office.trust).nonce == 77


@pytest.mark.parametrize(
    ("method", "kind", "body", "status"),
    [
        ("GET", QUERY_TYPE, b"", 405),
        ("POST", "text/plain", QUERY, 415),
        ("POST", QUERY_TYPE, bytes(64 * 1024 + 1), 413),
        ("POST", QUERY_TYPE, b"garbage", 200),
    ],
)
async def test_http_refusals(endpoint: TestServer, method: str, kind: str, body: bytes, status: int) -> None:
    async with ClientSession() as session:
        response = await session.request(
            method, endpoint.make_url("/"), data=body, headers={"Content-Type": kind}
        )
        assert response.status == status
        if status == 200:
            assert failure_of(await response.read()) == "bad_data_format"


# -- DER -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [0, 1, 127, 128, 255, 256, 2**159 - 1])
def test_integers(value: int) -> None:
    assert integer(value) == core.Integer(value).dump()


@pytest.mark.parametrize(
    "dotted", ["1.2.840.113549.1.9.16.1.4", "2.16.840.1.101.3.4.2.1", "2.999.3", "0.9.2342"]
)
def test_object_identifiers(dotted: str) -> None:
    assert oid(dotted) == core.ObjectIdentifier(dotted).dump()


@pytest.mark.parametrize(
    "data", [b"\x02\x81\x01\x00", b"\x02\x80", b"\x02", b"\x02\x02\x00", b"\x04\x00", b"\x02\x82\x00\x01\x00"]
)
def test_reader_is_strict(data: bytes) -> None:
    with pytest.raises(DerError):
        Reader(data).element(0x02)
