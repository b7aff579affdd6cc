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
}
