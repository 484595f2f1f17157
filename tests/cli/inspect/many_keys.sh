# a long table is printed in the time that its rows take, not in that of their square (some minutes here)
LC_ALL=C awk 'function put(x, bytes) { for (; bytes; bytes--) { printf "%c", x % 256; x = int(x / 256) } }
BEGIN {
    printf "GGUF"; put(3, 4); put(0, 8); put(60000, 8)
    for (i = 0; i < 60000; i++) { put(10, 8); printf "key.%06d", i; put(4, 4); put(i, 4) }
    put(0, 32)
}' >many.gguf
timeout 20 sedge inspect many.gguf >table || echo "too long"
grep -n "^key.059999 " table
