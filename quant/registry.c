/* The list of types: a new type is its file, its line in types.h and its place here. */
#include "quant/qtype.h"

#include "base/checked.h"
#include "quant/types.h"

const struct qc_qtype *const qc_qtypes[] = {
	/* plain floats */
	&qc_f32,
	&qc_f16,
	&qc_bf16,
	&qc_f64,
	/* groups of 32 */
	&qc_q8_0,
	&qc_q5_1,
	&qc_q5_0,
	&qc_q4_1,
	&qc_q4_0,
	/* K-quants */
	&qc_q6_K,
	&qc_q5_K,
	&qc_q4_K,
	&qc_q3_K,
	&qc_q2_K,
	/* non-linear levels and grids */
	&qc_iq4_nl,
	&qc_iq4_xs,
	&qc_iq3_s,
	&qc_iq3_xxs,
	&qc_iq2_s,
	&qc_iq2_xs,
	&qc_iq2_xxs,
	&qc_iq1_m,
	&qc_iq1_s,
	/* one, two and three levels */
	&qc_q2_0,
	&qc_tq2_0,
	&qc_tq1_0,
	&qc_q1_0,
	/* integers */
	&qc_i8,
	&qc_i16,
	&qc_i32,
	&qc_i64,
	&qc_u8,
	&qc_u16,
	&qc_u32,
	&qc_u64,
	&qc_bool,
	/* small floats */
	&qc_f8_e4m3,
	&qc_f8_e5m2,
	&qc_f8_e8m0,
	&qc_f8_e4m3fnuz,
	&qc_f8_e5m2fnuz,
	&qc_f4,
	/* held and copied only */
	&qc_c64,
	&qc_f6_e2m3,
	&qc_f6_e3m2,
	&qc_q8_1,
	&qc_q8_K,
	&qc_mxfp4,
	&qc_nvfp4,
	NULL,
};

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static bool same_name(const char *a, const char *b)
{
	while (*a && lower(*a) == lower(*b))
		a++, b++;
	return lower(*a) == lower(*b);
}

const struct qc_qtype *qc_qtype_find(const char *name)
{
	for (const struct qc_qtype *const *type = qc_qtypes; *type; type++)
		if (same_name((*type)->name, name))
			return *type;
	return NULL;
}

bool qc_qtype_bytes(const struct qc_qtype *type, uint64_t elems, uint64_t *bytes)
{
	return elems % type->block_elems == 0 &&
	       qc_mul(elems / type->block_elems, type->block_bytes, bytes);
}

static void swap_word(uint8_t *word, unsigned bytes)
{
	for (unsigned i = 0; i < bytes / 2; i++) {
		uint8_t byte = word[i];

		word[i] = word[bytes - 1 - i];
		word[bytes - 1 - i] = byte;
	}
}

void qc_qtype_swap(const struct qc_qtype *type, void *blocks, size_t n_blocks)
{
	const size_t max_runs = sizeof(type->words) / sizeof(type->words[0]);

	for (size_t run = 0; run < max_runs && type->words[run].bytes; run++) {
		struct qc_words words = type->words[run];
		uint8_t *first = (uint8_t *)blocks + words.offset;

		for (size_t i = 0; i < n_blocks; i++, first += type->block_bytes)
			for (size_t k = 0; k < words.count; k++)
				swap_word(first + k * words.bytes, words.bytes);
	}
}
