"""What a clerk does next about the reasons that the routing service gives."""

from __future__ import annotations

from lienthong.advice.entry import Advice

_ADMIN_VI = "Hãy báo quản trị viên của nút"
_ADMIN_EN = "Tell the administrator of your node"

_SUBMIT: dict[str, Advice] = {
    "AGENCY_SIGNATURE_MISSING": Advice(
        "Tệp chính chưa có chữ ký số hợp lệ của cơ quan. Hãy để văn thư ký số cơ quan rồi gửi lại.",
        "The main file carries no valid signature of the agency. Have the clerk seal it, then send again.",
    ),
    "ATTACHMENT_ACTIVE_CONTENT": Advice(
        "Tệp có mã lệnh hoặc nội dung tự chạy. Hãy xuất lại tệp không kèm macro, mã lệnh rồi ký và gửi lại.",
        "The file contains scripts or other active content. Export it without them, sign and send again.",
    ),
    "ATTACHMENT_BROKEN": Advice(
        "Tệp bị hỏng, không đọc được. Hãy mở kiểm tra tệp gốc, xuất lại, ký và gửi lại.",
        "The file is damaged and cannot be read. Check the original, export, sign and send it again.",
    ),
    "ATTACHMENT_CHANGED": Advice(
        "Tệp đã bị sửa sau khi ký hoặc chữ ký không hợp lệ. Hãy lấy bản đúng, đề nghị ký lại rồi gửi.",
        "The file was changed after signing, or a signature does not hold. Have the right file signed again.",
    ),
    "ATTACHMENT_ENCRYPTED": Advice(
        "Tệp có đặt mật khẩu. Hãy bỏ mật khẩu, ký lại rồi gửi.",
        "The file is protected by a password. Remove it, sign again and send.",
    ),
    "ATTACHMENT_MISSING": Advice(
        "Cơ quan chưa tải tệp này lên. Hãy tải tệp lên bằng chứng thư của cơ quan rồi gửi lại văn bản.",
        "Your organization did not upload this file. Upload it, then send the document again.",
    ),
    "ATTACHMENT_NAME_INVALID": Advice(
        "Tên tệp phải có từ 1 đến 500 ký tự và không chứa đường dẫn. Hãy đổi tên tệp rồi gửi lại.",
        "A file name has 1 to 500 characters and no folders. Rename the file and send again.",
    ),
    "ATTACHMENT_ROLE_MISSING": Advice(
        "Chưa nêu vai trò của tệp (văn bản chính, phụ lục, sao y, bản soạn thảo). Hãy chọn rồi gửi lại.",
        "A file has no role (main, annex, copy, editable). Choose one and send again.",
    ),
    "CLERK_REQUIRED": Advice(
        "Chỉ văn thư được cấp số và đóng dấu cơ quan. Hãy chuyển cho văn thư gửi bằng chứng thư của mình.",
        "Only a clerk takes a number and has the seal applied. Let the clerk send it with their certificate.",
    ),
    "DOCUMENT_SUBMITTED": Advice(
        "Văn bản này đã được gửi trước đó. Hãy xem trong danh sách văn bản đi, không gửi lại.",
        "This document was submitted before. Look for it in the list of submissions; do not send it again.",
    ),
    "EXPIRE_TIME_INVALID": Advice(
        "Thời hạn chuyển phải ở tương lai và không quá một năm. Hãy sửa hoặc bỏ trống rồi gửi lại.",
        "The expiry lies ahead, at most a year. Correct it or leave it out, and send again.",
    ),
    "FIELD_TOO_LONG": Advice(
        "Nội dung của trường được nêu quá dài. Hãy rút ngắn rồi gửi lại.",
        "The field that is named is too long. Shorten it and send again.",
    ),
    "ISSUE_MISSING": Advice(
        "Chưa nêu cách phát hành: cấp số tại đây hay đã phát hành. Hãy chọn một cách rồi gửi lại.",
        "Say which way the document is issued: numbered here, or already issued. Then send again.",
    ),
    "MAIN_ATTACHMENT_DOUBLE": Advice(
        "Có hơn một tệp chính. Hãy giữ một tệp chính, các tệp khác chuyển thành phụ lục.",
        "More than one file is the main one. Keep one; make the others annexes.",
    ),
    "MAIN_ATTACHMENT_MISSING": Advice(
        "Chưa có tệp chính của văn bản. Hãy đính kèm tệp PDF chính rồi gửi lại.",
        "The document has no main file. Attach the main PDF and send again.",
    ),
    "NUMBER_MISMATCH": Advice(
        "Số ghi trong tệp khác số khai báo. Hãy kiểm tra số văn bản rồi gửi lại.",
        "The number in the file differs from the one declared. Check the number and send again.",
    ),
    "RECIPIENTS_MISSING": Advice(
        "Chưa có nơi nhận. Hãy chọn ít nhất một cơ quan nhận rồi gửi lại.",
        "There are no recipients. Choose at least one and send again.",
    ),
    "RECIPIENT_CLOSED": Advice(
        "Cơ quan nhận đã ngừng hoạt động. Hãy tra cứu cơ quan kế nhiệm trong danh mục và sửa nơi nhận.",
        "A recipient is closed. Look up its successor in the directory and correct the recipients.",
    ),
    "RECIPIENT_DUPLICATE": Advice(
        "Một cơ quan nhận được nêu hai lần (có thể bằng mã cũ và mã mới). Hãy bỏ bớt rồi gửi lại.",
        "A recipient is named twice (perhaps by its old and its new code). Remove one and send again.",
    ),
    "RECIPIENT_UNKNOWN": Advice(
        "Không có cơ quan nhận với mã này. Hãy tra lại mã định danh trong danh mục rồi gửi lại.",
        "No organization has this code. Look the code up in the directory and send again.",
    ),
    "SECRET_REFUSED": Advice(
        "Không chuyển văn bản mật qua hệ thống này. Hãy gửi theo quy định về bảo vệ bí mật nhà nước.",
        "Secret documents do not travel here. Send it by the rules for the protection of state secrets.",
    ),
    "SUBJECT_MISSING": Advice(
        "Chưa có trích yếu. Hãy nhập trích yếu nội dung rồi gửi lại.",
        "The subject is empty. Enter it and send again.",
    ),
    "SUBJECT_TOO_LONG": Advice(
        "Trích yếu dài quá 500 ký tự. Hãy rút gọn rồi gửi lại.",
        "The subject has more than 500 characters. Shorten it and send again.",
    ),
    "SUBMISSION_UNKNOWN": Advice(
        "Không có văn bản gửi này của cơ quan bạn. Hãy kiểm tra lại mã trong danh sách văn bản đi.",
        "Your organization has no such submission. Check the identifier in the list of submissions.",
    ),
    "TOO_MANY_RECIPIENTS": Advice(
        "Quá nhiều nơi nhận (tối đa 10.000). Hãy chia thành nhiều lần gửi.",
        "There are too many recipients (at most 10,000). Send it in several submissions.",
    ),
}

