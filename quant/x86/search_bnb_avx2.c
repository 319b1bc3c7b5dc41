/* bitsandbytes' encoder and searches with AVX2: see search_bnb_lanes.h. */
#include "quant/lanes/search_bnb_lanes.h"

#include "quant/variants.h"

const struct qc_bnb4_kernels qc_bnb4_kernels_avx2 = {
	.isa = QC_ISA_AVX2,
	.pairs = qc_bnb4_pairs_avx2,
	.encode = bnb4_encode,
	.search = bnb4_search,
	.search_nested = bnb4_search_nested,
};
