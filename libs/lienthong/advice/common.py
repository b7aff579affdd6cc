"""What a clerk does next about the reasons that any service can give."""

from __future__ import annotations

from lienthong.advice.entry import Advice

_ADMIN_VI = "Hãy báo quản trị viên của nút"
_ADMIN_EN = "Tell the administrator of your node"
_RETRY_VI = "Hãy thử lại sau ít phút; văn bản đã được xác nhận thì không mất."
_RETRY_EN = "Try again in a few minutes; nothing that was acknowledged is lost."

ADVICE: dict[str, Advice] = {
    "TRANSFER_STALLED": Advice(
        "Đường truyền bị dừng quá lâu. Hãy kiểm tra mạng rồi gửi lại.",
        "No data came for too long. Check the network and send again.",
    ),
    "ABORTED": Advice(
        "Dữ liệu vừa được người khác thay đổi. Hãy tải lại rồi làm lại.",
        "Someone else just changed this. Reload it and repeat.",
    ),
    "CALL_CANCELLED": Advice(
        f"Cuộc gọi đã bị ngắt giữa chừng. {_RETRY_VI}", f"The call was cut off. {_RETRY_EN}"
    ),
    "CALL_REFUSED": Advice(
        f"Dịch vụ từ chối yêu cầu mà không nêu lý do. {_ADMIN_VI}.",
        f"The service refused without a reason. {_ADMIN_EN}.",
    ),
    "DATA_LOST": Advice(
        f"Dữ liệu lưu trữ không còn nguyên vẹn. {_ADMIN_VI} ngay.",
        f"Stored data is damaged. {_ADMIN_EN} at once.",
    ),
    "DEADLINE_EXCEEDED": Advice(
        "Hết thời gian chờ; chưa rõ yêu cầu đã thực hiện hay chưa. Hãy gửi lại với cùng mã yêu cầu.",
        "Time ran out and the outcome is unknown. Repeat with the same request id.",
    ),
    "ID_MALFORMED": Advice(
        "Mã định danh phải là UUID dạng chuẩn, chữ thường. Hãy sửa rồi gửi lại.",
        "Identifiers are canonical lower-case UUIDs. Correct it and send again.",
    ),
    "IDENTITY_UNKNOWN": Advice(
        f"Chứng thư kết nối không nêu danh tính trong hệ thống. {_ADMIN_VI} để được cấp chứng thư đúng.",
        f"The certificate you connect with names no identity of this system. {_ADMIN_EN} for the right one.",
    ),
    "INTERNAL": Advice(
        f"Hệ thống gặp lỗi. {_ADMIN_VI}, kèm mã tra cứu.",
        f"The system failed. {_ADMIN_EN} and give the correlation id.",
    ),
    "MESSAGE_TOO_LARGE": Advice(
        "Yêu cầu quá lớn. Hãy gửi ít văn bản hơn mỗi lần, hoặc tải tệp lên trước.",
        "The request is too large. Send fewer documents at once, or upload files first.",
    ),
    "METHOD_CLOSED": Advice(
        f"Chức năng này chưa mở cho ai. {_ADMIN_VI}.", f"This function is open to nobody. {_ADMIN_EN}."
    ),
    "METHOD_UNKNOWN": Advice(
        f"Bên kia chưa có chức năng này, có thể do phiên bản cũ. {_ADMIN_VI}.",
        f"The other side lacks this function; it may be an older version. {_ADMIN_EN}.",
    ),
    "PEER_FAILED": Advice(
        f"Dịch vụ phía kia gặp lỗi. {_ADMIN_VI}.", f"The service on the other side failed. {_ADMIN_EN}."
    ),
    "PEER_OVERLOADED": Advice(
        f"Dịch vụ đang quá tải. {_RETRY_VI}", f"The service is overloaded. {_RETRY_EN}"
    ),
    "PEER_UNAVAILABLE": Advice(
        f"Không liên lạc được với dịch vụ. {_RETRY_VI}", f"The service cannot be reached. {_RETRY_EN}"
    ),
    "REQUEST_ID_REUSED": Advice(
        "Mã yêu cầu này đã dùng cho nội dung khác. Hãy tạo mã mới cho yêu cầu mới.",
        "This request id was used for other content. Make a new id for a new request.",
    ),
    "ROLE_REFUSED": Advice(
        "Vai trò của bạn không được dùng chức năng này. Hãy đăng nhập bằng chứng thư đúng vai trò.",
        "Your role may not use this function. Connect with the certificate of the right role.",
    ),
    "SETTINGS_INVALID": Advice(
        "Cấu hình sai. Hãy sửa các khóa được nêu rồi khởi động lại.",
        "The settings are wrong. Correct the keys that are named and start again.",
    ),
    "STATUS_UNKNOWN": Advice(
        f"Mã trạng thái không dùng được. Hãy báo 02, 03, 04, 05 hoặc 06; nếu bạn không nhập: {_ADMIN_VI}.",
        f"This is no status. Report 02, 03, 04, 05 or 06; if you entered none: {_ADMIN_EN}.",
    ),
    "STREAM_CLOSED": Advice(f"Kết nối đã đóng. {_RETRY_VI}", f"The connection was closed. {_RETRY_EN}"),
    "TLS_REFUSED": Advice(
        f"Không lập được kết nối bảo mật: chứng thư của một bên không được bên kia tin cậy. {_ADMIN_VI}.",
        f"No secure connection: one side does not trust the other's certificate. {_ADMIN_EN}.",
    ),
    "TRUST_DOMAIN_FOREIGN": Advice(
        f"Chứng thư thuộc miền tin cậy khác. {_ADMIN_VI}.",
        f"The certificate belongs to another trust domain. {_ADMIN_EN}.",
    ),
    "CERTIFICATE_EXPIRED": Advice(
        "Chứng thư số đã hết hạn vào thời điểm ký. Hãy gia hạn hoặc xin cấp chứng thư mới rồi ký lại.",
        "The certificate had expired at the time of signing. Renew it, then sign again.",
    ),
    "CERTIFICATE_MALFORMED": Advice(
        f"Không đọc được chứng thư số. {_ADMIN_VI} để kiểm tra tệp chứng thư.",
        f"The certificate cannot be read. {_ADMIN_EN} to have the certificate file checked.",
    ),
    "CERTIFICATE_NOT_YET_VALID": Advice(
        f"Chứng thư số chưa đến ngày có hiệu lực. Hãy chờ; nếu ngày giờ máy sai: {_ADMIN_VI.lower()}.",
        f"The certificate is not yet valid. Wait until it is; if the clock is wrong: {_ADMIN_EN.lower()}.",
    ),
    "CERTIFICATE_REVOKED": Advice(
        "Chứng thư số đã bị thu hồi. Không sử dụng văn bản này; hãy liên hệ cơ quan gửi để ký lại.",
        "The certificate was revoked. Do not use this document; ask the sending agency to sign again.",
    ),
    "CERTIFICATE_UNTRUSTED": Advice(
        f"Chứng thư số không do tổ chức chứng thực được tin cậy cấp. {_ADMIN_VI}.",
        f"The certificate does not come from a trusted authority. {_ADMIN_EN}.",
    ),
    "CERTIFICATE_USAGE": Advice(
        "Chứng thư số này được cấp cho mục đích khác. Hãy chọn đúng chứng thư rồi ký lại.",
        "This certificate was issued for another purpose. Choose the right one and sign again.",
    ),
    "GRANT_EXPIRED": Advice(
        "Quyền tải tệp đã hết hạn. Hãy mở lại văn bản để nhận quyền mới.",
        "The permission to fetch the file has expired. Open the document again to get a new one.",
    ),
    "GRANT_INVALID": Advice(
        f"Quyền tải tệp không hợp lệ. Hãy mở lại văn bản; nếu vẫn lỗi: {_ADMIN_VI.lower()}.",
        f"The permission to fetch the file is not valid. Open the document again, or {_ADMIN_EN.lower()}.",
    ),
    "IDENTITY_AMBIGUOUS": Advice(
        f"Chứng thư số nêu nhiều danh tính. {_ADMIN_VI} để được cấp lại.",
        f"The certificate names more than one identity. {_ADMIN_EN} for a new one.",
    ),
    "IDENTITY_MALFORMED": Advice(
        f"Danh tính trong chứng thư số sai định dạng. {_ADMIN_VI} để được cấp lại.",
        f"The identity in the certificate is malformed. {_ADMIN_EN} for a new one.",
    ),
    "IDENTITY_MISSING": Advice(
        f"Chứng thư số chưa được gắn với cơ quan nào trong hệ thống. {_ADMIN_VI} để đăng ký chứng thư.",
        f"The certificate is bound to no organization of this system. {_ADMIN_EN} to have it registered.",
    ),
    "KEY_CERTIFICATE_MISMATCH": Advice(
        f"Khóa bí mật và chứng thư số không khớp nhau. {_ADMIN_VI} để kiểm tra cấu hình.",
        f"The private key does not belong to the certificate. {_ADMIN_EN} to check the settings.",
    ),
    "KEY_UNREADABLE": Advice(
        f"Không đọc được tệp khóa bí mật. {_ADMIN_VI} để kiểm tra cấu hình.",
        f"The private key file cannot be read. {_ADMIN_EN} to check the settings.",
    ),
    "KEY_UNSUPPORTED": Advice(
        f"Loại khóa không được hỗ trợ (cần RSA từ 2048 bit hoặc P-256). {_ADMIN_VI} để đổi khóa.",
        f"This kind of key is not supported (RSA from 2048 bits, or P-256). {_ADMIN_EN} for another.",
    ),
    "SENDER_MISMATCH": Advice(
        "Người ký không phải là cơ quan gửi ghi trong gói tin. Không tiếp nhận; hãy liên hệ cơ quan gửi.",
        "The signer is not the sender named in the message. Do not accept it; contact the sending agency.",
    ),
    "SIGNATURE_INVALID": Advice(
        "Chữ ký số không hợp lệ: nội dung có thể đã bị sửa. Không tiếp nhận; đề nghị nơi gửi gửi lại.",
        "The signature is invalid: the content may have changed. Refuse it; ask the sender to resend.",
    ),
    "SIGNATURE_MISSING": Advice(
        "Gói tin chưa được ký số. Hãy ký rồi gửi lại.", "The message is not signed. Sign it and send again."
    ),
    "BATCH_FULL": Advice(
        f"Hệ thống đang bận, quá nhiều yêu cầu đang chờ. {_RETRY_VI}",
        f"Too many requests are waiting. {_RETRY_EN}",
    ),
    "BATCH_MISCOUNTED": Advice(
        f"Lỗi phần mềm trong xử lý theo lô. {_ADMIN_VI}.",
        f"A defect in batch processing. {_ADMIN_EN}.",
    ),
    "CURSOR_INVALID": Advice(
        "Vị trí đọc không hợp lệ. Hãy dùng đúng giá trị đã nhận, hoặc bỏ trống để đọc từ đầu.",
        "This cursor was not given out here. Send the one you received, or none to read from the beginning.",
    ),
    "DATABASE_BUSY": Advice(
        f"Cơ sở dữ liệu đang bận. {_RETRY_VI}",
        f"The database is busy. {_RETRY_EN}",
    ),
    "DATABASE_CONFLICT": Advice(
        "Có thay đổi đồng thời. Hãy thực hiện lại ngay.",
        "A concurrent change came first. Repeat it now.",
    ),
    "DATABASE_NAME_MALFORMED": Advice(
        "Tên cơ sở dữ liệu chỉ gồm chữ thường, chữ số và dấu gạch dưới. Hãy sửa cấu hình.",
        "Database names are lower-case letters, digits and underscores. Correct the settings.",
    ),
    "DATABASE_TIMEOUT": Advice(
        "Truy vấn chạy quá lâu. Hãy thu hẹp yêu cầu hoặc thử lại sau.",
        "The query took too long. Narrow the request or try later.",
    ),
    "DATABASE_UNAVAILABLE": Advice(
        f"Cơ sở dữ liệu tạm thời không trả lời. {_RETRY_VI}",
        f"The database does not answer for now. {_RETRY_EN}",
    ),
    "LEASE_LOST": Advice(
        "Công việc đã được tiến trình khác tiếp nhận; không cần làm gì.",
        "Another worker has taken this over; nothing is to be done.",
    ),
    "MIGRATION_FAILED": Advice(
        f"Không nâng cấp được cấu trúc cơ sở dữ liệu; dữ liệu giữ nguyên. {_ADMIN_VI}.",
        f"The database could not be upgraded and is unchanged. {_ADMIN_EN}.",
    ),
    "MIGRATION_HEADS": Advice(
        f"Bản phần mềm đóng gói sai. {_ADMIN_VI}.",
        f"This release was put together wrongly. {_ADMIN_EN}.",
    ),
    "MIGRATIONS_MISSING": Advice(
        f"Bản cài đặt thiếu tệp nâng cấp cơ sở dữ liệu. {_ADMIN_VI} để cài lại.",
        f"The installation lacks its migrations. {_ADMIN_EN} to install it again.",
    ),
    "POSTGRES_DATA_MISSING": Advice(
        f"Thư mục dữ liệu PostgreSQL không còn. {_ADMIN_VI} để khôi phục từ bản sao lưu.",
        f"The PostgreSQL data folder is gone. {_ADMIN_EN} to restore a backup.",
    ),
    "POSTGRES_MISSING": Advice(
        "Máy chưa có PostgreSQL 15 trở lên. Hãy cài đặt hoặc đặt LIENTHONG_POSTGRES_URL.",
        "There is no PostgreSQL 15 or newer. Install one or set LIENTHONG_POSTGRES_URL.",
    ),
    "POSTGRES_NOT_STARTED": Advice(
        f"PostgreSQL không khởi động được; xem lý do trong thông báo. {_ADMIN_VI}.",
        f"PostgreSQL did not start; the message says why. {_ADMIN_EN}.",
    ),
    "POSTGRES_RUNNING": Advice(
        "Thư mục dữ liệu đang được một PostgreSQL khác sử dụng. Hãy dừng tiến trình đó trước.",
        "Another PostgreSQL uses this data folder. Stop it first.",
    ),
    "REQUEST_IN_PROGRESS": Advice(
        "Yêu cầu này đang được xử lý. Hãy gửi lại với cùng mã yêu cầu sau giây lát.",
        "This request is being done. Repeat it in a moment with the same request id.",
    ),
    "REQUEST_NOT_RECALLED": Advice(
        f"Lỗi phần mềm khi ghi nhận yêu cầu. {_ADMIN_VI}.",
        f"A defect in remembering requests. {_ADMIN_EN}.",
    ),
    "REQUEST_NOT_RECORDED": Advice(
        f"Lỗi phần mềm khi ghi nhận yêu cầu. {_ADMIN_VI}.",
        f"A defect in remembering requests. {_ADMIN_EN}.",
    ),
    "SCHEMA_OUTDATED": Advice(
        f"Cơ sở dữ liệu cũ hơn phần mềm. {_ADMIN_VI} để chạy nâng cấp trước khi khởi động.",
        f"The database is older than the software. {_ADMIN_EN} to run the migrations first.",
    ),
    "SHUTTING_DOWN": Advice(
        f"Dịch vụ đang dừng để bảo trì. {_RETRY_VI}",
        f"The service is stopping. {_RETRY_EN}",
    ),
    "PAGE_SIZE_INVALID": Advice(
        "Số dòng mỗi trang không được âm. Hãy sửa rồi gửi lại.",
        "A page size is not negative. Correct it and send again.",
    ),
    "PAGE_TOKEN_INVALID": Advice(
        "Danh sách đã thay đổi cách phân trang. Hãy xem lại từ trang đầu.",
        "The page token is not one of ours. Start again from the first page.",
    ),
    "TOO_MANY_ITEMS": Advice(
        "Yêu cầu có quá nhiều mục. Hãy chia thành nhiều yêu cầu nhỏ hơn.",
        "The request has too many items. Split it into smaller requests.",
    ),
    "ATTACHMENT_FORMAT": Advice(
        "Chỉ gửi được tệp PDF, DOCX, XLSX hoặc PPTX. Hãy chuyển đổi tệp rồi gửi lại.",
        "Only PDF, DOCX, XLSX and PPTX files can be sent. Convert the file and send again.",
    ),
    "DATABASE_EXISTS": Advice(
        "Cơ sở dữ liệu cùng tên đã có trên máy chủ. Hãy xóa nó hoặc dùng máy chủ khác.",
        "A database of this name exists on the server. Drop it, or use another server.",
    ),
    "ENVELOPE_MISMATCH": Advice(
        f"Gói tin nhận được không khớp với lượt nhận. Đừng xử lý văn bản này. {_ADMIN_VI} ngay.",
        f"The signed envelope is not that of the delivery. Do not act on it. {_ADMIN_EN} at once.",
    ),
    "FILE_UNREADABLE": Advice(
        "Không đọc được tệp. Hãy kiểm tra đường dẫn và quyền truy cập.",
        "The file cannot be read. Check its path and permissions.",
    ),
    "MESH_EXISTS": Advice(
        "Thư mục đã chứa một mạng thử nghiệm. Hãy xóa thư mục hoặc chọn thư mục khác.",
        "The folder holds a test mesh already. Remove it or choose another.",
    ),
    "NODE_ENDED": Advice(
        "Tiến trình của nút đã kết thúc; lý do ở cuối nhật ký trong thông báo. Hãy sửa rồi khởi động lại.",
        "The node's process ended; the message quotes the end of its log. Correct the cause and start again.",
    ),
    "NODE_NOT_READY": Advice(
        "Nút chưa sẵn sàng; xem nhật ký trong thông báo. Hãy chờ thêm hoặc giảm tải cho máy.",
        "The node is not ready; the message quotes its log. Wait longer, or take load off the machine.",
    ),
    "NODE_RUNNING": Advice(
        "Nút đang chạy. Hãy dừng nút trước khi khởi động lại.",
        "The node is running. Stop it before you start it again.",
    ),
    "NOT_ISSUED_YET": Advice(
        "Văn bản đang được phát hành, chưa xong. Không cần gửi lại; hãy xem lại sau ít phút.",
        "The document is still being issued. Do not send it again; look again in a few minutes.",
    ),
    "PORTS_TAKEN": Advice(
        "Máy không còn cổng mạng trống. Hãy dừng bớt chương trình rồi thử lại.",
        "There are no free ports on this machine. Stop other programs and try again.",
    ),
    "TOPOLOGY_INVALID": Advice(
        "Tệp mô tả mạng có lỗi ở chỗ nêu trong thông báo. Hãy sửa rồi chạy lại.",
        "The topology file is wrong where the message says. Correct it and run again.",
    ),
    "TRACE_ID_INVALID": Advice(
        "Mã vết gồm 32 chữ số thập lục phân viết thường. Hãy chép lại cho đúng.",
        "A trace id is 32 lower-case hexadecimal digits. Copy it again.",
    ),
    "TRACE_UNKNOWN": Advice(
        "Không thấy vết này trong các tệp đã nêu. Hãy chỉ tới thư mục dữ liệu của mọi nút.",
        "No such trace in these files. Name the data folders of all nodes.",
    ),
    "DATE_INVALID": Advice(
        "Ngày phải viết theo dạng NĂM-THÁNG-NGÀY, ví dụ 2026-03-02. Hãy sửa rồi gửi lại.",
        "Days are written YYYY-MM-DD, such as 2026-03-02. Correct it and send again.",
    ),
}
