"""What a clerk does next about the reasons that the reporting service gives."""

from __future__ import annotations

from lienthong.advice.entry import Advice

ADVICE: dict[str, Advice] = {
    "JOURNEY_UNKNOWN": Advice(
        "Chưa thấy văn bản này trong số văn bản đã phát hành. Hãy kiểm tra số, ký hiệu, năm;"
        " nếu vừa gửi, hãy thử lại sau ít giây.",
        "No such document was issued here. Check number, notation and year; if it was sent just now,"
        " try again in a few seconds.",
    ),
    "KEY_MISSING": Advice(
        "Hãy nêu mã văn bản, hoặc đủ cơ quan, số, ký hiệu và năm ban hành.",
        "Name the document by its identifier, or by organization, number, notation and year together.",
    ),
    "PERIOD_TOO_LONG": Advice(
        "Khoảng thời gian quá dài. Hãy chọn tối đa 400 ngày, hoặc chọn một cơ quan.",
        "The period is too long. Choose at most 400 days, or one organization.",
    ),
    "READER_OVERTAKEN": Advice(
        "Số liệu đang được cập nhật. Hãy thử lại sau ít giây.",
        "The figures are being updated. Try again in a few seconds.",
    ),
}
