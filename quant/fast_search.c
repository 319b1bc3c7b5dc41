/* Which SIMD variants of searches, and of the 4-bit packings, run here. */
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
#ifdef __AARCH64EL__ /* 64-bit ARM, little-endian */
	qc_search_variants_neon,
	qc_search_variants_neon_fp4,
	qc_search_variants_neon_super,
#endif
	NULL,
};

static const struct qc_fp4_kernels *const fp4_kernels[] = {
#ifdef __x86_64__
	&qc_fp4_kernels_avx2,
	&qc_fp4_kernels_avx512,
#endif
#ifdef __AARCH64EL__
	&qc_fp4_kernels_neon,
#endif
	NULL,
};

static const struct qc_bnb4_kernels *const bnb4_kernels[] = {
#ifdef __x86_64__
	&qc_bnb4_kernels_avx2,
	&qc_bnb4_kernels_avx512,
#endif
#ifdef __AARCH64EL__
	&qc_bnb4_kernels_neon,
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

const struct qc_fp4_kernels *qc_fp4_kernels_for(enum qc_isa isa)
{
	const struct qc_fp4_kernels *best = NULL;

	for (const struct qc_fp4_kernels *const *k = fp4_kernels; *k; k++)
		if ((*k)->isa <= isa && (!best || (*k)->isa > best->isa))
			best = *k;
	return best;
}

/* NULL: the definitions. */
static const struct qc_bnb4_kernels *bnb4_kernels_for(enum qc_isa isa)
{
	const struct qc_bnb4_kernels *best = NULL;

	for (const struct qc_bnb4_kernels *const *k = bnb4_kernels; *k; k++)
		if ((*k)->isa <= isa && (!best || (*k)->isa > best->isa))
			best = *k;
	return best;
}

qc_improve_groups_fn *qc_improve_groups_for(enum qc_isa isa)
{
	const struct qc_fp4_kernels *fast = qc_fp4_kernels_for(isa);

	return fast ? fast->improve_groups : qc_improve_groups;
}

qc_improve_blocks_fn *qc_improve_blocks_for(enum qc_isa isa)
{
	const struct qc_fp4_kernels *fast = qc_fp4_kernels_for(isa);

	return fast ? fast->improve_blocks : qc_improve_blocks;
}

qc_bnb4_pairs_fn *qc_bnb4_pairs_for(enum qc_isa isa)
{
	const struct qc_bnb4_kernels *fast = bnb4_kernels_for(isa);

	return fast ? fast->pairs : qc_bnb4_pairs;
}

qc_bnb4_encode_fn *qc_bnb4_encode_for(enum qc_isa isa)
{
	const struct qc_bnb4_kernels *fast = bnb4_kernels_for(isa);

	return fast ? fast->encode : qc_bnb4_encode;
}

qc_bnb4_search_fn *qc_bnb4_search_for(enum qc_isa isa)
{
	const struct qc_bnb4_kernels *fast = bnb4_kernels_for(isa);

	return fast ? fast->search : qc_bnb4_search;
}

qc_bnb4_search_nested_fn *qc_bnb4_search_nested_for(enum qc_isa isa)
{
	const struct qc_bnb4_kernels *fast = bnb4_kernels_for(isa);

	return fast ? fast->search_nested : qc_bnb4_search_nested;
}
