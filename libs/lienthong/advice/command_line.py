"""Advice on commands that were typed wrongly."""

from __future__ import annotations

from lienthong.advice.entry import Advice

_HELP_VI = "Xem ví dụ: lienthong LỆNH --help."
_HELP_EN = "See the examples: lienthong COMMAND --help."

ADVICE: dict[str, Advice] = {
    "DAY_MALFORMED": Advice(
        "Hãy viết ngày là 07/12/2026 hoặc 2026-12-07.", "Write a day as 2026-12-07 or 07/12/2026."
    ),
    "DIRECTION_UNKNOWN": Advice(
        "Hãy nêu sổ nào: outgoing (văn bản đi) hoặc incoming (văn bản đến).",
        "Say which register: outgoing or incoming.",
    ),
    "FILE_EXISTS": Advice(
        "Tệp đã có. Hãy chọn tên khác bằng -o, hoặc thêm --force để ghi đè.",
        "The file is there already. Choose another with -o, or add --force to overwrite it.",
    ),
    "FILE_MISSING": Advice(
        "Không có tệp này. Hãy kiểm tra tên và thư mục đang đứng.",
        "There is no such file. Check its name and the folder you are in.",
    ),
    "FILE_UNUSABLE": Advice(
        "Không đọc hoặc ghi được tệp. Hãy kiểm tra quyền truy cập và chỗ trống của đĩa.",
        "A file cannot be read or written. Check permissions and the room on the disk.",
    ),
    "LANGUAGE_UNKNOWN": Advice("Hãy chọn vi hoặc en.", "Choose vi or en."),
    "NOTATION_NOT_GIVEN": Advice(
        "Hãy nêu ký hiệu: --notation QĐ-BNV để nút cấp số, hoặc --number 15/QĐ-BNV nếu đã có số.",
        "Give the notation: --notation QĐ-BNV for the node to number, or --number 15/QĐ-BNV if it has one.",
    ),
    "NUMBER_MALFORMED": Advice(
        "Hãy viết số và ngày đã cấp: --number 15/QĐ-BNV --date 23/11/2026; bỏ cả hai để nút cấp.",
        "Write both as given: --number 15/QĐ-BNV --date 23/11/2026; or neither: then the node gives them.",
    ),
    "OPTIONS_EXCLUSIVE": Advice(f"Hãy bỏ bớt tùy chọn. {_HELP_VI}", f"Choose one of them. {_HELP_EN}"),
    "PLACEMENT_MALFORMED": Advice(
        "Vị trí là TRANG,TRÁI,DƯỚI,RỘNG,CAO: trang từ 1 (-1 là cuối), đơn vị point, gốc ở góc dưới trái.",
        "A place is PAGE,LEFT,BOTTOM,WIDTH,HEIGHT: pages from 1 (-1 the last), points, origin lower left.",
    ),
    "PROFILES_MISSING": Advice(
        "Chưa có tệp hồ sơ kết nối. Hãy xin quản trị viên của nút, rồi nêu bằng --profiles.",
        "There is no file of profiles. Ask your node's administrator for it, then name it with --profiles.",
    ),
    "PROFILE_AMBIGUOUS": Advice(
        "Có nhiều hồ sơ phù hợp. Hãy nêu tên đầy đủ của một hồ sơ bằng --profile.",
        "Several profiles fit. Name one of them in full with --profile.",
    ),
    "PROFILE_UNSUITABLE": Advice(
        "Không có hồ sơ nào trên máy này làm được việc đó. Xem: lienthong profiles.",
        "No profile on this machine can do that. See: lienthong profiles.",
    ),
    "RECIPIENTS_NOT_GIVEN": Advice(
        "Hãy nêu nơi nhận: --to H01,H01.15 hoặc --to-file TỆP.",
        "Say to whom: --to H01,H01.15 or --to-file FILE.",
    ),
    "REFERENCE_AMBIGUOUS": Advice(
        "Hãy nêu rõ hơn: thêm cơ quan (G22:15/QĐ-BNV) hoặc chép mã đầy đủ trong danh sách.",
        "Say which: add the organization (G22:15/QĐ-BNV), or copy the whole id from the list.",
    ),
    "REFERENCE_MALFORMED": Advice(
        "Hãy nêu số, ký hiệu (15/QĐ-BNV), mã văn bản, hoặc ít nhất 8 ký tự đầu của mã.",
        "Give number and notation (15/QĐ-BNV), an id, or at least its first 8 digits.",
    ),
    "REFERENCE_UNKNOWN": Advice(
        "Cơ quan bạn không có văn bản này. Xem văn bản đến: lienthong inbox --all; đi: lienthong submission.",
        "Your organization has no such document. See: lienthong inbox --all; lienthong submission.",
    ),
    "SUBJECT_NOT_GIVEN": Advice("Hãy nêu trích yếu bằng --subject.", "Say what it is about with --subject."),
    "URGENCY_UNKNOWN": Advice(
        "Độ khẩn là thường, khẩn, thượng-khẩn hoặc hỏa-tốc.",
        "The urgency is ordinary, urgent, very-urgent or flash.",
    ),
}
