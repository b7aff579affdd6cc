"""What a clerk does next about the reasons that the registry service gives."""

from __future__ import annotations

from lienthong.advice.entry import Advice

_IMPORT_VI = "Không có dòng nào được nhập. Hãy sửa dòng được nêu rồi nhập lại."
_IMPORT_EN = "Nothing was imported. Correct the rows that are named and import again."
_ADMIN_VI = "Hãy báo quản trị viên của nút"
_ADMIN_EN = "Tell the administrator of your node"

_DIRECTORY: dict[str, Advice] = {
    "ORGANIZATION_UNKNOWN": Advice(
        f"Không có cơ quan mang mã này trong danh mục. Hãy kiểm tra mã; nếu mã đúng, {_ADMIN_VI.lower()}.",
        f"No organization has this code. Check the code; if it is right, {_ADMIN_EN.lower()}.",
    ),
    "ORGANIZATION_CLOSED": Advice(
        "Cơ quan này đã ngừng hoạt động. Hãy tìm cơ quan kế thừa rồi gửi lại.",
        "This organization is closed. Find its successor and send again.",
    ),
    "ORGANIZATION_NOT_YET_OPEN": Advice(
        "Cơ quan này chưa đến ngày hoạt động. Hãy gửi lại từ ngày đó.",
        "This organization is not open yet. Send from its first day on.",
    ),
    "ORGANIZATION_NOT_SERVED": Advice(
        f"Cơ quan này chưa kết nối vào hệ thống. Hãy gửi bằng đường khác. {_ADMIN_VI} nếu cần.",
        f"This organization is not connected. Use another way of sending. {_ADMIN_EN} if needed.",
    ),
    "ORGANIZATION_CODE_INVALID": Advice(
        "Đây không phải mã định danh cơ quan (ví dụ đúng: H53.31.23 hoặc 000.23.31.H53). Hãy sửa mã.",
        "This is not an organization code (right: H53.31.23 or 000.23.31.H53). Correct the code.",
    ),
    "ORGANIZATION_DUPLICATE": Advice(
        f"Một mã cơ quan có ở hai dòng. {_IMPORT_VI}", f"A code twice. {_IMPORT_EN}"
    ),
    "NODE_DUPLICATE": Advice(f"Một mã nút có ở hai dòng. {_IMPORT_VI}", f"A node twice. {_IMPORT_EN}"),
    "NODE_UNKNOWN": Advice(
        "Danh mục chưa có nút này. Hãy kiểm tra mã nút, hoặc cập nhật danh mục rồi thử lại.",
        "The directory knows no such node. Check its code, or bring the directory up to date.",
    ),
    "NODE_TREE_BROKEN": Advice(
        f"Các nút phải tạo thành một cây có đúng một gốc. {_IMPORT_VI}",
        f"Nodes form one tree with one root. {_IMPORT_EN}",
    ),
    "SUPERIOR_UNKNOWN": Advice(
        f"Cơ quan cấp trên chưa có trong danh mục. {_IMPORT_VI}", f"The superior is not known. {_IMPORT_EN}"
    ),
    "SUPERIOR_CYCLE": Advice(
        f"Cơ quan không thể là cấp trên của chính mình. {_IMPORT_VI}",
        f"No organization is its own superior. {_IMPORT_EN}",
    ),
    "VALIDITY_INVALID": Advice(
        f"Ngày hiệu lực phải viết NĂM-THÁNG-NGÀY và ngày đóng phải sau ngày mở. {_IMPORT_VI}",
        f"Days are written YYYY-MM-DD, and closing comes after opening. {_IMPORT_EN}",
    ),
    "TIER_UNKNOWN": Advice(
        f"Cấp hành chính không có trong danh sách. {_IMPORT_VI}", f"The tier is not in the list. {_IMPORT_EN}"
    ),
    "NAME_INVALID": Advice(
        f"Tên phải có từ 1 đến 200 ký tự in được. {_IMPORT_VI}",
        f"A name has 1 to 200 printable characters. {_IMPORT_EN}",
    ),
    "ALIAS_TAKEN": Advice(
        f"Mã này đang thuộc về cơ quan khác trong cùng thời gian. {_IMPORT_VI}",
        f"Another organization holds this code at the same time. {_IMPORT_EN}",
    ),
    "ORGANIZATIONS_FILE_INVALID": Advice(
        "Tệp danh mục cơ quan không đọc được. Hãy sửa chỗ được nêu rồi khởi động lại.",
        "The organizations file cannot be read. Correct the place that is named and start again.",
    ),
}

