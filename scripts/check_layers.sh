#!/bin/sh
# The arrows between folders point down only: every #include "FOLDER/..." of src/ must be in the table below, the command may
# include the public header and its own files, and nobody includes a vendor's header but the one file that wraps it.
set -eu
cd "${1:-$(dirname "$0")/..}"
find src cli examples -name '*.[ch]' | sort | xargs awk '
BEGIN {
    allow["base"] = ""
    allow["math"] = "base"
    allow["nn"] = "base math"
    allow["file"] = "base"
    allow["data"] = "base file"
    allow["text"] = "base math file data"
    allow["lm"] = "base math nn file text index"
    allow["quantize"] = "base math nn file data text index"
    allow["index"] = "base file"
    allow["decode"] = "base math nn file index"
    allow["models"] = "base math nn file data text lm quantize index decode"
    allow["eval"] = "base math nn file data index decode models"
    allow["train"] = "base math nn file data index decode models eval"
    allow["serve"] = "base math nn file data index decode models eval"
    role["models/model.h"]; role["models/explain.h"]; role["models/prefixes.h"]; role["models/tower.h"] # these know roles, no model
    allow["api"] = "base math nn file data text lm quantize index decode models eval train serve"
    only["dnnl"] = "src/math/onednn src/math/gemm"
    only["jansson"] = "*" # values of JSON are our own interface between modules
    only["yaml"] = "src/file/yaml"
    only["zlib"] = "src/base/reader src/serve/gzip"
    only["zstd"] = "src/base/reader"
    only["utf8proc"] = "src/text/"
    only["pcre2"] = "src/text/pattern"
    only["microhttpd"] = "src/serve/http"
    only["sqlite"] = "src/file/sqlite"
    only["libpq"] = "src/serve/store_postgres"
    only["stemmer"] = "src/text/stem"
    only["curl"] = "src/lm/wire"
    bad = 0
}
function complain(text) { printf "%s:%d: %s\n", FILENAME, FNR, text; bad = 1 }
/^[ \t]*#[ \t]*include[ \t]*"/ {
    split($0, part, "\"")
    split(FILENAME, at, "/")
    n = split(part[2], to, "/")
    if (at[1] == "src") {
        if (n < 2) next # beside the file
        if (part[2] == "sedge/sedge.h") { if (at[2] != "api") complain("only src/api may include " part[2]); next }
        if (to[1] == at[2]) next
        if (!(at[2] in allow)) { complain("folder " at[2] " is not in the table of scripts/check_layers.sh"); next }
        if (index(" " allow[at[2]] " ", " " to[1] " ") == 0) complain(at[2] " may not use " to[1] " (" part[2] ")")
        if ((at[2] == "eval" || at[2] == "train" || at[2] == "serve") && to[1] == "models" && !(part[2] in role))
            complain(at[2] " may know models by their roles (models/model.h) only, not " part[2])
    } else if (n >= 2 && part[2] != "sedge/sedge.h")
        complain(at[1] " may include the public header only, not " part[2])
}
/^[ \t]*#[ \t]*include[ \t]*</ {
    split($0, part, /[<>.\/]/)
    for (v in only)
        if (match($0, "<[a-z0-9/]*" v "[a-z0-9_-]*\\.h>") && only[v] != "*") {
            ok = 0
            n = split(only[v], where, " ")
            for (i = 1; i <= n; i++) if (index(FILENAME, where[i]) == 1) ok = 1
            if (!ok) complain("<" v "> is wrapped by " only[v] " only")
        }
}
END { exit bad }
'
echo "includes follow the layers"
