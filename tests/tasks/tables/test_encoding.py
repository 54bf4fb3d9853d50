from __future__ import annotations

import io

import pytest

from streaming.tasks.tables.encoding import find_encoding
from streaming.tasks.tables.refusal import BadCsv

WRITTEN = [
    ("Zeitraum;Umsätze\nJänner;5\nMärz;6\n", "latin-1"),
    ("Straße,Größe\n1,2\n", "cp1252"),
    ("période;café\n1;2\n", "latin-1"),
    ("month,revenue\n2024-01,£100\n", "cp1252"),
    ("m;v\n2024-01;1\u00a0234,5 €\n", "cp1252"),
    ("Måned;Kjøp\n1;2\n", "cp1252"),
    ("miesiąc;przychód\n1;2\n", "cp1250"),
    ("месяц;Выручка\n1;2\n", "cp1251"),
    ("месяц;Выручка\n1;2\n", "koi8-r"),
    ("月,売上\n2024年1月,100\n", "shift_jis"),
    ("月份,收入\n2024年1月,100\n", "gbk"),
    ("年,売上\n1,2\n", "iso-2022-jp"),
    ("month,revenue\n1,2\n", "utf-16"),
    ("month,revenue\n1,2\n", "utf-16-le"),
    ("month,revenue\n1,2\n", "utf-16-be"),
    ("月,売上\n1,2\n", "utf-16-be"),
    ("月,売上\n1,2\n", "utf-8"),
    ("月,売上\n1,2\n", "utf-8-sig"),
]


@pytest.mark.parametrize(("text", "encoding"), WRITTEN)
def test_bytes_are_read_as_they_were_written(text: str, encoding: str) -> None:
    data = text.encode(encoding)

    found = find_encoding(io.BytesIO(data), None)

    assert data.decode(found.codec) == text


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        *[
            ("Año;Ventas\n1;2\n", "cp1252"),
            ("Satış,ay\n1,2\n", "cp1254"),
            ("日付,東京\n", "euc_jp"),
        ],
        *[("année;dépenses\n1;2\n", "mac_roman"), ("שנה;מכירות\n1;2\n", "cp1255")],
    ],
)
def test_what_stays_open_is_refused_and_the_option_decides(text: str, encoding: str) -> None:
    data = text.encode(encoding)

    with pytest.raises(BadCsv, match="encoding") as refusal:
        find_encoding(io.BytesIO(data), None)

    assert refusal.value.extra["option"] == "encoding"
    assert data.decode(find_encoding(io.BytesIO(data), encoding).codec) == text


def test_another_encoding_than_the_one_asked_for_is_named_with_its_place() -> None:
    data = "a,b\n1,2\nx,Jänner\n".encode("latin-1")

    with pytest.raises(BadCsv) as refusal:
        find_encoding(io.BytesIO(data), "utf-8")

    assert refusal.value.extra == {"line": 3, "column": 2, "option": "encoding"}


@pytest.mark.parametrize(
    "data", [bytes(range(256)) * 100, b"\xff\xfea\x00\x00\xd8", b"a\x81\x8d\n"]
)
def test_what_is_no_text_is_refused_in_words_that_can_be_sent(data: bytes) -> None:
    with pytest.raises(BadCsv) as refusal:
        find_encoding(io.BytesIO(data), None)

    assert str(refusal.value).encode()


@pytest.mark.parametrize(
    ("begins", "kind"),
    [
        (b"PK\x03\x04\x14\0\x06\0[Content_Types].xml\0xl/workbook.xml", "an Excel workbook"),
        (b"PK\x03\x04\x14\0\0\x08mimetypeapplication/vnd.oasis.opendocument", "OpenDocument"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an Excel workbook"),
        (b"\x1f\x8b\x08\0month", "gzip"),
        (b"%PDF-1.7\n%\xe2\xe3", "PDF"),
        (b"<table><tr><td>month</td></tr></table>", "HTML"),
        (b'[{"month": "2024-01", "v": 1}]', "JSON"),
    ],
)
def test_what_is_no_text_of_cells_is_named(begins: bytes, kind: str) -> None:
    with pytest.raises(BadCsv, match=kind) as refusal:
        find_encoding(io.BytesIO(begins), None)

    assert "option" not in refusal.value.extra
