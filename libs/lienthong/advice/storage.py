"""What a clerk does next about the reasons that the storage service gives."""

from __future__ import annotations

from lienthong.advice.entry import Advice

_ADMIN_VI = "Hãy báo quản trị viên của nút"
_ADMIN_EN = "Tell the administrator of your node"

ADVICE: dict[str, Advice] = {
    "ATTACHMENT_TOO_LARGE": Advice(
        "Tệp vượt quá dung lượng cho phép. Hãy giảm dung lượng hoặc tách thành nhiều tệp rồi gửi lại.",
        "The file is larger than this node takes. Make it smaller or split it, and send again.",
    ),
    "BLOB_CORRUPT": Advice(
        f"Tệp lưu trữ bị hỏng. {_ADMIN_VI} ngay; nếu còn tệp gốc, hãy tải lên lại để khôi phục.",
        f"The stored file is damaged. {_ADMIN_EN} at once; uploading the original again repairs it.",
    ),
    "BLOB_UNKNOWN": Advice(
        "Tệp chưa được tải lên hoặc đã quá thời hạn lưu. Hãy tải tệp lên lại.",
        "The file was never uploaded here, or was kept as long as promised. Upload it again.",
    ),
    "CHUNK_TOO_LARGE": Advice(
        "Phần mềm gửi mẩu dữ liệu quá lớn. Hãy chia nhỏ, mỗi mẩu tối đa 512 KiB.",
        "The software sends pieces that are too large. Send at most 512 KiB in each.",
    ),
    "DIGEST_MALFORMED": Advice(
        "Mã băm SHA-256 phải dài 32 byte. Hãy sửa phần mềm gửi.",
        "A SHA-256 digest has 32 bytes. Correct the sending software.",
    ),
    "DIRECTION_MISSING": Advice(
        f"Yêu cầu sao chép tệp không nêu chiều truyền. {_ADMIN_VI}.",
        f"An order to copy files does not say which way. {_ADMIN_EN}.",
    ),
    "GRANT_MISSING": Advice(
        "Cơ quan chưa có quyền đối với tệp này. Hãy tải tệp lên, hoặc mở văn bản đến rồi tải từ đó.",
        "Your organization has no right to this file. Upload it, or fetch it from the document received.",
    ),
    "HOLDER_MALFORMED": Advice(
        f"Yêu cầu giữ tệp không nêu đúng bên giữ. {_ADMIN_VI}.",
        f"A request to keep files does not name its holder. {_ADMIN_EN}.",
    ),
    "ORGANIZATION_MALFORMED": Advice(
        "Mã cơ quan không đúng dạng. Hãy kiểm tra mã định danh của cơ quan.",
        "This is not the code of an organization. Check your organization's code.",
    ),
    "PEER_UNKNOWN": Advice(
        f"Nút này không có kết nối tới nút kia. {_ADMIN_VI}.",
        f"This node has no link to that node. {_ADMIN_EN}.",
    ),
    "RANGE_INVALID": Advice(
        "Phần tệp được yêu cầu nằm ngoài tệp. Hãy tải lại từ đầu.",
        "The part asked for is outside of the file. Fetch it from the beginning.",
    ),
    "SENDER_FOREIGN": Advice(
        "Chỉ được thực hiện cho cơ quan của mình. Hãy dùng chứng thư của đúng cơ quan.",
        "You act for your own organization only. Use the certificate of the right one.",
    ),
    "SIZE_MISMATCH": Advice(
        "Dung lượng tệp không khớp với khai báo. Hãy gửi lại.",
        "The file is not as long as announced. Send it again.",
    ),
    "STORAGE_BUSY": Advice(
        "Đang có quá nhiều tệp được truyền. Hãy thử lại sau ít phút.",
        "Too many files are moving at the moment. Try again in a few minutes.",
    ),
    "STORAGE_FULL": Advice(
        f"Kho lưu trữ của nút đã đầy. {_ADMIN_VI} rồi gửi lại sau.",
        f"The disk of your node is full. {_ADMIN_EN}, and send again later.",
    ),
    "STREAM_MALFORMED": Advice(
        f"Phần mềm gửi dữ liệu không đúng trình tự. {_ADMIN_VI}.",
        f"The software sends its data in the wrong order. {_ADMIN_EN}.",
    ),
    "TOO_MANY_DIGESTS": Advice(
        "Yêu cầu nêu quá nhiều tệp. Hãy chia thành nhiều lần.",
        "The request names too many files. Send it in parts.",
    ),
    "TOO_MANY_HOLDS": Advice(
        f"Yêu cầu giữ quá nhiều tệp một lần. {_ADMIN_VI}.",
        f"The request keeps too much at once. {_ADMIN_EN}.",
    ),
    "UPLOAD_HEADER_MISSING": Advice(
        "Phần mềm không khai báo tệp trước khi gửi. Hãy cập nhật phần mềm.",
        "The software does not announce the file before it sends it. Update the software.",
    ),
    "UPLOAD_OFFSET_WRONG": Advice(
        "Phần tệp đã nhận không khớp với chỗ gửi tiếp. Hãy hỏi lại vị trí (GetUpload) rồi gửi tiếp.",
        "What is here does not end where the upload goes on. Ask GetUpload again, then go on.",
    ),
    "STORE_UNAVAILABLE": Advice(
        "Dịch vụ lưu trữ đối tượng tạm thời không phản hồi. Hãy thử lại sau ít phút."
        f" Nếu vẫn lỗi: {_ADMIN_VI}.",
        f"The object store does not answer for now. Try again in a few minutes. If it lasts: {_ADMIN_EN}.",
    ),
    "STORE_DENIED": Advice(
        "Dịch vụ lưu trữ đối tượng từ chối khóa truy cập của nút."
        " Quản trị viên hãy kiểm tra hai tệp khóa, quyền trên bucket và đồng hồ của máy.",
        "The object store refuses the node's access key."
        " The administrator checks both key files, the rights on the bucket, and the machine's clock.",
    ),
    "BUCKET_MISSING": Advice(
        "Không có bucket đã cấu hình. Quản trị viên hãy tạo bucket hoặc sửa storage.bucket.bucket.",
        "The configured bucket does not exist. The administrator makes it or corrects storage.bucket.bucket.",
    ),
    "BLOBS_UNREADABLE": Advice(
        "Không đọc được kho tệp. Hãy kiểm tra thư mục hoặc dịch vụ lưu trữ đối tượng rồi chạy lại.",
        "The store of files cannot be read. Check the folder or the object store, then run again.",
    ),
}