_HANDLE: dict[str, Advice] = {
    "DELIVERY_FOREIGN": Advice(
        "Văn bản này gửi cho cơ quan khác. Chỉ cơ quan nhận được cập nhật trạng thái xử lý.",
        "This delivery is another organization's. Only the recipient reports its status.",
    ),
    "DELIVERY_UNKNOWN": Advice(
        "Không có văn bản đến này. Hãy tải lại danh sách văn bản đến rồi chọn lại.",
        "There is no such delivery. Load the inbox again and choose from it.",
    ),
    "STATUS_BACKWARDS": Advice(
        "Trạng thái không được lùi, và phải tiếp nhận trước. Hãy xem trạng thái hiện tại rồi chọn lại.",
        "Handling moves forward only, beginning with acceptance. Look at the status and choose again.",
    ),
    "STATUS_FINAL": Advice(
        "Văn bản đã bị từ chối hoặc đã hoàn thành, không đổi trạng thái được nữa.",
        "The delivery was refused or is completed: its status cannot change any more.",
    ),
    "STATUS_PENDING": Advice(
        "Trạng thái đã được ghi nhận, xác nhận đang được tạo. Hãy gửi lại với cùng mã yêu cầu sau giây lát.",
        "The status is recorded, its receipt is being made. Repeat in a moment with the same request id.",
    ),
}

