"""Advice on what people meet who run nodes, or use the command line."""

from __future__ import annotations

from lienthong.advice.entry import Advice

ADVICE: dict[str, Advice] = {
    "PROFILES_INVALID": Advice(
        "Tệp hồ sơ kết nối (profiles.yaml) có lỗi. Hãy sửa các chỗ đã nêu.",
        "The file of profiles (profiles.yaml) is wrong. Correct the places that are named.",
    ),
    "PROFILE_UNKNOWN": Advice(
        "Không có hồ sơ kết nối này. Hãy chọn tên đã nêu, hoặc sửa LIENTHONG_PROFILES.",
        "There is no such profile. Choose one of the names given, or correct LIENTHONG_PROFILES.",
    ),
    "PORT_TAKEN": Advice(
        "Cổng này đang do chương trình khác dùng. Hãy tắt chương trình đó, hoặc chọn cổng khác.",
        "Another process has this port. End that process, or choose another port in the settings.",
    ),
    "PORT_FORBIDDEN": Advice(
        "Tiến trình không có quyền mở cổng này. Hãy chọn cổng trên 1024.",
        "The process may not open this port. Choose one above 1024.",
    ),
    "FOLDER_NOT_WRITABLE": Advice(
        "Không ghi được vào thư mục này. Hãy kiểm tra quyền và việc gắn ổ đĩa, rồi khởi động lại.",
        "Nothing can be written in this folder. Check its rights, its owner and the mount, then start again.",
    ),
    "DISK_NEARLY_FULL": Advice(
        "Ổ đĩa gần đầy. Hãy giải phóng chỗ hoặc chuyển thư mục sang ổ khác, rồi khởi động lại.",
        "The disk is nearly full. Free some room or move the folder to another disk, then start again.",
    ),
    "DATABASE_REFUSED": Advice(
        "Cơ sở dữ liệu từ chối kết nối. Hãy kiểm tra tên cơ sở dữ liệu, tài khoản và tệp mật khẩu.",
        "The database refuses the connection. Check the database's name, the user and the password file.",
    ),
    "DATABASE_TOO_OLD": Advice(
        "PostgreSQL quá cũ. Hãy nâng cấp lên bản 15 trở lên.",
        "PostgreSQL is too old. Upgrade it to version 15 or newer.",
    ),
    "CLOCK_OFF": Advice(
        "Đồng hồ máy này lệch với cơ sở dữ liệu hơn một phút. Hãy đồng bộ giờ (NTP) rồi khởi động lại.",
        "The clock differs from the database's by over a minute. Set both machines by NTP, then start again.",
    ),
    "CERTIFICATE_FOREIGN": Advice(
        "Chứng thư này của mạng, nút hoặc dịch vụ khác. Hãy đặt đúng chứng thư của tiến trình.",
        "This certificate is another mesh's, node's or service's. Name this process's own.",
    ),
}
