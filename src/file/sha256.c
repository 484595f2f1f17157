/* sha256.c - the plain algorithm, sixteen rounds unrolled; on processors with instructions for it, those. */
#include "file/sha256.h"

#include "base/alloc.h"
#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>
#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
#endif

enum { READ_BYTES = 1 << 18 };

static const uint32_t k[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

static inline uint32_t rotr(uint32_t x, int n)
{
    return x >> n | x << (32 - n);
}

static inline uint32_t load32(const unsigned char *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* One round; the caller turns the roles of the eight words instead of moving them. */
#define ROUND(a, b, c, d, e, f, g, h, word)                                                                  \
    do {                                                                                                     \
        const uint32_t t = h + (rotr(e, 6) ^ rotr(e, 11) ^ rotr(e, 25)) + (g ^ (e & (f ^ g))) + (word);      \
        d += t;                                                                                              \
        h = t + (rotr(a, 2) ^ rotr(a, 13) ^ rotr(a, 22)) + ((a & b) | (c & (a | b)));                        \
    } while (0)

#define EIGHT(i, w0, w1, w2, w3, w4, w5, w6, w7)                                                             \
    do {                                                                                                     \
        ROUND(a, b, c, d, e, f, g, h, k[i] + w0);                                                            \
        ROUND(h, a, b, c, d, e, f, g, k[i + 1] + w1);                                                        \
        ROUND(g, h, a, b, c, d, e, f, k[i + 2] + w2);                                                        \
        ROUND(f, g, h, a, b, c, d, e, k[i + 3] + w3);                                                        \
        ROUND(e, f, g, h, a, b, c, d, k[i + 4] + w4);                                                        \
        ROUND(d, e, f, g, h, a, b, c, k[i + 5] + w5);                                                        \
        ROUND(c, d, e, f, g, h, a, b, k[i + 6] + w6);                                                        \
        ROUND(b, c, d, e, f, g, h, a, k[i + 7] + w7);                                                        \
    } while (0)

/* The schedule as a ring of 16 words with constant places, so that the compiler keeps it in registers. */
#define LOW(x)  (rotr(x, 7) ^ rotr(x, 18) ^ (x) >> 3)
#define HIGH(x) (rotr(x, 17) ^ rotr(x, 19) ^ (x) >> 10)
#define NEXT(i) (w[i] += w[((i) + 9) & 15] + LOW(w[((i) + 1) & 15]) + HIGH(w[((i) + 14) & 15]))

static void hash_plain(uint32_t state[8], const unsigned char *p, size_t blocks)
{
    uint32_t a = state[0], b = state[1], c = state[2], d = state[3], e = state[4], f = state[5], g = state[6],
             h = state[7];

    for (; blocks; blocks--, p += 64) {
        const uint32_t start[8] = {a, b, c, d, e, f, g, h};
        uint32_t w[16];

        for (int i = 0; i < 16; i++)
            w[i] = load32(p + 4 * i);
        EIGHT(0, w[0], w[1], w[2], w[3], w[4], w[5], w[6], w[7]);
        EIGHT(8, w[8], w[9], w[10], w[11], w[12], w[13], w[14], w[15]);
        for (int i = 16; i < 64; i += 16) {
            EIGHT(i, NEXT(0), NEXT(1), NEXT(2), NEXT(3), NEXT(4), NEXT(5), NEXT(6), NEXT(7));
            EIGHT(i + 8, NEXT(8), NEXT(9), NEXT(10), NEXT(11), NEXT(12), NEXT(13), NEXT(14), NEXT(15));
        }
        a += start[0], b += start[1], c += start[2], d += start[3];
        e += start[4], f += start[5], g += start[6], h += start[7];
    }
    state[0] = a, state[1] = b, state[2] = c, state[3] = d;
    state[4] = e, state[5] = f, state[6] = g, state[7] = h;
}

#if defined(__x86_64__)
/* The instructions keep the state as words a b e f and c d g h, do two rounds at once, and make four words of the schedule from
 * the sixteen before. [Intel SHA Extensions, 2013] */
__attribute__((target("sha,sse4.1"))) static void hash_fast(uint32_t state[8], const unsigned char *p,
                                                            size_t blocks)
{
    const __m128i big_endian = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
    const __m128i cdab = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)state), 0xb1);
    const __m128i efgh = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)(state + 4)), 0x1b);
    __m128i abef = _mm_alignr_epi8(cdab, efgh, 8), cdgh = _mm_blend_epi16(efgh, cdab, 0xf0);

    for (; blocks; blocks--, p += 64) {
        const __m128i abef_start = abef, cdgh_start = cdgh;
        __m128i w[4];

        for (int i = 0; i < 16; i++) { /* four rounds */
            __m128i *now = &w[i & 3], in;

            if (i < 4)
                *now = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(p + 16 * i)), big_endian);
            else
                *now = _mm_sha256msg2_epu32(_mm_add_epi32(_mm_sha256msg1_epu32(*now, w[(i + 1) & 3]),
                                                          _mm_alignr_epi8(w[(i + 3) & 3], w[(i + 2) & 3], 4)),
                                            w[(i + 3) & 3]);
            in = _mm_add_epi32(*now, _mm_loadu_si128((const __m128i *)(k + 4 * i)));
            cdgh = _mm_sha256rnds2_epu32(cdgh, abef, in);
            abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(in, 0x0e));
        }
        abef = _mm_add_epi32(abef, abef_start);
        cdgh = _mm_add_epi32(cdgh, cdgh_start);
    }
    const __m128i feba = _mm_shuffle_epi32(abef, 0x1b), dchg = _mm_shuffle_epi32(cdgh, 0xb1);

    _mm_storeu_si128((__m128i *)state, _mm_blend_epi16(feba, dchg, 0xf0));
    _mm_storeu_si128((__m128i *)(state + 4), _mm_alignr_epi8(dchg, feba, 8));
}

