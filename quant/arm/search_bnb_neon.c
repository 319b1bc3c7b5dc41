/* bitsandbytes' encoder and searches with NEON: see search_bnb_lanes.h. */
#include "quant/lanes/search_bnb_lanes.h"

#include "quant/variants.h"

static void bnb4_pairs(const uint8_t *codes, size_t n_bytes, float scale, const float map[16],
		       float *dst)
{
	const struct lanes_table table = lanes_table_load(map);
	size_t i = 0;

	for (; i + 8 <= n_bytes; i += 8)
		bnb_decode16(&table, codes + i, scale, dst + 2 * i);
	qc_bnb4_pairs(codes + i, n_bytes - i, scale, map, dst + 2 * i);
}

const struct qc_bnb4_kernels qc_bnb4_kernels_neon = {
	.isa = QC_ISA_NEON,
	.pairs = bnb4_pairs,
	.encode = bnb4_encode,
	.search = bnb4_search,
	.search_nested = bnb4_search_nested,
};
