"""What a clerk does next about the reasons that the signing service gives."""

from __future__ import annotations

from lienthong.advice.entry import Advice

ADVICE: dict[str, Advice] = {
    "ALGORITHM_WEAK": Advice(
        "Chữ ký dùng thuật toán không còn an toàn. Hãy yêu cầu cơ quan gửi ký lại.",
        "The signature uses an algorithm that is no longer safe. Ask the sender to sign again.",
    ),
    "BYTE_RANGE_INVALID": Advice(
        "Chữ ký không bao trùm nội dung như quy định. Hãy từ chối văn bản và báo cơ quan gửi.",
        "The signature leaves out content it should cover. Refuse the document and tell the sender.",
    ),
    "CHANGED_AFTER_SEAL": Advice(
        "Văn bản đã bị sửa sau khi đóng dấu. Hãy từ chối và báo cơ quan gửi.",
        "The document was changed after the seal. Refuse it and tell the sender.",
    ),
    "CHANGED_AFTER_SIGNING": Advice(
        "Văn bản đã bị sửa sau khi ký. Hãy từ chối và báo cơ quan gửi.",
        "The document was changed after it was signed. Refuse it and tell the sender.",
    ),
    "COMPRESSION_RATIO": Advice(
        "Tệp nén bất thường, có thể gây hại. Hãy từ chối và báo quản trị viên.",
        "The file unpacks to far more than it should. Refuse it and tell the administrator.",
    ),
    "CONTENT_NOT_COVERED": Advice(
        "Một phần tệp không được chữ ký nào bao trùm. Hãy kiểm tra với cơ quan gửi trước khi tiếp nhận.",
        "Part of the file is covered by no signature. Check with the sender before accepting it.",
    ),
    "CONTENT_TYPE_CHANGED": Advice(
        "Kiểu nội dung của một phần tệp đã bị đổi sau khi ký. Hãy từ chối và báo cơ quan gửi.",
        "The type of a part was changed after signing. Refuse the document and tell the sender.",
    ),
    "DATA_AFTER_END": Advice(
        "Tệp có dữ liệu lạ sau phần kết thúc. Hãy từ chối và yêu cầu gửi lại tệp gốc.",
        "The file carries foreign data after its end. Refuse it and ask for the original file.",
    ),
    "DIGEST_INVALID": Advice(
        "Giá trị băm không đúng; chỉ dùng SHA-256, SHA-384 hoặc SHA-512. Hãy báo quản trị viên.",
        "The digest is wrong; use SHA-256, SHA-384 or SHA-512. Tell the administrator.",
    ),
    "DIGEST_MISMATCH": Advice(
        "Nội dung không khớp với chữ ký. Hãy từ chối và yêu cầu gửi lại.",
        "The content does not match its signature. Refuse it and ask the sender to send again.",
    ),
    "DIGEST_UNSUPPORTED": Advice(
        "Chỉ ký với SHA-256. Hãy báo quản trị viên.",
        "Documents are signed over SHA-256 only. Tell the administrator.",
    ),
    "DOCTYPE_PRESENT": Advice(
        "Tệp khai báo DTD, không được phép trong văn bản Office. Hãy từ chối và yêu cầu gửi lại tệp gốc.",
        "The file declares a DTD, which Office documents may not. Refuse it and ask for the original file.",
    ),
    "DOCUMENT_ACTIVE_CONTENT": Advice(
        "Tệp có mã lệnh (macro, script) hoặc nội dung động. Hãy lưu lại bản thường từ bản gốc.",
        "The file carries macros, scripts or active content. Save a plain version of the original.",
    ),
    "DOCUMENT_ALREADY_PREPARED": Advice(
        "Văn bản đã có sẵn các ô số, ngày, chữ ký. Hãy trình ký ngay, không chuẩn bị lại.",
        "The document has its fields already. Have it signed; do not prepare it again.",
    ),
    "DOCUMENT_ALREADY_SEALED": Advice(
        "Văn bản đã có chữ ký số của cơ quan. Không đóng dấu lần nữa.",
        "The document carries the agency's signature already. Do not seal it again.",
    ),
    "DOCUMENT_ALREADY_SIGNED": Advice(
        "Văn bản đã có chữ ký. Hãy chuẩn bị từ bản chưa ký.",
        "The document is signed already. Prepare the unsigned version.",
    ),
    "DOCUMENT_BROKEN": Advice(
        "Tệp bị hỏng, không đọc được. Hãy xuất lại tệp từ bản gốc.",
        "The file is damaged. Export it again from the original.",
    ),
    "DOCUMENT_ENCRYPTED": Advice(
        "Tệp có mật khẩu. Hãy lưu lại bản không đặt mật khẩu.",
        "The file has a password. Save it again without one.",
    ),
    "DOCUMENT_FORMAT": Advice(
        "Tệp không phải PDF, DOCX, XLSX hay PPTX. Hãy chọn đúng tệp.",
        "The file is not PDF, DOCX, XLSX or PPTX. Choose the right file.",
    ),
    "DOCUMENT_LOCKED": Advice(
        "Chữ ký trước đã khóa văn bản. Muốn thay đổi phải làm lại từ bản chưa ký.",
        "An earlier signature locks the document. To change it, start again from the unsigned version.",
    ),
    "DOCUMENT_NOT_PREPARED": Advice(
        "Văn bản thiếu ô số, ngày hoặc chữ ký. Hãy chuẩn bị văn bản trước khi trình ký.",
        "The document lacks a field. Prepare it before the leader signs.",
    ),
    "DOCUMENT_NOT_SIGNED": Advice(
        "Văn bản chưa có chữ ký. Hãy ký trước khi xin dấu thời gian.",
        "The document is not signed. Sign it before it is stamped.",
    ),
    "DOCUMENT_SIGNATURE_INVALID": Advice(
        "Văn bản có chữ ký không hợp lệ. Hãy trình ký lại từ bản gốc.",
        "A signature of the document is invalid. Have the original signed again.",
    ),
    "DOCUMENT_TOO_COMPLEX": Advice(
        "Tệp có quá nhiều trang hoặc đối tượng. Hãy tách thành nhiều tệp.",
        "The file has too many pages or objects. Split it.",
    ),
    "DOCUMENT_TOO_LARGE": Advice(
        "Tệp quá lớn. Hãy giảm dung lượng hoặc tách tệp.",
        "The file is too large. Make it smaller or split it.",
    ),
    "DUPLICATE_ENTRY": Advice(
        "Tệp chứa hai phần trùng tên, mỗi phần mềm có thể hiển thị khác nhau. Hãy từ chối.",
        "The file holds two parts of one name, so programs may show different content. Refuse it.",
    ),
    "DUPLICATE_ID": Advice(
        "Chữ ký hoặc liên kết trong tệp có mã trùng nhau, dấu hiệu giả mạo. Hãy từ chối và báo cơ quan gửi.",
        "An identifier in the file is used twice, a sign of forgery. Refuse it and tell the sender.",
    ),
    "FIELD_ALREADY_FILLED": Advice(
        "Ô số hoặc ngày đã ghi nội dung khác. Hãy trình ký lại từ bản chưa điền.",
        "The number or date is filled with something else. Have the unfilled version signed again.",
    ),
    "IMAGE_TOO_LARGE": Advice(
        "Ảnh chữ ký hoặc con dấu quá lớn (tối đa 4 MB). Hãy thay ảnh nhỏ hơn.",
        "The image of the signature or seal is too large (4 MB at most). Use a smaller one.",
    ),
    "IMAGE_UNREADABLE": Advice(
        "Không đọc được ảnh chữ ký hoặc con dấu. Hãy dùng ảnh PNG nền trong suốt.",
        "The image of the signature or seal cannot be read. Use a PNG with a transparent ground.",
    ),
    "KEY_MISMATCH": Advice(
        "Giá trị ký không thuộc chứng thư đã chọn. Hãy chọn đúng thiết bị ký rồi ký lại.",
        "The signature is not of the chosen certificate. Choose the right token and sign again.",
    ),
    "LEADER_SIGNATURE_MISSING": Advice(
        "Văn bản chưa có chữ ký hợp lệ của người có thẩm quyền. Hãy trình ký trước khi đóng dấu.",
        "No valid signature of a leader. Have the document signed before it is sealed.",
    ),
    "LEADER_SIGNATURE_UNSTAMPED": Advice(
        "Chữ ký của người có thẩm quyền chưa có dấu thời gian. Hãy xin dấu thời gian trước khi đóng dấu.",
        "The leader's signature is not timestamped. Have it stamped before sealing.",
    ),
    "MAIN_PART_AMBIGUOUS": Advice(
        "Tệp có nhiều nội dung chính, không rõ bản nào được ký. Hãy từ chối và yêu cầu gửi lại.",
        "The file has several main contents. Refuse it and ask the sender to send again.",
    ),
    "PAGE_ROTATED": Advice(
        "Trang bị xoay nên không đặt được ô. Hãy xuất lại trang theo chiều đúng.",
        "Fields cannot be placed on a rotated page. Export the page upright.",
    ),
    "PART_NOT_SIGNED": Advice(
        "Tệp có phần chưa được ký. Hãy kiểm tra phần được nêu với cơ quan gửi trước khi tiếp nhận.",
        "A part of the file is not signed. Check the part named with the sender before accepting it.",
    ),
    "PLACEMENT_OUTSIDE_PAGE": Advice(
        "Vị trí ô nằm ngoài trang. Hãy chọn lại vị trí.",
        "A field lies outside its page. Choose another place.",
    ),
    "PLACEMENT_TOO_SMALL": Advice(
        "Ô quá nhỏ. Hãy vẽ ô lớn hơn.",
        "A field is too small. Draw it larger.",
    ),
    "RELATIONSHIP_NOT_SIGNED": Advice(
        "Tệp có liên kết được thêm mà chưa ký. Hãy kiểm tra với cơ quan gửi trước khi tiếp nhận.",
        "A link in the file is not signed. Check with the sender before accepting it.",
    ),
    "SIGNATURE_BROKEN": Advice(
        "Chữ ký số không đúng. Hãy từ chối và yêu cầu ký lại.",
        "The signature is wrong. Refuse the document and ask for a new signature.",
    ),
    "SIGNATURE_MALFORMED": Advice(
        "Không đọc được chữ ký số. Hãy từ chối và yêu cầu ký lại.",
        "The signature cannot be read. Refuse the document and ask for a new signature.",
    ),
    "SIGNATURE_NOT_LAST": Advice(
        "Chỉ gắn được dấu thời gian cho chữ ký cuối cùng. Hãy làm lại từ bước trước.",
        "Only the last signature can be stamped. Repeat from the step before.",
    ),
    "SIGNATURE_ORDER": Advice(
        "Dấu của cơ quan có trước chữ ký của người có thẩm quyền. Hãy từ chối và báo cơ quan gửi.",
        "The seal was made before the leader's signature. Refuse the document and tell the sender.",
    ),
    "SIGNER_CERTIFICATE_EXPIRED": Advice(
        "Chứng thư ký đã hết hạn. Hãy gia hạn chứng thư rồi ký lại.",
        "The signing certificate has expired. Renew it and sign again.",
    ),
    "SIGNER_CERTIFICATE_MALFORMED": Advice(
        "Không đọc được chứng thư ký. Hãy báo quản trị viên.",
        "The signing certificate cannot be read. Tell the administrator.",
    ),
    "SIGNER_CERTIFICATE_NOT_YET_VALID": Advice(
        "Chứng thư ký chưa có hiệu lực. Hãy kiểm tra ngày giờ hoặc chờ đến ngày hiệu lực.",
        "The signing certificate is not valid yet. Check the clock, or wait.",
    ),
    "SIGNER_CERTIFICATE_REVOKED": Advice(
        "Chứng thư ký đã bị thu hồi. Hãy dùng chứng thư mới.",
        "The signing certificate was revoked. Use a new one.",
    ),
    "SIGNER_CERTIFICATE_ROLE": Advice(
        "Chứng thư không đúng vai trò: cá nhân ký bằng chứng thư cá nhân, cơ quan bằng chứng thư cơ quan.",
        "The certificate is for another role: persons sign with theirs, the agency with its own.",
    ),
    "SIGNER_CERTIFICATE_UNTRUSTED": Advice(
        "Chứng thư ký không thuộc hệ thống tin cậy. Hãy báo quản trị viên.",
        "The signing certificate is not trusted here. Tell the administrator.",
    ),
    "SIGNER_CERTIFICATE_USAGE": Advice(
        "Chứng thư không dùng để ký văn bản. Hãy chọn chứng thư khác.",
        "The certificate is not for signing documents. Choose another.",
    ),
    "SIGNER_IDENTITY_AMBIGUOUS": Advice(
        "Chứng thư ghi nhiều danh tính. Hãy báo quản trị viên.",
        "The certificate names several identities. Tell the administrator.",
    ),
    "SIGNER_IDENTITY_MALFORMED": Advice(
        "Danh tính trong chứng thư sai dạng. Hãy báo quản trị viên.",
        "The certificate's identity is malformed. Tell the administrator.",
    ),
    "SIGNER_IDENTITY_MISSING": Advice(
        "Chứng thư chưa được gắn với cơ quan nào. Hãy báo quản trị viên.",
        "The certificate is not bound to an organization. Tell the administrator.",
    ),
    "SIGNER_KEY_UNSUPPORTED": Advice(
        "Loại khóa không dùng được để ký văn bản (cần RSA từ 2048 bit hoặc P-256).",
        "This kind of key cannot sign documents (RSA from 2048 bits or P-256 is needed).",
    ),
    "STAMP_SPACE_EXHAUSTED": Advice(
        "Dấu thời gian lớn hơn chỗ dành sẵn. Hãy báo quản trị viên.",
        "The timestamp is larger than the space reserved. Tell the administrator.",
    ),
    "TEMPLATE_ATTACHED": Advice(
        "Tệp gắn với mẫu (template) bên ngoài. Hãy gỡ mẫu rồi ký lại; nếu là văn bản đến, hãy từ chối.",
        "A template outside is attached. Detach it and sign again; if you received the file, refuse it.",
    ),
    "TEXT_DOES_NOT_FIT": Advice(
        "Ô quá nhỏ so với nội dung cần in. Hãy đặt ô rộng hơn trước khi trình ký.",
        "The field is too small for its text. Place a wider one before signing.",
    ),
    "TIMESTAMP_INVALID": Advice(
        "Dấu thời gian không hợp lệ. Hãy từ chối văn bản; nếu đang ký, hãy báo quản trị viên.",
        "The timestamp is not valid. Refuse the document; when signing, tell the administrator.",
    ),
    "TIMESTAMP_UNAVAILABLE": Advice(
        "Máy chủ dấu thời gian chưa trả lời. Văn bản đã ký được giữ lại và gắn dấu thời gian sau.",
        "The timestamp authority does not answer. The signed document is kept and will be stamped later.",
    ),
    "VALIDATION_TIME_LIMIT": Advice(
        "Kiểm tra chữ ký quá lâu nên đã dừng. Hãy coi tệp là đáng ngờ và báo quản trị viên.",
        "Validation took too long and was stopped. Treat the file as suspect and tell the administrator.",
    ),
    "CLOCK_UNTRUSTED": Advice(
        "Đồng hồ máy chủ lệch nên không cấp dấu thời gian. Hãy báo quản trị viên chỉnh lại đồng hồ.",
        "The server's clock is off, so no timestamps are given. Tell the administrator to set it right.",
    ),
    "FIELD_ALREADY_SIGNED": Advice(
        "Văn bản đã có chữ ký số của cơ quan. Không đóng dấu lần thứ hai; hãy kiểm tra lại tệp.",
        "The agency has signed this document already. It is not sealed twice; check the file.",
    ),
    "KEY_REFUSED": Advice(
        "Khóa này không thuộc quyền của người yêu cầu. Lãnh đạo tự ký; văn thư đóng dấu qua hệ thống.",
        "The key is not the caller's to use. Leaders sign themselves; clerks seal through the system.",
    ),
    "KEY_UNKNOWN": Advice(
        "Nút này không giữ khóa ký cần dùng. Hãy kiểm tra mã cơ quan hoặc báo quản trị viên cài khóa.",
        "This node does not hold the key. Check the organization's code, or have the key installed.",
    ),
    "NUMBER_ALREADY_FILLED": Advice(
        "Ô số hoặc ngày đã có giá trị khác. Hãy lấy lại bản lãnh đạo vừa ký rồi đóng dấu.",
        "Number or date hold another value already. Take the copy that the leader signed, and seal that.",
    ),
    "PAYLOAD_INVALID": Advice(
        "Gói tin không đọc được. Hãy báo quản trị viên; không cần gửi lại văn bản.",
        "The envelope cannot be read. Tell the administrator; the document need not be sent again.",
    ),
    "PLACEMENT_MISSING": Advice(
        "Chưa cho biết vị trí của số, ngày hoặc chữ ký. Hãy chọn vị trí trên trang.",
        "The place of number, date or signature is missing. Choose it on the page.",
    ),
    "PURPOSE_MISSING": Advice(
        "Chưa cho biết cần chữ ký nào. Hãy chọn ký cá nhân, đóng dấu hoặc ký phụ lục.",
        "It is not said which signature is wanted: personal, seal or annex.",
    ),
    "SIGNING_BUSY": Advice(
        "Hệ thống đang ký nhiều văn bản. Hãy thử lại sau ít giây.",
        "Many documents are being signed. Try again in a few seconds.",
    ),
    "TIMESTAMP_ROOM_MISSING": Advice(
        "Chữ ký không còn chỗ cho dấu thời gian. Hãy đóng dấu lại từ bản lãnh đạo đã ký.",
        "The signature has no room for a timestamp. Seal again from the copy that the leader signed.",
    ),
    "PURPOSE_INVALID": Advice(
        "Chữ ký rời chỉ dùng để ký cá nhân hoặc ký phụ lục. Hãy chọn lại mục đích.",
        "A detached signature is personal or for an annex. Choose one of these.",
    ),
    "DETACHED_SIGNATURE_BROKEN": Advice(
        "Chữ ký rời bị hỏng hoặc sai định dạng CMS. Hãy ký lại tệp.",
        "The detached signature is broken or no CMS. Sign the file again.",
    ),
}
