cp "$SOURCE/tests/parity/gguf_blocks.gguf" m.gguf
sedge inspect m.gguf
sedge inspect m.gguf --json | json tensors >/dev/null
head -c 100 m.gguf > cut.gguf
sedge inspect cut.gguf
