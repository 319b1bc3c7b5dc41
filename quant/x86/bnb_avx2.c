/*
 * bitsandbytes 4-bit codes to floats with AVX2: 8 at a time, each half of the 16-entry map in one
 * register. The scalar definition is in quant/bnb_decode.c.
 */
#include "quant/variants.h"

#include <immintrin.h>
#include <string.h>

void qc_bnb4_pairs_avx2(const uint8_t *codes, size_t n_bytes, float scale, const float map[16],
			float *dst)
{
	const __m256 low = _mm256_loadu_ps(map), high = _mm256_loadu_ps(map + 8);
	const __m256 scales = _mm256_set1_ps(scale);
	size_t i = 0;

	for (; i + 4 <= n_bytes; i += 4) {
		__m256i bytes, code;
		__m256 value;
		int word;

		/* a byte in each 64-bit lane; its nibbles then lead the lane's two 32-bit lanes.
		 * A permutation looks at the lowest 3 bits of a lane only. */
		memcpy(&word, codes + i, sizeof(word));
		bytes = _mm256_cvtepu8_epi64(_mm_cvtsi32_si128(word));
		code = _mm256_or_si256(_mm256_srli_epi64(bytes, 4), _mm256_slli_epi64(bytes, 32));
		value = _mm256_blendv_ps(_mm256_permutevar8x32_ps(low, code),
					 _mm256_permutevar8x32_ps(high, code),
					 _mm256_castsi256_ps(_mm256_slli_epi32(code, 28)));
		_mm256_storeu_ps(dst + 2 * i, _mm256_mul_ps(value, scales));
	}
	qc_bnb4_pairs(codes + i, n_bytes - i, scale, map, dst + 2 * i);
}
