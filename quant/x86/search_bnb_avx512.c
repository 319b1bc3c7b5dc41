/* bitsandbytes' encoder and searches with AVX-512: see search_bnb_lanes.h. */
#include "quant/x86/search_bnb_lanes.h"

void qc_bnb4_encode_avx512(const struct qc_bnb4_kind *kind, const float *x, size_t n,
			   size_t block_elems, uint8_t *packed, float *absmax)
{
	bnb4_encode(kind, x, n, block_elems, packed, absmax);
}

void qc_bnb4_search_avx512(const struct qc_bnb4_kind *kind, const float *x, size_t n,
			   size_t block_elems, const float *weight, uint8_t *packed, float *absmax)
{
	bnb4_search(kind, x, n, block_elems, weight, packed, absmax);
}

void qc_bnb4_search_nested_avx512(const struct qc_bnb4_kind *kind, const float *x, size_t n,
				  size_t block_elems, const float *weight, float offset,
				  const float *nested_absmax, uint8_t *packed, uint8_t *codes)
{
	bnb4_search_nested(kind, x, n, block_elems, weight, offset, nested_absmax, packed, codes);
}
