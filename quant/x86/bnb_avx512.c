/*
 * bitsandbytes 4-bit codes to floats with AVX-512: 16 at a time, the whole map in one register. The
 * scalar definition is in quant/bnb_decode.c.
 */
#include "quant/variants.h"

#include <immintrin.h>

void qc_bnb4_pairs_avx512(const uint8_t *codes, size_t n_bytes, float scale, const float map[16],
			  float *dst)
{
	const __m512 table = _mm512_loadu_ps(map), scales = _mm512_set1_ps(scale);
	size_t i = 0;

	for (; i + 8 <= n_bytes; i += 8) {
		/* a byte in each 64-bit lane; its nibbles then lead the lane's two 32-bit lanes.
		 * A permutation looks at the lowest 4 bits of a lane only. */
		__m512i bytes = _mm512_cvtepu8_epi64(
			_mm_loadl_epi64((const __m128i *)(const void *)(codes + i)));
		__m512i code =
			_mm512_or_si512(_mm512_srli_epi64(bytes, 4), _mm512_slli_epi64(bytes, 32));

		_mm512_storeu_ps(dst + 2 * i,
				 _mm512_mul_ps(_mm512_permutexvar_ps(code, table), scales));
	}
	qc_bnb4_pairs(codes + i, n_bytes - i, scale, map, dst + 2 * i);
}
