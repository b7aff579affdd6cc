"""What people read on the command line, in Vietnamese and in English, in one place.

Codes of statuses and grades of urgency carry the names of decree 30/2020 and of QCVN 102:2016.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, NamedTuple

Language = Literal["vi", "en"]
LANGUAGES: Final[tuple[Language, ...]] = ("vi", "en")


class Text(NamedTuple):
    """One thing said in both languages."""

    vi: str
    en: str


# Status codes of receipts (QCVN 102:2016); an unknown code is shown as it came.
STATUSES: Final[Mapping[str, Text]] = {
    "01": Text("Đã đến", "Arrived"),
    "02": Text("Từ chối tiếp nhận", "Refused"),
    "03": Text("Đã tiếp nhận", "Accepted"),
    "04": Text("Phân công xử lý", "Assigned"),
    "05": Text("Đang xử lý", "In progress"),
    "06": Text("Hoàn thành", "Completed"),
    "13": Text("Yêu cầu lấy lại", "Recall asked for"),
    "15": Text("Đồng ý cập nhật, lấy lại", "Update or recall agreed"),
    "16": Text("Từ chối cập nhật, lấy lại", "Update or recall refused"),
}

# Names of enum values without their prefix.
URGENCIES: Final[Mapping[str, Text]] = {
    "ORDINARY": Text("Thường", "Ordinary"),
    "URGENT": Text("Khẩn", "Urgent"),
    "VERY_URGENT": Text("Thượng khẩn", "Very urgent"),
    "FLASH": Text("Hỏa tốc", "Flash"),
}
STATES: Final[Mapping[str, Text]] = {
    "RECEIVED": Text("Đã nhận yêu cầu", "Received"),
    "NUMBERED": Text("Đã lấy số", "Numbered"),
    "SEALED": Text("Đã đóng dấu, chờ dấu thời gian", "Sealed, timestamp pending"),
    "STAMPED": Text("Đã có dấu thời gian", "Timestamped"),
    "ISSUED": Text("Đã phát hành", "Issued"),
    "ABANDONED": Text("Không phát hành", "Given up"),
}
OUTCOMES: Final[Mapping[str, Text]] = {
    "": Text("Đang chuyển", "Under way"),
    "DELIVERED": Text("Đã giao", "Delivered"),
    "NOT_DELIVERED": Text("Không giao được", "Not delivered"),
}
VERDICTS: Final[Mapping[str, Text]] = {
    "": Text("Chưa kiểm tra", "Not checked"),
    "VALID": Text("Hợp lệ", "Valid"),
    "PARTIAL": Text("Ký một phần", "Partly signed"),
    "INVALID": Text("KHÔNG HỢP LỆ", "INVALID"),
    "UNSIGNED": Text("Không ký", "Unsigned"),
}
ROLES: Final[Mapping[str, Text]] = {
    "MAIN": Text("Văn bản", "Document"),
    "ANNEX": Text("Phụ lục", "Annex"),
    "COPY": Text("Bản sao", "Copy"),
    "EDITABLE": Text("Bản soạn thảo", "Editable edition"),
}
ENTRY_STATES: Final[Mapping[str, Text]] = {
    "RESERVED": Text("Đã giữ số", "Reserved"),
    "ISSUED": Text("Đã vào sổ", "Entered"),
    "VOID": Text("Số bỏ", "Void"),
    "EXTERNAL": Text("Số ngoài hệ thống", "Numbered outside"),
}
FAULTS: Final[Mapping[str, Text]] = {
    "MISSING": Text("Mất tệp", "Missing"),
    "SIZE": Text("Sai độ dài", "Wrong length"),
    "DIGEST": Text("Sai nội dung", "Wrong content"),
    "UNRECORDED": Text("Tệp không có trong sổ", "Not recorded"),
}
KINDS: Final[Mapping[str, Text]] = {
    "leader": Text("Lãnh đạo", "Leader"),
    "clerk": Text("Văn thư", "Clerk"),
    "client": Text("Phần mềm", "Software"),
    "operator": Text("Quản trị", "Operator"),
    "auditor": Text("Giám sát", "Auditor"),
    "": Text("Không đọc được", "Unreadable"),
}

TEXTS: Final[Mapping[str, Text]] = {
    # columns and facts
    "act_time": Text("Lúc", "When"),
    "actor": Text("Người làm", "By"),
    "arrival_number": Text("Số đến", "Arrival no."),
    "arrived": Text("Đến", "Arrived"),
    "author": Text("Tác giả", "Author"),
    "code": Text("Số, ký hiệu", "Number"),
    "date": Text("Ngày", "Date"),
    "delivery": Text("Lượt nhận", "Delivery"),
    "digest": Text("SHA-256", "SHA-256"),
    "document": Text("Văn bản", "Document"),
    "document_id": Text("Mã văn bản", "Document id"),
    "due": Text("Hạn", "Due"),
    "fault": Text("Sai lệch", "Fault"),
    "file": Text("Tệp", "File"),
    "files": Text("Tệp", "Files"),
    "found": Text("Thực có", "Found"),
    "from": Text("Nơi gửi", "From"),
    "holds": Text("Nơi cần", "Needed by"),
    "issued": Text("Phát hành", "Issued"),
    "kind": Text("Vai trò", "Role"),
    "level": Text("Mức", "Level"),
    "link_ms": Text("Đường nối (ms)", "Link (ms)"),
    "node": Text("Nút", "Node"),
    "node_time": Text("Đồng hồ của nút", "Its clock"),
    "note": Text("Ghi chú", "Note"),
    "number": Text("Số", "No."),
    "onward_ms": Text("Đi tiếp và về (ms)", "Onward and back (ms)"),
    "organization": Text("Cơ quan", "Organization"),
    "outcome": Text("Chuyển", "Transport"),
    "profile": Text("Hồ sơ kết nối", "Profile"),
    "reason": Text("Lý do, ghi chú", "Reason, note"),
    "recipient": Text("Nơi nhận", "Recipient"),
    "recipients": Text("Nơi nhận", "Recipients"),
    "recorded": Text("Ghi trong sổ", "Recorded"),
    "request_id": Text("Mã yêu cầu", "Request id"),
    "signers": Text("Người ký", "Signers"),
    "size": Text("Độ dài", "Size"),
    "state": Text("Trạng thái", "State"),
    "status": Text("Xử lý", "Handling"),
    "subject": Text("Trích yếu", "Subject"),
    "submission": Text("Lượt gửi", "Submission"),
    "trace_id": Text("Mã vết", "Trace"),
    "type": Text("Loại", "Type"),
    "urgency": Text("Độ khẩn", "Urgency"),
    "verdict": Text("Ký số", "Signed"),
    # what happened
    "accepted": Text("Đã tiếp nhận {code}, số đến {number}.", "Accepted {code}, arrival number {number}."),
    "already_fetched": Text("Không có văn bản mới cần tải.", "Nothing new to download."),
    "detached": Text(
        "Đã ký rời {file}: chữ ký ở {output}. Giữ hai tệp cạnh nhau khi gửi.",
        "Signed {file} beside it: the signature is {output}. Keep both together when you send.",
    ),
    "fetched": Text("Đã tải {count} tệp vào {folder}", "Downloaded {count} files to {folder}"),
    "goes_on": Text(
        "Nút đã nhận văn bản và vẫn tiếp tục. Xem: lienthong submission {id}",
        "The node has the document and goes on. See: lienthong submission {id}",
    ),
    "hops_only": Text(
        "Không có vết cục bộ của nút nào: chỉ vẽ theo xác nhận đã ký của các nút.",
        "No local spans: drawn from the nodes' signed receipts alone.",
    ),
    "inbox_empty": Text("Không có văn bản đến nào như vậy.", "No such documents have come."),
    "interrupted": Text("Đã dừng theo yêu cầu.", "Stopped."),
    "waterfall_legend": Text(
        "▒ thời gian nút giữ văn bản (từ xác nhận đã ký), █ việc nút đã ghi; mỗi nút theo đồng hồ của mình",
        "▒ custody of a node (signed in its receipt), █ steps that it wrote down; each by its own clock",
    ),
    "no_hops_yet": Text(
        "Chưa có xác nhận 01 nào về: chưa biết chặng nào.", "No receipt 01 is back yet: no hop is known."
    ),
    "not_delivered": Text(
        "Không giao được đến {count} nơi nhận: {names}", "Not delivered to {count} recipients: {names}"
    ),
    "not_fetched": Text("Chưa tải được {name}, vì:", "Could not download {name}:"),
    "not_issued_yet": Text(
        "Chưa phát hành xong sau {seconds} giây; nút vẫn tiếp tục. Xem: lienthong submission {id}",
        "Not issued within {seconds} s; the node goes on. See: lienthong submission {id}",
    ),
    "not_delivered_yet": Text(
        "Đã phát hành; sau {seconds} giây chưa đủ xác nhận 01. Xem: lienthong submission {id}",
        "Issued; not every receipt 01 is back within {seconds} s. See: lienthong submission {id}",
    ),
    "prepared": Text(
        "Đã đặt ô số, ngày, chữ ký vào {output}. Tiếp theo, lãnh đạo ký: lienthong sign {output}",
        "Fields for number, date and signatures are in {output}. Next the leader: lienthong sign {output}",
    ),
    "register_sound": Text(
        "Sổ liền số: cao nhất {highest}, vào sổ {issued}, bỏ {void}, đang giữ {reserved}; chuỗi băm khớp.",
        "No gaps: highest {highest}, entered {issued}, void {void}, reserved {reserved}; the chain holds.",
    ),
    "register_gaps": Text(
        "SỔ CÓ KHOẢNG TRỐNG: thiếu số {numbers}", "THE REGISTER HAS GAPS: missing {numbers}"
    ),
    "register_broken": Text(
        "CHUỖI BĂM CỦA SỔ KHÔNG KHỚP: sổ đã bị sửa.", "THE CHAIN OF THE REGISTER IS BROKEN: it was changed."
    ),
    "register_outgoing": Text("Sổ đăng ký văn bản đi", "Register of outgoing documents"),
    "register_incoming": Text("Sổ đăng ký văn bản đến", "Register of incoming documents"),
    "repeat_with": Text(
        "Chưa rõ nút đã nhận hay chưa. Gửi lại đúng lệnh cũ, thêm --request-id {id}: không bị gửi hai lần.",
        "Nobody knows whether the node has it. Repeat the command with --request-id {id}: never sent twice.",
    ),
    "reported": Text("Đã báo {status} cho {code}.", "Reported {status} for {code}."),
    "sent": Text("Đã phát hành {code}", "Issued {code}"),
    "signed": Text("Đã ký {file}: {output}", "Signed {file}: {output}"),
    "using_profile": Text("Dùng hồ sơ kết nối {name}", "Using profile {name}"),
    "verified": Text(
        "Đã đối chiếu {recorded} tệp, {size}: {findings} sai lệch.",
        "Compared {recorded} files, {size}: {findings} differences.",
    ),
    "written": Text("Đã ghi {output}", "Wrote {output}"),
    # parts of a journey and of a waterfall
    "hop_in": Text("vào", "in"),
    "hop_out": Text("ra", "out"),
    # work that takes time
    "uploading": Text("Tải lên", "Uploading"),
    "downloading": Text("Tải về", "Downloading"),
    "signing": Text("Ký số", "Signing"),
    "preparing": Text("Đặt ô", "Placing fields"),
    "issuing": Text("Phát hành", "Issuing"),
    "delivering": Text("Chuyển đến nơi nhận", "Delivering"),
    "comparing": Text("Đối chiếu", "Comparing"),
    # refusals
    "field": Text("Chỗ sai", "Field"),
    "advice": Text("Nên làm", "Next"),
    "details": Text("Chi tiết", "Details"),
    "retry_after": Text("Thử lại sau", "Try again after"),
    "seconds": Text("{seconds} giây", "{seconds} s"),
}


class Words:
    """The texts in one language."""

    def __init__(self, language: Language) -> None:
        self.language = language

    def __call__(self, key: str, **parts: object) -> str:
        """The text of a key with its parts filled in."""
        return self.of(TEXTS[key]).format(**parts)

    def of(self, text: Text) -> str:
        return text.vi if self.language == "vi" else text.en

    def name(self, table: Mapping[str, Text], value: str) -> str:
        """What people call a code; the code itself where it is new to this program."""
        found = table.get(value)
        return value if found is None else self.of(found)

    def status(self, code: str) -> str:
        """`03 Đã tiếp nhận`; empty where there is no status."""
        return f"{code} {self.name(STATUSES, code)}" if code in STATUSES else code


def language_of(text: str | None) -> Language | None:
    """One of the languages, or None."""
    return next((language for language in LANGUAGES if language == text), None)