_TRANSPORT: dict[str, Advice] = {
    "DELIVERED_MEANWHILE": Advice(
        "Văn bản vừa được tiến trình khác chuyển đến; hệ thống tự thử lại, không cần làm gì.",
        "Another worker delivered this just now; it is tried again by itself, nothing is to be done.",
    ),
    "EXPIRED": Advice(
        "Gói tin đã quá thời hạn chuyển nên không được chuyển tiếp. Hãy gửi lại văn bản với thời hạn mới.",
        "The message had expired before it could be handed on. Send the document again with a later expiry.",
    ),
    "FORMAT_VERSION": Advice(
        f"Gói tin theo phiên bản mới hơn nút này. {_ADMIN_VI} để nâng cấp phần mềm.",
        f"The message is of a version newer than this node. {_ADMIN_EN} to upgrade.",
    ),
    "HELLO_MISSING": Advice(
        f"Kết nối giữa hai nút không bắt đầu đúng cách. {_ADMIN_VI} để kiểm tra phần mềm nút kia.",
        f"The link between the nodes did not begin as agreed. {_ADMIN_EN} to check the other node.",
    ),
    "INLINE_ATTACHMENT_BROKEN": Advice(
        f"Nội dung tệp nhỏ mà nút gửi chuyển kèm khác với văn bản đã ký. {_ADMIN_VI} để kiểm tra nút kia.",
        f"A small attachment came with other bytes than were signed. {_ADMIN_EN} to check the other node.",
    ),
    "INLINE_ATTACHMENT_MISSING": Advice(
        f"Nút gửi không gửi kèm tệp nhỏ. {_ADMIN_VI} để kiểm tra phần mềm nút kia.",
        f"The offering node left out a small attachment. {_ADMIN_EN} to check the other node.",
    ),
    "INLINE_ATTACHMENT_TOO_LARGE": Advice(
        f"Nút gửi kèm tệp quá lớn trong lô. {_ADMIN_VI} để kiểm tra phần mềm nút kia.",
        f"The offering node put too large an attachment in a batch. {_ADMIN_EN} to check the other node.",
    ),
    "LINK_SILENT": Advice(
        f"Nút kia không trả lời; kết nối sẽ tự lập lại. Nếu kéo dài: {_ADMIN_VI.lower()}.",
        f"The other node is silent; the link is opened again by itself. If it lasts: {_ADMIN_EN.lower()}.",
    ),
    "LINK_VERSION": Advice(
        f"Hai nút không có phiên bản kết nối chung. {_ADMIN_VI} để nâng cấp nút cũ hơn.",
        f"The nodes have no version of the link in common. {_ADMIN_EN} to upgrade the older one.",
    ),
    "LOOP": Advice(
        f"Gói tin đi vòng trở lại nút này. {_ADMIN_VI} để kiểm tra tuyến chuyển.",
        f"The message came back to a node where it has been. {_ADMIN_EN} to check the routes.",
    ),
    "NODE_NOT_NEIGHBOUR": Advice(
        f"Nút này không kết nối trực tiếp với nút kia. {_ADMIN_VI} để đăng ký kết nối ngang hàng.",
        f"The two nodes are no neighbours. {_ADMIN_EN} to have a peer link agreed.",
    ),
    "NO_ROUTE": Advice(
        "Không có tuyến chuyển tới cơ quan nhận. Hãy kiểm tra nơi nhận, rồi báo quản trị viên của nút.",
        "There is no way to the recipient. Check it; if it is right, tell the administrator of your node.",
    ),
    "OFFER_TOO_LARGE": Advice(
        f"Nút gửi chuyển một lô quá lớn. {_ADMIN_VI} để kiểm tra phần mềm nút kia.",
        f"The other node offered too large a batch. {_ADMIN_EN} to check it.",
    ),
    "REJECTED": Advice(
        f"Nút tiếp theo từ chối gói tin mà không nêu lý do. {_ADMIN_VI}.",
        f"The next node refused the message without a reason. {_ADMIN_EN}.",
    ),
    "RECIPIENT_FOREIGN": Advice(
        f"Nơi nhận không có trong gói tin đã ký. {_ADMIN_VI} để kiểm tra nút gửi.",
        f"A recipient is not in the signed message. {_ADMIN_EN} to check the offering node.",
    ),
    "INLINE_TOO_LARGE": Advice(
        "Các tệp gửi kèm trong yêu cầu vượt quá 1 MiB. Hãy tải tệp lên trước rồi gửi.",
        "The files inside the request are over 1 MiB. Upload them first, then submit.",
    ),
    "INLINE_UNUSED": Advice(
        "Có nội dung gửi kèm không thuộc tệp nào của văn bản. Hãy kiểm tra mã băm SHA-256 của các tệp.",
        "Bytes in the request belong to no attachment of the document. Check the SHA-256 of the files.",
    ),
    "DETACHED_SIGNATURE_MISSING": Advice(
        "Tệp quá lớn để ký bên trong, cần chữ ký rời (tệp .p7s). Hãy ký tệp bằng lệnh sign rồi gửi lại.",
        "The file is too large to be signed inside and needs a detached signature (.p7s). Sign it and retry.",
    ),
    "DETACHED_SIGNATURE_INVALID": Advice(
        "Chữ ký rời không khớp với tệp hoặc không hợp lệ. Hãy ký lại đúng tệp này.",
        "The detached signature does not hold for this file. Sign this very file again.",
    ),
    "DETACHED_SIGNATURE_UNEXPECTED": Advice(
        "Tệp này ký được bên trong nên không dùng chữ ký rời. Hãy ký thẳng vào tệp.",
        "This file can be signed inside, so no detached signature is taken. Sign the file itself.",
    ),
    "LINK_DOWN": Advice(
        "Kết nối tới nút kế tiếp đang đứt. Hãy xem danh sách đích của nút cuối cùng đã tới.",
        "The link to the next node is down. Look at the destinations of the last node that was reached.",
    ),
    "PING_UNANSWERED": Advice(
        "Không có trả lời từ nút đó trong thời hạn. Hãy kiểm tra nút cuối cùng đã tới và thử lại.",
        "No answer from that node in time. Check the last node that was reached, and try again.",
    ),
    "TOO_MANY_PINGS": Advice(
        "Đang có quá nhiều phép thử kết nối. Hãy thử lại sau ít giây.",
        "Too many pings are under way. Try again in some seconds.",
    ),
}

ADVICE: dict[str, Advice] = {**_SUBMIT, **_HANDLE, **_TRANSPORT}