_REGISTERS: dict[str, Advice] = {
    "ORGANIZATION_FOREIGN": Advice(
        "Sổ này của cơ quan khác. Bạn chỉ xem được sổ của cơ quan mình.",
        "This register belongs to another organization. You can read your own only.",
    ),
    "NOTATION_INVALID": Advice(
        "Ký hiệu văn bản không đúng dạng (ví dụ đúng: QĐ-BNV, không có khoảng trắng). Hãy sửa ký hiệu.",
        "This is not a notation (right: QĐ-BNV, without spaces). Correct the notation.",
    ),
    "SERIES_INVALID": Advice(
        "Tên sổ con không hợp lệ: tối đa 30 chữ và số, không có khoảng trắng. Hãy sửa tên sổ.",
        "The series is not valid: at most 30 letters and digits, no spaces. Correct it.",
    ),
    "NUMBER_INVALID": Advice(
        "Số văn bản phải từ 1 trở lên. Hãy sửa số rồi gửi lại.",
        "A number starts at 1. Correct the number and send again.",
    ),
    "NUMBER_TAKEN": Advice(
        "Số này đã có trong sổ cho văn bản khác. Hãy kiểm tra số trên văn bản và trong phần mềm của cơ quan.",
        "Another document has this number. Check the number on the document and in your own software.",
    ),
    "ENVELOPE_REGISTERED": Advice(
        "Văn bản này đã vào sổ đến với số khác. Hãy dùng số đã cấp.",
        "This document is registered under another arrival number. Use that number.",
    ),
    "ENTRY_UNKNOWN": Advice(
        f"Không tìm thấy số này trong sổ. {_ADMIN_VI}.", f"The entry is not in any register. {_ADMIN_EN}."
    ),
    "ENTRY_VOID": Advice(
        "Số này đã hủy và không dùng lại. Hãy lấy số mới.",
        "This number is void and is never used again. Take a new number.",
    ),
    "ENTRY_ISSUED": Advice(
        "Văn bản đã phát hành. Hãy dùng thu hồi hoặc thay thế thay vì hủy số.",
        "The document is issued. Recall or replace it instead.",
    ),
    "TEXT_INVALID": Advice(
        "Một ô văn bản quá dài hoặc chứa ký tự điều khiển. Hãy rút gọn ô được nêu rồi gửi lại.",
        "A text is too long or holds control characters. Shorten the field that is named and send again.",
    ),
    "REASON_MISSING": Advice(
        "Hãy ghi lý do; lý do được in trong sổ.", "Give the reason; the register prints it."
    ),
    "DIRECTION_INVALID": Advice(
        "Hãy chọn sổ văn bản đi hoặc sổ văn bản đến.", "Choose the outgoing or the incoming register."
    ),
    "YEAR_INVALID": Advice(
        "Hãy nhập năm của sổ, gồm bốn chữ số.", "Give the year of the register, four digits."
    ),
    "FORMAT_UNSPECIFIED": Advice(
        "Hãy chọn dạng xuất sổ: HTML để in hoặc văn bản thuần.",
        "Choose a form of export: HTML to print, or plain text.",
    ),
    "NODE_ENROLLED": Advice(
        "Nút này đã tham gia mạng. Hãy dùng mã nút khác, hoặc khởi động nút đã có.",
        "This node has joined already. Choose another code, or start the node that exists.",
    ),
    "TOKEN_INVALID": Advice(
        "Tệp này không phải mã mời hợp lệ. Hãy chép lại nguyên vẹn tệp do quản trị nút cấp trên trao.",
        "This file is no token. Copy the file again, whole, as the parent's operator gave it.",
    ),
    "SNAPSHOT_INVALID": Advice(
        "Danh mục nhận được không do nút cấp trên ký. Hãy dừng lại và báo quản trị nút cấp trên.",
        "The directory is not signed by the parent. Stop, and tell the parent's operator.",
    ),
    "TOKEN_SHOWN": Advice(
        "Mã mời chỉ hiện một lần. Hãy mời lại bằng yêu cầu mới; mã cũ sẽ mất hiệu lực.",
        "A token is shown once. Invite again by a new request; the old token ends.",
    ),
    "TOKEN_UNKNOWN": Advice(
        "Không có mã mời này. Hãy chép lại mã, hoặc xin quản trị nút cấp trên mời lại.",
        "There is no such token. Copy it again, or ask the parent's operator for a new one.",
    ),
    "TOKEN_EXPIRED": Advice(
        "Mã mời đã hết hạn. Hãy xin quản trị nút cấp trên mời lại.",
        "The token has expired. Ask the parent's operator for a new one.",
    ),
    "TOKEN_USED": Advice(
        "Mã mời đã được dùng. Nếu không phải bạn dùng, hãy báo ngay cho quản trị nút cấp trên.",
        "The token was used. If that was not you, tell the parent's operator at once.",
    ),
    "ENROLMENT_OFF": Advice(
        "Nút này không nhận nút mới. Hãy đặt registry.enrolment trong cấu hình rồi khởi động lại.",
        "This node takes no new nodes. Set registry.enrolment in its settings and start it again.",
    ),
    "ISSUER_MISSING": Advice(
        "Nút này không được cấp chứng thư. Hãy xin từ cơ quan chứng thực rồi tham gia không kèm yêu cầu.",
        "This node may issue no certificates. Get yours from the authority, and enrol without requests.",
    ),
    "CERTIFICATE_REQUEST_INVALID": Advice(
        "Yêu cầu cấp chứng thư không hợp lệ. Hãy tạo lại khóa và yêu cầu (PKCS#10).",
        "The certificate request is not good. Make key and request (PKCS#10) again.",
    ),
}

ADVICE: dict[str, Advice] = {**_DIRECTORY, **_REGISTERS}
