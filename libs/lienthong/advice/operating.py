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
    "MESH_MISSING": Advice(
        "Thư mục này chưa có lưới nào. Hãy chạy `lienthong up --data <thư mục>` hoặc sửa --data.",
        "This folder holds no mesh. Run `lienthong up --data <folder>`, or correct --data.",
    ),
    "MESH_FILE_INVALID": Advice(
        "Tệp mesh.yaml bị hỏng. Hãy khôi phục tệp từ bản sao lưu; đừng xóa thư mục dữ liệu.",
        "The file mesh.yaml is damaged. Restore it from a backup; do not remove the data folder.",
    ),
    "MESH_DIFFERS": Advice(
        "Thư mục này đang giữ một lưới khác. Chỉ có thể thêm nút, cơ quan, người; muốn lưới khác, hãy "
        "chọn thư mục khác.",
        "This folder holds another mesh. Only nodes, organizations and people may be added; for another "
        "mesh choose another folder.",
    ),
    "MESH_BUSY": Advice(
        "Lưới đang khởi động hoặc đang dừng. Hãy chờ một phút rồi thử lại.",
        "The mesh is starting or stopping. Wait a minute and try again.",
    ),
    "MESH_NOT_RUNNING": Advice(
        "Lưới không chạy. Hãy chạy `lienthong up` trước.",
        "The mesh does not run. Run `lienthong up` first.",
    ),
    "MESH_NOT_STOPPED": Advice(
        "Lưới chưa dừng hẳn. Hãy xem run/supervisor.log trong thư mục dữ liệu rồi thử lại.",
        "The mesh has not ended yet. Look into run/supervisor.log in its folder and try again.",
    ),
    "SUPERVISOR_FAILED": Advice(
        "Máy từ chối tiến trình giám sát lưới (đĩa đầy, tệp mất, cơ sở dữ liệu không trả lời). Sửa điều "
        "thông báo nêu rồi chạy lại đúng lệnh đó.",
        "The machine refused the mesh's supervisor (a full disk, a missing file, a database that does not "
        "answer). Mend what the message says, then run the same command again.",
    ),
    "SUPERVISOR_ENDED": Advice(
        "Tiến trình giám sát lưới đã kết thúc; lý do ở run/supervisor.log. Hãy sửa rồi chạy lại "
        "`lienthong up`.",
        "The mesh's supervisor ended; the reason is in run/supervisor.log. Mend it and run `lienthong "
        "up` again.",
    ),
    "FOLDER_NOT_REACHABLE": Advice(
        "PostgreSQL không được vào thư mục này khi chạy bằng root. Hãy cho phép đi qua (chmod o+x) hoặc "
        "chọn thư mục khác, ví dụ dưới /var/lib.",
        "PostgreSQL may not enter this folder when root starts it. Allow passing (chmod o+x), or choose "
        "another folder, such as one under /var/lib.",
    ),
    "FOLDER_NOT_EMPTY": Advice(
        "Thư mục này có tệp không thuộc lưới nào; chưa tệp nào bị đổi. Hãy chọn thư mục trống, hoặc chuyển "
        "các tệp đó đi nơi khác.",
        "This folder holds files that are no mesh's; none was touched. Choose an empty folder, or move those "
        "files elsewhere.",
    ),
    "DATABASE_MISSING": Advice(
        "Lưới này đã có dữ liệu nhưng không thấy cơ sở dữ liệu. Hãy gắn lại ổ đĩa, hoặc bỏ (hay sửa) biến "
        "LIENTHONG_POSTGRES_URL, hoặc khôi phục từ bản sao lưu; không cơ sở dữ liệu trống nào được tạo.",
        "This mesh has data, but its databases are not there. Mount the disk, unset (or correct) "
        "LIENTHONG_POSTGRES_URL, or restore a backup; no empty database was made.",
    ),
    "DATABASE_UNNAMED": Advice(
        "Chưa biết máy chủ PostgreSQL của lưới. Hãy đặt biến LIENTHONG_POSTGRES_URL rồi chạy lại "
        "`lienthong up`.",
        "The mesh's PostgreSQL is not known. Set LIENTHONG_POSTGRES_URL and run `lienthong up` again.",
    ),
    "MESH_COPIED": Advice(
        "Thư mục này là bản sao của một lưới vẫn còn và dùng chung cơ sở dữ liệu với lưới đó. Hãy dùng thư "
        "mục gốc, hoặc xóa bản sao bằng `lienthong down --delete`.",
        "This folder is a copy of a mesh that is still there, and shares its databases. Use the original "
        "folder, or remove the copy by `lienthong down --delete`.",
    ),
    "POSTGRES_VERSION_DIFFERS": Advice(
        "Dữ liệu thuộc phiên bản PostgreSQL khác. Hãy dùng đúng phiên bản cũ để pg_dump, rồi nạp vào "
        "phiên bản mới.",
        "The data belongs to another version of PostgreSQL. Dump it with the old one (pg_dump) and load "
        "it into the new.",
    ),
    "PKI_INCOMPLETE": Advice(
        "Thiếu chứng thư hoặc khóa. Hãy bổ sung mọi tệp đã nêu theo cấu trúc trong "
        "libs/lienthong/mesh/README.md.",
        "Certificates or keys are missing. Add every file that is named, as "
        "libs/lienthong/mesh/README.md lays them out.",
    ),
    "PKI_UNUSABLE": Advice(
        "Có chứng thư không dùng được. Hãy cấp lại từng tệp đã nêu.",
        "Some certificates cannot be used. Issue each that is named anew.",
    ),
    "OPERATOR_MISSING": Advice(
        "Không có chứng thư của người vận hành trong thư mục lưới. Hãy bổ sung "
        "pki/issued/operator/<tên>/tls.",
        "The mesh's folder has no operator's certificate. Add pki/issued/operator/<name>/tls.",
    ),
}
