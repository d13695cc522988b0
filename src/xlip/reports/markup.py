"""What exports leave in a text: byte order marks, `_x000D_`, HTML, escaped line breaks; out, with lines kept apart."""

from __future__ import annotations

import html
import re

_SUSPICIOUS = re.compile(r"[<&\\\ufeff\u200b-\u200f\u2028\u2029\x00-\x08\x0b-\x1f\x7f\u00ad]|_x[0-9A-Fa-f]{4}_")
_EXCEL = re.compile(r"_x([0-9A-Fa-f]{4})_")
_ESCAPED_BREAK = re.compile(r"\\\.br\\|(?:\\r)?\\n|\\r(?![a-z])|\\X0[AD]\\", re.IGNORECASE)
_UNSEEN = re.compile(r"<!--.*?-->|<(style|script|head)\b.*?</\1\s*>", re.IGNORECASE | re.DOTALL)
_BLOCK = re.compile(r"</?(?:br|p|div|li|ul|ol|tr|table|h[1-6]|hr|section|body|html|pre|dt|dd)\b[^<>]*>", re.IGNORECASE)
_TAG = re.compile(r"</?[A-Za-z][A-Za-z0-9:]*(?:\s[^<>]{0,300})?/?>|<[!?][^<>]{0,300}>")
_INVISIBLE = re.compile(r"[\ufeff\u200b-\u200f\u00ad\x00-\x08\x0e-\x1f\x7f]")
_BREAKS = re.compile(r"\r\n?|[\x0b\x0c\u2028\u2029\u0085]")


def plain_text(text: str) -> str:
    """The text without markup; block elements and escaped breaks become line breaks, entities their characters."""
    if not _SUSPICIOUS.search(text):
        return text
    if "_x" in text:
        text = _EXCEL.sub(lambda match: _character(int(match.group(1), 16)), text)
    text = _ESCAPED_BREAK.sub("\n", text) if "\\" in text else text
    if "&" in text:
        text = html.unescape(text)
    if "<" in text:
        text = _TAG.sub("", _BLOCK.sub("\n", _UNSEEN.sub(" ", text)))
    return _BREAKS.sub("\n", _INVISIBLE.sub("", text)).replace("\xa0", " ")


def _character(code: int) -> str:
    return "\n" if code in (10, 13) else chr(code) if code >= 32 and not 0xD800 <= code < 0xE000 else " "
