/* Which types have SIMD variants: the same on every ISA, so that none is forgotten on one. */
#include "tests/test.h"

#include "quant/fast.h"
#include "quant/qtype.h"
#include "quant/variants.h"

/* Types that can be written but have no kernel of some kind, and why that is so. */
static const struct exception {
	const char *type;
	bool quantize, dequantize, search; /* there is none */
	const char *why;
} exceptions[] = {
	{"f64", true, true, false, "copied and converted at the speed of memory"},
	{"iq1_s", false, true, false, "decoding looks points up in a table of 2048"},
	{"iq1_m", false, true, false, "decoding looks points up in a table of 2048"},
	{"iq2_xxs", false, true, false, "decoding looks points up in a table of 256"},
	{"iq2_xs", false, true, false, "decoding looks points up in a table of 512"},
	{"iq2_s", false, true, false, "decoding looks points up in a table of 1024"},
	{"iq3_xxs", false, true, false, "decoding looks points up in a table of 256"},
	{"iq3_s", false, true, false, "decoding looks points up in a table of 512"},
	{"tq1_0", true, true, false, "one pass, without a search"},
	{"tq2_0", true, true, false, "one pass, without a search"},
	{"q2_0", true, true, false, "one pass, without a search"},
	{"q1_0", true, true, false, "one pass, without a search"},
};

enum { N_EXCEPTIONS = sizeof(exceptions) / sizeof(*exceptions) };

static const struct exception *exception_of(const struct qc_qtype *type)
{
	static const struct exception none = {.why = "no exception is listed"};

	for (size_t i = 0; i < N_EXCEPTIONS; i++)
		if (!strcmp(exceptions[i].type, type->name))
			return &exceptions[i];
	return &none;
}

static bool has_search_variant(const struct qc_qtype *type, enum qc_isa isa)
{
	const struct qc_search_variant *v;

	for (size_t i = 0; (v = qc_search_variant_at(i)); i++)
		if (v->type == type && v->isa == isa)
			return true;
	return false;
}

static void every_type_has_its_variants(enum qc_isa isa)
{
	for (const struct qc_qtype *const *t = qc_qtypes; *t; t++) {
		const struct exception *e = exception_of(*t);
		const char *name = (*t)->name, *level = qc_isa_name(isa);

		if (!(*t)->quantize)
			continue;
		CHECK((qc_fast_quantize(*t, isa) == (*t)->quantize) == e->quantize,
		      "%s %s: a kernel that quantizes is missing, or listed as missing (%s)", name,
		      level, e->why);
		CHECK((qc_fast_dequantize(*t, isa) == (*t)->dequantize) == e->dequantize,
		      "%s %s: a kernel that dequantizes is missing, or listed as missing (%s)",
		      name, level, e->why);
		CHECK(!(*t)->search || has_search_variant(*t, isa) != e->search,
		      "%s %s: a kernel that searches is missing, or listed as missing (%s)", name,
		      level, e->why);
	}
}

static void every_packing_has_its_variants(enum qc_isa isa)
{
	const struct qc_fp4_kernels *fp4 = qc_fp4_kernels_for(isa);
	const char *level = qc_isa_name(isa);

	NEED(fp4 && fp4->isa == isa, "%s: no kernels for E2M1", level);
	CHECK(fp4->improve_groups && fp4->improve_blocks && fp4->nvfp4_encode && fp4->mxfp4_encode,
	      "%s: a kernel for E2M1 is missing", level);
	CHECK(qc_bnb4_pairs_for(isa) != qc_bnb4_pairs, "%s: no kernel decodes nf4", level);
	CHECK(qc_bnb4_encode_for(isa) != qc_bnb4_encode, "%s: no kernel encodes nf4", level);
	CHECK(qc_bnb4_search_for(isa) != qc_bnb4_search, "%s: no kernel searches nf4", level);
	CHECK(qc_bnb4_search_nested_for(isa) != qc_bnb4_search_nested,
	      "%s: no kernel searches nf4 with double quantization", level);
}

int main(void)
{
#if defined(__x86_64__)
	static const enum qc_isa levels[] = {QC_ISA_AVX2, QC_ISA_AVX512};
#elif defined(__AARCH64EL__)
	static const enum qc_isa levels[] = {QC_ISA_NEON};
#else
	static const enum qc_isa levels[] = {QC_ISA_SCALAR};
#endif

	/* lists are compiled in, whatever this CPU has */
	for (size_t i = 0; i < sizeof(levels) / sizeof(*levels); i++) {
		if (levels[i] == QC_ISA_SCALAR) {
			CHECK(!qc_variant_at(0), "there are variants for no CPU");
			continue;
		}
		every_type_has_its_variants(levels[i]);
		every_packing_has_its_variants(levels[i]);
	}
	return test_end();
}
