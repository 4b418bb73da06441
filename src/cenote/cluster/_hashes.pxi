# The hashes of `hashes.py` in C, over the bytes of a key where they lie.

cdef extern from *:
    """
    #include <stdint.h>
    #include <string.h>

    static inline uint32_t cenote_le32(const uint8_t *p) {
        return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
    }

    static inline uint64_t cenote_le64(const uint8_t *p) {
        return (uint64_t)cenote_le32(p) | (uint64_t)cenote_le32(p + 4) << 32;
    }

    static inline uint64_t cenote_be64(const uint8_t *p) {
        uint64_t number = 0;
        for (int i = 0; i < 8; i++) number = number << 8 | p[i];
        return number;
    }

    #define CENOTE_ROTL32(x, r) ((x) << (r) | (x) >> (32 - (r)))
    #define CENOTE_ROTL64(x, r) ((x) << (r) | (x) >> (64 - (r)))

    /* Bob Jenkins's one-at-a-time hash; libmemcached's bytes are signed, as chars are on x86. */
    static inline uint32_t cenote_one_at_a_time(const uint8_t *key, size_t size) {
        uint32_t value = 0;
        for (size_t i = 0; i < size; i++) {
            value += (uint32_t)(int32_t)(int8_t)key[i];
            value += value << 10;
            value ^= value >> 6;
        }
        value += value << 3;
        value ^= value >> 11;
        return value + (value << 15);
    }

    static uint32_t cenote_crc_table[256];

    static void cenote_make_crc_table(void) {
        for (uint32_t n = 0; n < 256; n++) {
            uint32_t c = n;
            for (int bit = 0; bit < 8; bit++) c = c & 1 ? 0xEDB88320u ^ c >> 1 : c >> 1;
            cenote_crc_table[n] = c;
        }
    }

    static inline uint32_t cenote_crc32(const uint8_t *key, size_t size) {
        uint32_t c = 0xFFFFFFFFu;
        for (size_t i = 0; i < size; i++) c = cenote_crc_table[(c ^ key[i]) & 0xFF] ^ c >> 8;
        return ~c;
    }

    /* MD5, RFC 1321. */
    static const uint32_t cenote_md5_sines[64] = {
        0xd76aa478, 0xe8c7b756, 0x242070db, 0xc1bdceee, 0xf57c0faf, 0x4787c62a, 0xa8304613,
        0xfd469501, 0x698098d8, 0x8b44f7af, 0xffff5bb1, 0x895cd7be, 0x6b901122, 0xfd987193,
        0xa679438e, 0x49b40821, 0xf61e2562, 0xc040b340, 0x265e5a51, 0xe9b6c7aa, 0xd62f105d,
        0x02441453, 0xd8a1e681, 0xe7d3fbc8, 0x21e1cde6, 0xc33707d6, 0xf4d50d87, 0x455a14ed,
        0xa9e3e905, 0xfcefa3f8, 0x676f02d9, 0x8d2a4c8a, 0xfffa3942, 0x8771f681, 0x6d9d6122,
        0xfde5380c, 0xa4beea44, 0x4bdecfa9, 0xf6bb4b60, 0xbebfbc70, 0x289b7ec6, 0xeaa127fa,
        0xd4ef3085, 0x04881d05, 0xd9d4d039, 0xe6db99e5, 0x1fa27cf8, 0xc4ac5665, 0xf4292244,
        0x432aff97, 0xab9423a7, 0xfc93a039, 0x655b59c3, 0x8f0ccc92, 0xffeff47d, 0x85845dd1,
        0x6fa87e4f, 0xfe2ce6e0, 0xa3014314, 0x4e0811a1, 0xf7537e82, 0xbd3af235, 0x2ad7d2bb,
        0xeb86d391};

    #define CENOTE_MD5_STEP(f, a, b, c, d, word, i, turn) \\
        a += (f) + cenote_md5_sines[i] + m[word]; \\
        a = b + CENOTE_ROTL32(a, turn);
    #define CENOTE_MD5_ROUND(f, from, step, first, r1, r2, r3, r4) \\
        for (int i = first; i < first + 16; i += 4) { \\
            CENOTE_MD5_STEP(f(b, c, d), a, b, c, d, (from + step * i) & 15, i, r1) \\
            CENOTE_MD5_STEP(f(a, b, c), d, a, b, c, (from + step * (i + 1)) & 15, i + 1, r2) \\
            CENOTE_MD5_STEP(f(d, a, b), c, d, a, b, (from + step * (i + 2)) & 15, i + 2, r3) \\
            CENOTE_MD5_STEP(f(c, d, a), b, c, d, a, (from + step * (i + 3)) & 15, i + 3, r4) \\
        }
    #define CENOTE_MD5_F(x, y, z) ((z) ^ ((x) & ((y) ^ (z))))
    #define CENOTE_MD5_G(x, y, z) ((y) ^ ((z) & ((x) ^ (y))))
    #define CENOTE_MD5_H(x, y, z) ((x) ^ (y) ^ (z))
    #define CENOTE_MD5_I(x, y, z) ((y) ^ ((x) | ~(z)))

    static void cenote_md5_block(uint32_t *state, const uint8_t *block) {
        uint32_t m[16], a = state[0], b = state[1], c = state[2], d = state[3];
        for (int i = 0; i < 16; i++) m[i] = cenote_le32(block + 4 * i);
        CENOTE_MD5_ROUND(CENOTE_MD5_F, 0, 1, 0, 7, 12, 17, 22)
        CENOTE_MD5_ROUND(CENOTE_MD5_G, 1, 5, 16, 5, 9, 14, 20)
        CENOTE_MD5_ROUND(CENOTE_MD5_H, 5, 3, 32, 4, 11, 16, 23)
        CENOTE_MD5_ROUND(CENOTE_MD5_I, 0, 7, 48, 6, 10, 15, 21)
        state[0] += a; state[1] += b; state[2] += c; state[3] += d;
    }

    static void cenote_md5(const uint8_t *key, size_t size, uint8_t *digest) {
        uint32_t state[4] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476};
        uint8_t last[128] = {0};
        size_t whole = size & ~(size_t)63, rest = size - whole, padded = rest < 56 ? 64 : 128;
        for (size_t at = 0; at < whole; at += 64) cenote_md5_block(state, key + at);
        memcpy(last, key + whole, rest);
        last[rest] = 0x80;
        for (int i = 0; i < 8; i++) last[padded - 8 + i] = (uint8_t)((uint64_t)size << 3 >> 8 * i);
        cenote_md5_block(state, last);
        if (padded == 128) cenote_md5_block(state, last + 64);
        for (int i = 0; i < 16; i++) digest[i] = (uint8_t)(state[i >> 2] >> 8 * (i & 3));
    }

    /* MurmurHash3, by Austin Appleby. */
    static inline uint64_t cenote_fmix64(uint64_t k) {
        k = (k ^ k >> 33) * 0xFF51AFD7ED558CCDull;
        k = (k ^ k >> 33) * 0xC4CEB9FE1A85EC53ull;
        return k ^ k >> 33;
    }

    #define CENOTE_C1 0x87C37B91114253D5ull
    #define CENOTE_C2 0x4CF5AD432745937Full
    #define CENOTE_FIRST(k) (CENOTE_ROTL64((k) * CENOTE_C1, 31) * CENOTE_C2)
    #define CENOTE_SECOND(k) (CENOTE_ROTL64((k) * CENOTE_C2, 33) * CENOTE_C1)

    typedef struct { uint64_t h1, h2; } cenote_murmur;

    /* Take whole blocks of 16 bytes; how many bytes that were. */
    static inline size_t cenote_murmur_blocks(cenote_murmur *m, const uint8_t *data, size_t size) {
        size_t at = 0;
        uint64_t k;
        for (; at + 16 <= size; at += 16) {
            k = cenote_le64(data + at);
            m->h1 ^= CENOTE_FIRST(k);
            m->h1 = (CENOTE_ROTL64(m->h1, 27) + m->h2) * 5 + 0x52DCE729;
            k = cenote_le64(data + at + 8);
            m->h2 ^= CENOTE_SECOND(k);
            m->h2 = (CENOTE_ROTL64(m->h2, 31) + m->h1) * 5 + 0x38495AB5;
        }
        return at;
    }

    /* End with fewer than 16 bytes, zeros behind them; the first 64 bits of the hash of all. */
    static inline uint64_t cenote_murmur_end(cenote_murmur m, const uint8_t *last, uint64_t size) {
        uint64_t k = cenote_le64(last + 8);
        m.h2 ^= CENOTE_SECOND(k);
        k = cenote_le64(last);
        m.h1 ^= CENOTE_FIRST(k);
        m.h1 ^= size;
        m.h2 ^= size;
        m.h1 += m.h2;
        m.h2 += m.h1;
        return cenote_fmix64(m.h1) + cenote_fmix64(m.h2);
    }

    static inline uint64_t cenote_murmur64(const uint8_t *data, size_t size) {
        cenote_murmur m = {0, 0};
        size_t taken = cenote_murmur_blocks(&m, data, size);
        uint8_t last[16] = {0};
        memcpy(last, data + taken, size - taken);
        return cenote_murmur_end(m, last, size);
    }

    static inline uint32_t cenote_scrambled(uint32_t k) {
        k *= 0xCC9E2D51u;
        return CENOTE_ROTL32(k, 15) * 0x1B873593u;
    }

    static inline uint32_t cenote_murmur32_word(uint32_t h, uint32_t k) {
        h ^= cenote_scrambled(k);
        return CENOTE_ROTL32(h, 13) * 5 + 0xE6546B64u;
    }

    /* MurmurHash3_x86_32 of a start, of which `carry` is the last `carried` bytes and `h` the state
       before those, and of a key. */
    static inline uint32_t cenote_murmur32_on(
        uint32_t h, uint64_t carry, uint32_t carried, const uint8_t *key, size_t size, uint32_t total
    ) {
        uint32_t bits = 8 * carried;
        for (; size >= 4; key += 4, size -= 4) {
            carry |= (uint64_t)cenote_le32(key) << bits;
            h = cenote_murmur32_word(h, (uint32_t)carry);
            carry >>= 32;
        }
        for (; size; key++, size--, bits += 8) carry |= (uint64_t)*key << bits;
        if (bits >= 32) {
            h = cenote_murmur32_word(h, (uint32_t)carry);
            carry >>= 32;
        }
        h ^= cenote_scrambled((uint32_t)carry);
        h ^= total;
        h = (h ^ h >> 16) * 0x85EBCA6Bu;
        h = (h ^ h >> 13) * 0xC2B2AE35u;
        return h ^ h >> 16;
    }

    /* What emcache makes of a hash: see the twin. */
    static inline uint32_t cenote_emcache_score(uint64_t hash) {
        uint32_t low = (uint32_t)hash;
        return (uint32_t)(int32_t)(int8_t)low
            | (low >> 15 & 1 ? 0xFFFFFF00u : 0)
            | (low >> 23 & 1 ? 0xFFFF0000u : 0)
            | (low >> 31 & 1 ? 0xFF000000u : 0);
    }
    """
    ctypedef struct cenote_murmur:
        uint64_t h1
        uint64_t h2
    uint64_t be64 "cenote_be64"(const uint8_t *)
    uint32_t hash_one_at_a_time "cenote_one_at_a_time"(const uint8_t *, size_t)
    void make_crc_table "cenote_make_crc_table"()
    uint32_t hash_crc32 "cenote_crc32"(const uint8_t *, size_t)
    uint32_t le32 "cenote_le32"(const uint8_t *)
    void hash_md5 "cenote_md5"(const uint8_t *, size_t, uint8_t *)
    uint64_t fmix64 "cenote_fmix64"(uint64_t)
    uint64_t hash_murmur64 "cenote_murmur64"(const uint8_t *, size_t)
    size_t murmur_blocks "cenote_murmur_blocks"(cenote_murmur *, const uint8_t *, size_t)
    uint64_t murmur_end "cenote_murmur_end"(cenote_murmur, const uint8_t *, uint64_t)
    uint32_t murmur32_word "cenote_murmur32_word"(uint32_t, uint32_t)
    uint32_t murmur32_on "cenote_murmur32_on"(
        uint32_t, uint64_t, uint32_t, const uint8_t *, size_t, uint32_t
    )
    uint32_t score_of "cenote_emcache_score"(uint64_t)
