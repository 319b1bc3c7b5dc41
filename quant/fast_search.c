/* Which SIMD variants of searches run here. */
#include "quant/fast.h"
#include "quant/bnb.h"
#include "quant/search_fp4.h"
#include "quant/variants.h"

/* Each list ends with a NULL-typed row. */
static const struct qc_search_variant *const lists[] = {
#ifdef __x86_64__
	qc_search_variants_avx2,
	qc_search_variants_avx2_fp4,
	qc_search_variants_avx2_super,
	qc_search_variants_avx512,
	qc_search_variants_avx512_fp4,
	qc_search_variants_avx512_super,
#endif
	NULL,
};

const struct qc_search_variant *qc_search_variant_at(size_t index)
{
	for (const struct qc_search_variant *const *list = lists; *list; list++)
		for (const struct qc_search_variant *v = *list; v->type; v++)
			if (!index--)
				return v;
	return NULL;
}

qc_quantize_fn *qc_fast_search(const struct qc_qtype *type, enum qc_isa isa)
{
	const struct qc_search_variant *best = NULL;

	if (!type->search)
		return qc_fast_quantize(type, isa);
	/* a level's number is above those of the levels that it includes */
	for (const struct qc_search_variant *const *list = lists; *list; list++)
		for (const struct qc_search_variant *v = *list; v->type; v++)
			if (v->type == type && v->isa <= isa && (!best || v->isa > best->isa))
				best = v;
	return best ? best->search : type->search;
}

qc_improve_groups_fn *qc_improve_groups_for(enum qc_isa isa)
{
#ifdef __x86_64__
	if (isa == QC_ISA_AVX512)
		return qc_improve_groups_avx512;
	if (isa == QC_ISA_AVX2)
		return qc_improve_groups_avx2;
#endif
	(void)isa;
	return qc_improve_groups;
}

qc_improve_blocks_fn *qc_improve_blocks_for(enum qc_isa isa)
{
#ifdef __x86_64__
	if (isa == QC_ISA_AVX512)
		return qc_improve_blocks_avx512;
	if (isa == QC_ISA_AVX2)
		return qc_improve_blocks_avx2;
#endif
	(void)isa;
	return qc_improve_blocks;
}

qc_bnb4_encode_fn *qc_bnb4_encode_for(enum qc_isa isa)
{
#ifdef __x86_64__
	if (isa == QC_ISA_AVX512)
		return qc_bnb4_encode_avx512;
	if (isa == QC_ISA_AVX2)
		return qc_bnb4_encode_avx2;
#endif
	(void)isa;
	return qc_bnb4_encode;
}

qc_bnb4_search_fn *qc_bnb4_search_for(enum qc_isa isa)
{
#ifdef __x86_64__
	if (isa == QC_ISA_AVX512)
		return qc_bnb4_search_avx512;
	if (isa == QC_ISA_AVX2)
		return qc_bnb4_search_avx2;
#endif
	(void)isa;
	return qc_bnb4_search;
}

qc_bnb4_search_nested_fn *qc_bnb4_search_nested_for(enum qc_isa isa)
{
#ifdef __x86_64__
	if (isa == QC_ISA_AVX512)
		return qc_bnb4_search_nested_avx512;
	if (isa == QC_ISA_AVX2)
		return qc_bnb4_search_nested_avx2;
#endif
	(void)isa;
	return qc_bnb4_search_nested;
}
