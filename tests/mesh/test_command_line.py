"""A clerk's day by the real command line: every command is a process of its own, judged by its JSON and exit
code. The acts follow one another; each test is one of them."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from asn1crypto import cms
from lienthong.client.profiles import Profiles
from lienthong.mesh import Mesh
from lienthong.mesh.profile_file import profiles_of

from tests.mesh.mail import SAMPLES

pytestmark = pytest.mark.mesh

NOTATION = "VPCP-DL"
OTHERS = ("H01", "H01.03", "H01.15.09")
CHAIN = ["G22", "H01", "H01.15"]


@dataclass(frozen=True)
class Ended:
    """How a command ended, and what it said."""

    code: int
    out: str
    err: str

    @property
    def told(self) -> Any:
        assert self.code == 0, self.err
        return json.loads(self.out)

    @property
    def refusal(self) -> Any:
        assert self.out == ""
        return json.loads(self.err.splitlines()[-1])["error"]


@dataclass
class Desk:
    """A folder with profiles.yaml and the clerk's files, and what the day has brought so far."""

    folder: Path
    document: Any = None

    def run(self, *arguments: str, stdin: int = subprocess.DEVNULL) -> Ended:
        environ = {name: value for name, value in os.environ.items() if not name.startswith("LIENTHONG_")}
        done = subprocess.run(
            [sys.executable, "-m", "lienthong.cli", *arguments],
            cwd=self.folder,
            env=environ | {"COLUMNS": "100"},
            stdin=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return Ended(done.returncode, done.stdout, done.stderr)

    def json(self, *arguments: str) -> Ended:
        return self.run("--json", *arguments)

    @property
    def code(self) -> str:
        return str(self.document["document"]["code"])

    def until(self, *arguments: str, holds: Any) -> Any:
        """The JSON of a command, once it says what must become true."""
        deadline = time.monotonic() + 30
        while not holds(told := self.json(*arguments).told):
            assert time.monotonic() < deadline, told
            time.sleep(0.2)
        return told


@pytest.fixture(scope="module")
def desk(mesh: Mesh, tmp_path_factory: pytest.TempPathFactory) -> Desk:
    folder = tmp_path_factory.mktemp("desk")
    profiles_of(mesh).write(folder / "profiles.yaml")
    for sample in SAMPLES.iterdir():
        (folder / sample.name).write_bytes(sample.read_bytes())
    return Desk(folder)


def test_the_profiles_are_listed_with_their_roles(desk: Desk) -> None:
    listed = {row["name"]: row for row in desk.json("profiles").told["profiles"]}

    assert listed["G22/clerk/tran-thi-van-thu"]["kind"] == "clerk"
    assert listed["G22/clerk/tran-thi-van-thu"]["default"]
    assert {row["kind"] for row in listed.values()} == {"clerk", "leader", "client", "operator"}


def test_prepare_and_sign(desk: Desk) -> None:
    prepared = desk.run("prepare", "cong-van-mau.pdf")
    signed = desk.json("sign", "cong-van-mau-co-o-ky.pdf", "-o", "cong-van.pdf")
    again = desk.json("sign", "cong-van-mau-co-o-ky.pdf", "-o", "cong-van.pdf")

    assert prepared.code == 0, prepared.err
    assert prepared.out.endswith("lienthong sign cong-van-mau-co-o-ky.pdf\n")
    content = (desk.folder / "cong-van.pdf").read_bytes()
    assert signed.told["sha256"] == hashlib.sha256(content).hexdigest()
    assert (again.code, again.refusal["reason"]) == (2, "FILE_EXISTS")


def test_office_files_are_signed_too(desk: Desk) -> None:
    assert desk.json("sign", "phu-luc-mau.xlsx").told["output"] == "phu-luc-mau-da-ky.xlsx"


def test_a_signature_may_lie_beside_its_file(desk: Desk) -> None:
    signed = desk.run("sign", "phu-luc-mau.xlsx", "--detached")

    assert signed.code == 0, signed.err
    assert signed.err == "Dùng hồ sơ kết nối G22/leader/nguyen-van-mau\n"
    signature = cms.ContentInfo.load((desk.folder / "phu-luc-mau.xlsx.p7s").read_bytes())
    attributes = {
        one["type"].native: one["values"] for one in signature["content"]["signer_infos"][0]["signed_attrs"]
    }
    expected = hashlib.sha256((desk.folder / "phu-luc-mau.xlsx").read_bytes()).digest()
    assert attributes["message_digest"][0].native == expected


def test_a_clerk_cannot_sign_for_the_leader(desk: Desk) -> None:
    refused = desk.json("sign", "cong-van-mau.docx", "--profile", "H01.03/clerk/vu-thi-so")

    assert (refused.code, refused.refusal["reason"]) == (1, "ROLE_REFUSED")


def test_send_waits_until_issued(desk: Desk) -> None:
    (desk.folder / "to.txt").write_text("h01.03  # sở\nH01.15.09\n")
    request_id = str(uuid.uuid4())
    words = [
        "--subject",
        "V/v dòng lệnh MẪU",
        "--notation",
        NOTATION,
        "--urgency",
        "khẩn",
        "--due",
        "07/12/2026",
    ]
    words += ["--from", "G22", "--to", "H01", "--to-file", "to.txt", "--request-id", request_id]

    desk.document = desk.json("send", "cong-van.pdf", "phu-luc-mau-da-ky.xlsx", *words).told
    repeated = desk.json("send", "cong-van.pdf", "phu-luc-mau-da-ky.xlsx", *words).told

    assert desk.document["state"] == "ISSUED"
    assert desk.document["request_id"] == request_id
    assert desk.document["document"]["notation"] == NOTATION
    assert desk.document["document"]["urgency"] == "URGENT"
    assert desk.document["document"]["due_date"] == "2026-12-07"
    roles = [attachment["role"] for attachment in desk.document["document"]["attachments"]]
    assert roles == ["MAIN", "ANNEX"]
    assert repeated["submission_id"] == desk.document["submission_id"]


@pytest.mark.parametrize(
    ("language", "said"), [("vi", "Nên làm: Không có cơ quan nhận"), ("en", "Next: No organi")]
)
def test_a_wrong_recipient_is_refused_with_advice(desk: Desk, language: str, said: str) -> None:
    words = ["--to", "H01,X99", "--subject", "MẪU", "--notation", NOTATION, "--language", language]

    refused = desk.run("send", "cong-van.pdf", *words)

    assert refused.code == 1
    assert refused.err.startswith("lienthong: RECIPIENT_UNKNOWN: ")
    assert "recipients[1]" in refused.err
    assert said in refused.err


def test_the_submission_is_found_by_its_code_and_by_the_beginning_of_its_id(desk: Desk) -> None:
    told = desk.until(
        "submission", desk.code, holds=lambda one: all(r["outcome"] == "DELIVERED" for r in one["recipients"])
    )

    assert [recipient["organization"] for recipient in told["recipients"]] == list(OTHERS)
    by_id = desk.json("submission", told["submission_id"][:18]).told
    assert by_id["submission_id"] == told["submission_id"]
    assert told["submission_id"] in {one["submission_id"] for one in desk.json("submission").told}
    for nothing in (f"999/{NOTATION}", f"H01:{desk.code}"):
        unknown = desk.json("submission", nothing)
        assert (unknown.code, unknown.refusal["reason"]) == (1, "REFERENCE_UNKNOWN")


def test_the_inbox_as_a_table(desk: Desk) -> None:
    shown = desk.run("inbox", "--profile", "H01")

    assert shown.code == 0, shown.err
    [line] = [line for line in shown.out.splitlines() if desk.code in line]
    assert "G22" in line
    assert "Khẩn" in line
    assert "Hợp lệ" in line
    assert max(map(len, shown.out.splitlines())) <= 100
    assert "\x1b" not in shown.out


def test_fetch_downloads_checks_and_confirms(desk: Desk) -> None:
    [fetched] = desk.json("fetch", desk.code, "--profile", "H01", "-o", "den").told

    digests = {attachment["sha256"] for attachment in fetched["document"]["attachments"]}
    assert fetched["files"].keys() == digests
    for digest, path in fetched["files"].items():
        assert hashlib.sha256((desk.folder / path).read_bytes()).hexdigest() == digest
    assert {verdict["verdict"] for verdict in fetched["verdicts"]} == {"VALID"}
    [delivery] = [
        one
        for one in desk.json("inbox", "--all", "--profile", "H01").told
        if one["delivery_id"] == fetched["delivery_id"]
    ]
    assert delivery["fetched"]


def test_fetch_spares_what_was_edited(desk: Desk) -> None:
    words = ("fetch", desk.code, "--profile", "H01", "-o", "den")
    [again] = desk.json(*words).told
    file = desk.folder / next(iter(again["files"].values()))
    file.write_bytes(b"edited")

    refused = desk.json(*words)
    spared = file.read_bytes()
    [forced] = desk.json(*words, "--force").told

    assert (refused.code, refused.refusal["reason"], spared) == (2, "FILE_EXISTS", b"edited")
    assert forced["files"] == again["files"]
    assert file.read_bytes() != b"edited"


def test_fetch_all_new_goes_on_behind_one_that_it_cannot_fetch(desk: Desk) -> None:
    [delivery] = [
        one
        for one in desk.json("inbox", "--all", "--profile", "H01.03").told
        if one["document"]["code"] == desk.code
    ]
    words = ("fetch", "--all-new", "--profile", "H01.03", "-o", "den-03")
    folder = f"G22-{desk.code.replace('/', '-')}-{delivery['delivery_id'][-6:]}"
    file = desk.folder / "den-03" / folder / delivery["document"]["attachments"][0]["name"]
    file.parent.mkdir(parents=True)
    file.write_bytes(b"edited")

    harmed = desk.json(*words)

    assert harmed.code == 5
    assert delivery["delivery_id"] not in {one["delivery_id"] for one in json.loads(harmed.out)}
    assert json.loads(harmed.err.splitlines()[-1])["error"]["reason"] == "FILE_EXISTS"
    forced = desk.json(*words, "--force").told
    assert [one["delivery_id"] for one in forced] == [delivery["delivery_id"]]


def test_fetch_all_new(desk: Desk) -> None:
    first = desk.json("fetch", "--all-new", "--profile", "H01.15.09").told
    second = desk.json("fetch", "--all-new", "--profile", "H01.15.09").told

    assert desk.code in [one["document"]["code"] for one in first]
    assert second == []


def test_accept_assign_process_complete_and_refuse(desk: Desk) -> None:
    accepted = desk.json("accept", desk.code, "--profile", "H01").told
    refused = desk.json("refuse", desk.code, "--profile", "H01.03", "--reason", "gửi nhầm cơ quan").told
    statuses = [accepted["status"], refused["status"]]
    for name in ("assign", "process", "complete"):
        done = desk.json(name, desk.code, "--profile", "H01", "--actor", "Lê Thị Tỉnh", "--note", "MẪU").told
        statuses.append(done["status"])
    backwards = desk.json("process", desk.code, "--profile", "H01")

    assert statuses == ["03", "02", "04", "05", "06"]
    assert accepted["arrival_number"] > 0
    assert (refused["reason"], refused["arrival_number"]) == ("gửi nhầm cơ quan", None)
    assert (backwards.code, backwards.refusal["reason"]) == (1, "STATUS_FINAL")
    open_ones = [one["document"]["code"] for one in desk.json("inbox", "--profile", "H01").told]
    assert desk.code not in open_ones


def test_reply_goes_to_the_sender_and_names_what_it_answers(desk: Desk) -> None:
    for words in (
        ["prepare", "cong-van-mau.pdf", "-o", "tra-loi.pdf"],
        ["sign", "tra-loi.pdf", "-o", "bao-cao.pdf"],
    ):
        assert desk.run(*words, "--profile", "H01.15.09").code == 0
    words = ["--subject", "V/v trả lời MẪU", "--notation", "BC-DL", "--profile", "H01.15.09", "--delivered"]

    told = desk.json("reply", desk.code, "bao-cao.pdf", *words).told

    assert [recipient["organization"] for recipient in told["recipients"]] == ["G22"]
    assert told["recipients"][0]["outcome"] == "DELIVERED"
    [answer] = told["document"]["answers"]
    assert (answer["organization"], answer["code"]) == ("G22", desk.code)
    assert answer["document_id"] == desk.document["document"]["document_id"]


def test_receipts_are_all_there(desk: Desk) -> None:
    def complete(receipts: Any) -> bool:
        wanted = {("H01", "06"), ("H01.03", "02"), ("H01.15.09", "01")}
        return wanted <= {(one["recipient"], one["status"]) for one in receipts}

    receipts = desk.until("receipts", desk.code, holds=complete)

    assert len(receipts) == 8
    assert {one["document_id"] for one in receipts} == {desk.document["document"]["document_id"]}
    assert f" {desk.code} " in desk.run("receipts").out


def test_the_journey_has_every_hop_and_every_step(desk: Desk) -> None:
    def complete(journey: Any) -> bool:
        return sum(len(branch["statuses"]) for branch in journey["recipients"]) == 8

    told = desk.until("journey", desk.code, holds=complete)

    branches = {branch["organization"]: branch for branch in told["recipients"]}
    assert [hop["node"] for hop in branches["H01.15.09"]["hops"]] == CHAIN
    assert [fact["status"] for fact in branches["H01"]["statuses"]] == ["01", "03", "04", "05", "06"]
    shown = desk.run("journey", desk.code, "--language", "en").out
    assert "06 Completed" in shown
    assert "gửi nhầm cơ quan" in shown
    assert shown.count("node H01 ") == 3


def test_trace_draws_all_hops_without_anybodys_spans(desk: Desk) -> None:
    profiles = Profiles.read(desk.folder / "profiles.yaml")
    blind = {name: profile.model_copy(update={"spans": ()}) for name, profile in profiles.profiles.items()}
    Profiles(default=profiles.default, profiles=blind).write(desk.folder / "blind.yaml")

    told = desk.json("trace", desk.code, "--profiles", "blind.yaml").told

    assert told["spans"] == []
    assert told["trace_id"] == desk.document["trace_id"]
    hops = {(hop["node"], hop["next_node"]): hop["recipients"] for hop in told["hops"]}
    assert hops[("G22", "H01")] == list(OTHERS)
    assert hops[("H01", None)] == ["H01", "H01.03"]
    assert hops[("H01.15", None)] == ["H01.15.09"]
    drawn = desk.run("trace", desk.code, "--profiles", "blind.yaml", "--width", "100")
    assert drawn.out.splitlines()[0].startswith(f"trace {told['trace_id']}: {len(hops)} hops, 0 spans")
    assert drawn.out.count("▒") >= len(hops)


def test_trace_adds_the_spans_that_may_be_read(desk: Desk, mesh: Mesh) -> None:
    folder = str(mesh.layout.node("G22").folder)

    told = desk.json("trace", desk.code, "--spans", folder).told
    older = desk.run("trace", "--id", told["trace_id"], folder)

    assert {span["node"] for span in told["spans"]} == {"G22"}
    assert "issue" in {span["name"] for span in told["spans"]}
    assert older.code == 0, older.err
    assert older.out.startswith(f"trace {told['trace_id']}: ")


def test_the_registers_have_no_gaps(desk: Desk) -> None:
    outgoing = desk.json("register", "outgoing").told
    incoming = desk.run("register", "đến", "--profile", "H01")
    exported = desk.json("register", "incoming", "--profile", "H01", "--export", "html", "-o", "so.html")

    assert desk.code in [entry["code"] for entry in outgoing["entries"]]
    assert outgoing["check"]["missing"] == []
    assert outgoing["check"]["chain_intact"]
    assert incoming.code == 0, incoming.err
    assert desk.code in incoming.out
    assert "Sổ liền số" in incoming.out
    assert exported.told == {"output": "so.html"}
    assert desk.code in (desk.folder / "so.html").read_text(encoding="utf-8")


def test_ping_tells_each_hop(desk: Desk) -> None:
    hops = desk.json("ping", "H01.15").told
    shown = desk.run("ping", "H01.15")

    assert [hop["node"] for hop in hops] == CHAIN
    assert hops[0]["onward_ms"] > hops[1]["onward_ms"] > hops[2]["onward_ms"] == 0
    assert hops[-1]["link_ms"] is None
    assert [line.split()[0] for line in shown.out.splitlines()[2:]] == CHAIN
    unknown = desk.json("ping", "X99")
    assert (unknown.code, unknown.refusal["reason"]) == (1, "NODE_UNKNOWN")


def test_storage_verify_finds_what_is_missing(desk: Desk, mesh: Mesh) -> None:
    sound = desk.json("storage", "verify", "--deep", "--profile", "H01.15").told
    assert sound["recorded"] > 0
    assert sound["findings"] == []
    victim = max(
        (path for path in mesh.layout.node("H01.15").storage.rglob("*") if path.is_file()),
        key=lambda path: path.stat().st_size,
    )
    aside = victim.rename(desk.folder / "aside")
    try:
        harmed = desk.json("storage", "verify", "--profile", "H01.15")
    finally:
        aside.rename(victim)

    assert harmed.code == 5
    assert [finding["fault"] for finding in json.loads(harmed.out)["findings"]] == ["MISSING"]