static bool is_fast_here(void)
{
    unsigned a, b, c, d;

    return __get_cpuid(1, &a, &b, &c, &d) && (c & bit_SSE4_1) && __get_cpuid_count(7, 0, &a, &b, &c, &d) &&
           (b & bit_SHA);
}
#else
#define hash_fast hash_plain

static bool is_fast_here(void)
{
    return false;
}
#endif

static void hash_blocks(sg_sha256 *h, const unsigned char *p, size_t blocks)
{
    if (h->fast)
        hash_fast(h->state, p, blocks);
    else
        hash_plain(h->state, p, blocks);
}

void sg_sha256_init(sg_sha256 *h)
{
    *h = (sg_sha256){.state = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c,
                               0x1f83d9ab, 0x5be0cd19},
                     .fast = is_fast_here()};
}

void sg_sha256_add(sg_sha256 *h, const void *data, size_t size)
{
    const unsigned char *p = data;
    const size_t waiting = h->bytes % 64;

    h->bytes += size;
    if (waiting) {
        const size_t take = size < 64 - waiting ? size : 64 - waiting;

        memcpy(h->block + waiting, p, take);
        p += take;
        size -= take;
        if (waiting + take < 64)
            return;
        hash_blocks(h, h->block, 1);
    }
    hash_blocks(h, p, size / 64);
    if (size % 64)
        memcpy(h->block, p + size / 64 * 64, size % 64);
}

void sg_sha256_hex(sg_sha256 *h, char hex[65])
{
    static const char digits[] = "0123456789abcdef";
    const uint64_t bits = h->bytes * 8;
    unsigned char tail[72] = {0x80};
    const size_t waiting = h->bytes % 64;
    const size_t pad = (waiting < 56 ? 56 : 120) - waiting;

    for (int i = 0; i < 8; i++)
        tail[pad + (size_t)i] = (unsigned char)(bits >> (56 - 8 * i));
    sg_sha256_add(h, tail, pad + 8);
    for (int i = 0; i < 64; i++)
        hex[i] = digits[h->state[i / 8] >> (28 - 4 * (i % 8)) & 15];
    hex[64] = 0;
}

/* Read, not mapped: mapped pages would count as this process's memory, all of a large file's. */
sg_status sg_sha256_file(char hex[65], uint64_t *size, const char *path, sg_error *err)
{
    char *room = sg_alloc(READ_BYTES);
    const int fd = room && !sg_io_fault() ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    sg_status st = SG_OK;
    sg_sha256 h;
    ssize_t n = 1;

    if (!room)
        return sg_fail_memory(err, path);
    if (fd < 0)
        st = sg_fail_errno(err, path, "cannot open");
    sg_sha256_init(&h);
    while (!st && n) {
        n = sg_io_fault() ? -1 : read(fd, room, READ_BYTES);
        if (n > 0)
            sg_sha256_add(&h, room, (size_t)n);
        else if (n < 0 && errno != EINTR)
            st = sg_fail_errno(err, path, "cannot read");
    }
    if (fd >= 0)
        close(fd);
    sg_free(room);
    if (size)
        *size = h.bytes;
    sg_sha256_hex(&h, hex);
    return st;
}
