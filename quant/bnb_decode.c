/*
 * bitsandbytes' three encodings, decoded.
 *
 * 4-bit (nf4, fp4): codes of a whole matrix, row after row; blocks of 32 to 4096 elements run
 * across the ends of rows.
 *
 *   byte      0        1        2
 *           [e0 e1]  [e2 e3]  [e4 e5] ...        the high nibble is the earlier element
 *   absmax  |<------- block 0 ------->|<- 1 ...
 *
 *   w = map[code] * absmax                                   map: 16 floats, stored with the weight
 *
 * Double quantization of absmax (8-bit codes of a 256-entry map, groups of 256 blocks):
 *
 *   absmax = map8[code] * nested_absmax + offset             offset: the mean of all absmax
 *
 * LLM.int8: w = q * SCB[row] / 127, the division being a product with the rounded 1/127.
 */
#include "quant/bnb_decode.h"

void qc_bnb4_pairs(const uint8_t *codes, size_t n_bytes, float scale, const float map[16],
		   float *dst)
{
	for (size_t i = 0; i < n_bytes; i++) {
		dst[2 * i] = map[codes[i] >> 4] * scale;
		dst[2 * i + 1] = map[codes[i] & 15] * scale;
	}
}

/* Elements of one block: `odd` when the first is the low nibble of its byte. */
static void decode_in_block(const uint8_t *codes, bool odd, size_t n, float scale,
			    const float map[16], qc_bnb4_pairs_fn *pairs, float *dst)
{
	if (odd && n) {
		*dst++ = map[*codes++ & 15] * scale;
		n--;
	}
	pairs(codes, n / 2, scale, map, dst);
	if (n % 2)
		dst[n - 1] = map[codes[n / 2] >> 4] * scale;
}

void qc_bnb4_decode(const uint8_t *codes, const float *absmax, uint64_t first, size_t n,
		    uint32_t block_elems, const float map[16], qc_bnb4_pairs_fn *pairs, float *dst)
{
	size_t in_block = (size_t)(first % block_elems);
	bool odd = first % 2;

	while (n) {
		size_t left = block_elems - in_block, take = n < left ? n : left;

		decode_in_block(codes, odd, take, *absmax++, map, pairs, dst);
		codes += (take + odd) / 2;
		dst += take;
		n -= take;
		in_block = 0;
		odd = false; /* blocks begin with a byte */
	}
}

void qc_bnb_decode_absmax(const uint8_t *codes, const float *nested_absmax, uint64_t first,
			  size_t n, uint32_t group, const float map[256], float offset, float *dst)
{
	uint64_t first_group = first / group;

	for (size_t i = 0; i < n; i++) {
		float scaled = map[codes[i]] * nested_absmax[(first + i) / group - first_group];

		dst[i] = scaled + offset;
	}
}

void qc_bnb8_decode(const uint8_t *q, size_t n, float row_absmax, float *dst)
{
	const float reciprocal = 7.874015718698502e-3f; /* the reference's literal, 1/127 */

	for (size_t i = 0; i < n; i++) {
		float product = (float)(q[i] < 128 ? (int)q[i] : (int)q[i] - 256) * row_absmax;

		dst[i] = product * reciprocal;
	}
}
