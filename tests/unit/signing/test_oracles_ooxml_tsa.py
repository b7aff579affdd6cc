"""Judges that are not ours: the JDK's XMLDSig for packages, OpenSSL for timestamps; skipped loudly."""

import hashlib
import shutil
import subprocess
from pathlib import Path

import pytest
from aiohttp import ClientSession
from aiohttp.test_utils import TestServer

from services.signing.ooxml.extend import extend_package
from services.signing.timestamps import build_query, read_reply, verify_token
from services.signing.tsa_http import QUERY_TYPE, timestamp_app
from tests.support import ooxml
from tests.support.ooxml import MARK, SAMPLES, OoxmlWorld

pytestmark = pytest.mark.oracle
JUDGE = Path(__file__).parents[2] / "oracles" / "OoxmlVerify.java"


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> OoxmlWorld:
    return OoxmlWorld.create(tmp_path_factory.mktemp("pki"))


def run(program: str, *arguments: str | Path) -> str:
    path = shutil.which(program)
    if path is None:
        pytest.skip(f"ORACLE MISSING: {program} is not installed, so nobody independent judged this")
    done = subprocess.run(
        [path, *map(str, arguments)], capture_output=True, text=True, timeout=120, check=False
    )
    return done.stdout + done.stderr


async def test_jdk_agrees(office: OoxmlWorld, tmp_path: Path) -> None:
    """RSA twice, then P-256, stamped at once and later, on files of LibreOffice and minimal ones."""
    files = [make(tmp_path / f"mau.{make.__name__}") for make in (ooxml.docx, ooxml.xlsx, ooxml.pptx)]
    for name in ("cong-van-mau.docx", "phu-luc-mau.xlsx"):
        files.append(tmp_path / name)
        files[-1].write_bytes((SAMPLES / name).read_bytes())
    judged = []
    for file in files:
        signed = await office.sign(file, office.leader)
        sealed = await office.sign(signed, office.agency, mark=MARK, stamped=False)
        third = await office.sign(sealed, office.p256_key())
        judged.append(third.with_name(f"final-{file.name}"))
        await extend_package(third, judged[-1], office.timestamper)
    lines = run("java", JUDGE, *judged).splitlines()
    assert len(lines) == 3 * len(files)
    for line in lines:
        assert "core=true" in line, line
        assert "bad=0" in line, line


async def test_jdk_sees_a_change(office: OoxmlWorld, tmp_path: Path) -> None:
    signed = await office.sign(ooxml.docx(tmp_path / "mau.docx"), office.agency)
    changed = ooxml.edited(signed, lambda parts: parts.update({"word/styles.xml": b"<x/>"}))
    assert "bad=1" in run("java", JUDGE, changed)


def test_openssl_accepts_our_token(office: OoxmlWorld, tmp_path: Path) -> None:
    data, reply = tmp_path / "data", tmp_path / "reply.tsr"
    data.write_text("Văn bản MẪU")
    digest = hashlib.sha256(data.read_bytes()).digest()
    reply.write_bytes(office.tsa.respond(build_query(digest, "sha256", 1)))
    verify = ("ts", "-verify", "-data", data, "-in", reply, "-CAfile", office.authority.roots_path)
    # The fake clock lives at another time than OpenSSL.
    said = run("openssl", *verify, "-attime", str(int(office.clock.now().timestamp())))
    assert "Verification: OK" in said, said
    data.write_text("Văn bản khác")
    assert "FAILED" in run("openssl", *verify, "-attime", str(int(office.clock.now().timestamp())))


@pytest.mark.parametrize("options", [("-cert",), ("-cert", "-no_nonce"), ("-cert", "-sha512")])
async def test_openssl_query_over_http(office: OoxmlWorld, tmp_path: Path, options: tuple[str, ...]) -> None:
    data, query, reply = (tmp_path / name for name in ("data", "query.tsq", "reply.tsr"))
    data.write_text("Văn bản MẪU")
    algorithm = "sha512" if "-sha512" in options else "sha256"
    chosen = options if "-sha512" in options else (*options, "-sha256")
    run("openssl", "ts", "-query", "-data", data, *chosen, "-out", query)
    server = TestServer(timestamp_app(office.tsa))
    await server.start_server()
    async with ClientSession() as session:
        url, headers = server.make_url("/"), {"Content-Type": QUERY_TYPE}
        async with session.post(url, data=query.read_bytes(), headers=headers) as response:
            reply.write_bytes(await response.read())
    await server.close()
    digest = hashlib.new(algorithm, data.read_bytes()).digest()
    assert verify_token(read_reply(reply.read_bytes()), digest, office.trust).algorithm == algorithm
    verify = ("ts", "-verify", "-queryfile", query, "-in", reply, "-CAfile", office.authority.roots_path)
    said = run("openssl", *verify, "-attime", str(int(office.clock.now().timestamp())))
    assert "Verification: OK" in said, said


def test_openssl_reads_our_refusal(office: OoxmlWorld, tmp_path: Path) -> None:
    reply = tmp_path / "reply.tsr"
    reply.write_bytes(office.tsa.respond(b"garbage"))
    said = run("openssl", "ts", "-reply", "-in", reply, "-text")
    assert "Rejected" in said, said
    assert "bad data format" in said.lower() or "data submitted has the wrong format" in said, said
