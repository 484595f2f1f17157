#!/usr/bin/env python3
"""Writes src/text/unicode_table.h: what kind of character huggingface/tokenizers takes each code point for.

The library asks several crates with tables of different Unicode versions, so neither utf8proc nor any one version of Unicode
gives the same answers; these tables are its answers, asked one code point at a time. Needs: pip install tokenizers, libutf8proc.
"""
import ctypes
import os
import struct

import tokenizers
from tokenizers import normalizers as N
from tokenizers import pre_tokenizers as P

OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../src/text/unicode_table.h")
POINTS = [c for c in range(0x80, 0x110000) if not 0xD800 <= c <= 0xDFFF]
utf8proc = ctypes.CDLL("libutf8proc.so.2")
utf8proc.utf8proc_category_string.restype = ctypes.c_char_p
utf8proc.utf8proc_map.restype = ctypes.c_ssize_t
utf8proc.utf8proc_grapheme_break.restype = ctypes.c_bool


def ranges(points):
    out = []
    for c in sorted(points):
        if out and c == out[-1][1] + 1:
            out[-1][1] = c
        else:
            out.append([c, c])
    return out


def decomposed(c):
    """utf8proc's NFKD"""
    out = ctypes.c_char_p()
    b = chr(c).encode()
    return out.value.decode() if utf8proc.utf8proc_map(b, len(b), ctypes.byref(out), 2 | 16 | 4) > 0 else ""


def cut_in(t, parts):
    return {c for c in POINTS if len(t.pre_tokenize_str("a" + chr(c) + "a")) == parts}


def removed_by(n):
    return {c for c in POINTS if n.normalize_str("a" + chr(c) + "a") == "aa"}


def bert(**on):
    return N.BertNormalizer(**{"clean_text": False, "handle_chinese_chars": False, "strip_accents": False, "lowercase": False, **on})


def joining():
    """Characters of the BMP that join U+00A0 to one cluster in the library and not in utf8proc. A charsmap that replaces U+00A0 alone
    shows them: it takes the whole of a short cluster away."""
    units = [0] * 1024
    units[0xC2] = 0xC2 | 256 << 10
    units[0xC2 ^ 256 ^ 0xA0] = 0xA0 | 0x100 | 512 << 10
    units[0xC2 ^ 256 ^ 0xA0 ^ 512] = 1 << 31
    n = N.Precompiled(struct.pack("<I1024I", 4096, *units) + b" \0")
    assert n.normalize_str("a\u00a0a") == "a a"
    return {c for c in POINTS if c < 0x10000 and n.normalize_str("\u00a0" + chr(c)) == " " and utf8proc.utf8proc_grapheme_break(0xA0, c)}


def main():
    words = P.Whitespace()
    marks = removed_by(N.StripAccents())
    lower, nfkd = N.Lowercase(), N.NFKD()
    tables = [
        ("punct_ranges", "BertPreTokenizer, Punctuation", cut_in(P.Punctuation(), 3)),
        ("numeric_ranges", "Digits", cut_in(P.Digits(individual_digits=True), 3)),
        ("other_ranges", "what clean_text of BertNormalizer drops", removed_by(bert(clean_text=True)) - {0xFFFD}),
        ("nonspacing_ranges", "what strip_accents of BertNormalizer drops", removed_by(bert(strip_accents=True))),
        ("mark_ranges", "what StripAccents drops", marks),
        ("word_ranges", r"\w of Whitespace and of single_word", {
            c for c in POINTS if len(words.pre_tokenize_str("a" + chr(c) + "a")) == 1 and words.pre_tokenize_str("a" + chr(c) + "a")[0][0] != "aa"}),
        ("foreign_ranges", "characters that the normal forms do not know: they stay, and nothing is put together across them", {
            c for c in POINTS if utf8proc.utf8proc_category_string(c)[:1] == b"M" and c not in marks or decomposed(c) != nfkd.normalize_str(chr(c))}),
        ("joining_ranges", "characters that do not begin a grapheme cluster, though utf8proc 2.8 thinks so", joining()),
    ]
    moved = [(c, ord(lower.normalize_str(chr(c)))) for c in POINTS if len(lower.normalize_str(chr(c))) == 1 and
             ord(lower.normalize_str(chr(c))) != utf8proc.utf8proc_tolower(c)]
    with open(OUT, "w", encoding="ascii") as f:
        f.write(f"/* unicode_table.h - kinds of characters as huggingface/tokenizers {tokenizers.__version__} sees them, first and last of each range from\n"
                " * U+0080 on. Written by tests/parity/unicode_table.py. */\n")
        for name, what, points in tables:
            list_ = ranges(points)
            f.write(f"\n/* {what} */\nstatic const uint32_t {name}[][2] = {{\n")
            for i in range(0, len(list_), 7):
                f.write("    " + " ".join("{0x%x, 0x%x}," % (a, b) for a, b in list_[i:i + 7]) + "\n")
            f.write("};\n")
        f.write("\n/* lower case that utf8proc 2.8 does not know */\nstatic const uint32_t lower_pairs[][2] = {\n")
        for i in range(0, len(moved), 7):
            f.write("    " + " ".join("{0x%x, 0x%x}," % p for p in moved[i:i + 7]) + "\n")
        f.write("};\n")


if __name__ == "__main__":
    main()
