/* SPDX-License-Identifier: Apache-2.0 */

#include "eif/crc32.h"

#include <zlib.h>

static uint32_t portable(uint32_t crc, const uint8_t *p, size_t n) {
        return (uint32_t)crc32_z(crc, p, n);
}

#ifdef __x86_64__

#include <immintrin.h>

#define FOLDED __attribute__((target("pclmul,sse4.1")))

/* state * x^distance + next, where the two halves of k are x^(distance+32) and x^(distance-32) mod P, both
 * bit-reflected. */
FOLDED static inline __m128i fold(__m128i state, __m128i next, __m128i k) {
        return _mm_xor_si128(next, _mm_xor_si128(_mm_clmulepi64_si128(state, k, 0x00),
                                                 _mm_clmulepi64_si128(state, k, 0x11)));
}

FOLDED static inline __m128i load(const uint8_t *p) {
        return _mm_loadu_si128((const __m128i *)p);
}

/* n is at least 64. Four lanes hide the multiplier's latency; the lanes are then folded into one, whose 16
 * bytes have the same remainder as all that came before. */
FOLDED static uint32_t by_folding(uint32_t crc, const uint8_t *p, size_t n) {
        const __m128i by64 = _mm_set_epi64x(0x01c6e41596, 0x0154442bd4);
        const __m128i by16 = _mm_set_epi64x(0x00ccaa009e, 0x01751997d0);
        __m128i lane[4];
        uint8_t rest[16];

        for (size_t i = 0; i < 4; i++)
                lane[i] = load(p + 16 * i);
        lane[0] = _mm_xor_si128(lane[0], _mm_cvtsi32_si128((int)~crc));
        for (p += 64, n -= 64; n >= 64; p += 64, n -= 64)
                for (size_t i = 0; i < 4; i++)
                        lane[i] = fold(lane[i], load(p + 16 * i), by64);
        for (size_t i = 1; i < 4; i++)
                lane[0] = fold(lane[0], lane[i], by16);
        for (; n >= 16; p += 16, n -= 16)
                lane[0] = fold(lane[0], load(p), by16);

        /* zlib's register is inverted at both ends: starting it at ~0 makes it a plain remainder. */
        _mm_storeu_si128((__m128i *)rest, lane[0]);
        crc = portable(0xffffffff, rest, sizeof(rest));
        return portable(crc, p, n);
}

uint32_t eif_crc32(uint32_t crc, const void *data, size_t n) {
        if (n >= 64 && __builtin_cpu_supports("pclmul") && __builtin_cpu_supports("sse4.1"))
                return by_folding(crc, data, n);
        return portable(crc, data, n);
}

#else

uint32_t eif_crc32(uint32_t crc, const void *data, size_t n) {
        return portable(crc, data, n);
}

#endif

uint32_t eif_crc32_combine(uint32_t crc_a, uint32_t crc_b, uint64_t size_b) {
        return (uint32_t)crc32_combine64(crc_a, crc_b, (z_off64_t)size_b);
}
