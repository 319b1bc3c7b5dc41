/* Integer weights for tests: codes, scales and zero points that a formula gives. */
#ifndef QC_TESTS_INT_WEIGHTS_H
#define QC_TESTS_INT_WEIGHTS_H

#include "tests/encoding_parts.h"

enum { OUT = 48, MAX_IN = 320 };

/* A weight of 48 rows by its definition: codes, zero points and scales one by one. */
struct ints {
	unsigned bits;
	size_t in, group, n_groups;
	uint8_t code[OUT][MAX_IN];
	int zero[OUT][MAX_IN];		 /* by group */
	uint8_t scale[OUT * MAX_IN * 4]; /* f16, bf16 or f32, [out][n_groups] */
	const char *scale_type;
	uint32_t order[MAX_IN]; /* the group of each input */
};

static inline size_t width_of(const char *type)
{
	return !strcmp(type, "F32") ? 4 : 2;
}

static inline float scale_of(const struct ints *w, size_t row, size_t g)
{
	const uint8_t *at = w->scale + (row * w->n_groups + g) * width_of(w->scale_type);

	return !strcmp(w->scale_type, "F32")	? qc_bits_f32(qc_le32(at))
	       : !strcmp(w->scale_type, "BF16") ? qc_bf16_to_f32(qc_le16(at))
						: qc_f16_to_f32(qc_le16(at));
}

static inline struct ints *make(unsigned bits, size_t in, size_t group, bool symmetric,
				const char *scale_type)
{
	struct ints *w = calloc(1, sizeof(*w));

	NEED(w, "no memory");
	*w = (struct ints){.bits = bits, .in = in, .group = group, .scale_type = scale_type};
	w->n_groups = (in + group - 1) / group;
	for (size_t c = 0; c < in; c++)
		w->order[c] = (uint32_t)(c / group);
	for (size_t r = 0; r < OUT; r++) {
		for (size_t c = 0; c < in; c++)
			w->code[r][c] = (uint8_t)(enc_random() % (1u << bits));
		for (size_t g = 0; g < w->n_groups; g++) {
			uint8_t *at = w->scale + (r * w->n_groups + g) * width_of(scale_type);
			float s = (float)(1 + enc_random() % 2000) * 0x1p-17f;

			w->zero[r][g] =
				symmetric ? 1 << (bits - 1) : (int)(enc_random() % (1u << bits));
			if (!strcmp(scale_type, "F32"))
				qc_put_le32(at, qc_f32_bits(s + 0x1p-26f)); /* no f16 number */
			else if (!strcmp(scale_type, "BF16"))
				qc_put_le16(at, qc_f32_to_bf16(s)); /* all are f16 numbers */
			else
				qc_put_le16(at, qc_f32_to_f16(s));
		}
	}
	return w;
}

static inline float *values_of(const struct ints *w)
{
	float *want = malloc(OUT * w->in * sizeof(*want));

	NEED(want, "no memory");
	for (size_t r = 0; r < OUT; r++)
		for (size_t c = 0; c < w->in; c++)
			want[r * w->in + c] = scale_of(w, r, w->order[c]) *
					      (float)(w->code[r][c] - w->zero[r][w->order[c]]);
	return want;
}

/* Put `bits` bits at bit `at` of zeroed bytes. */
static inline void put(uint8_t *bytes, size_t at, unsigned bits, unsigned code)
{
	NEED(code < 1u << bits, "%u in %u bits", code, bits);
	bytes[at / 8] = (uint8_t)(bytes[at / 8] | code << at % 8);
}

/* The scales as [n_groups, out]. */
static inline uint8_t *scales_by_group(const struct ints *w)
{
	const size_t width = width_of(w->scale_type);
	uint8_t *out = malloc(OUT * w->n_groups * width);

	NEED(out, "no memory");
	for (size_t r = 0; r < OUT; r++)
		for (size_t g = 0; g < w->n_groups; g++)
			memcpy(out + (g * OUT + r) * width,
			       w->scale + (r * w->n_groups + g) * width, width);
	return out;
}

/* What a test asks of the parts that it has made. */
struct check {
	const char *type, *text; /* of the tensor; in its encoding */
	bool spoil;		 /* try spoiled parts too */
};

static inline void check_parts(const struct ints *w, const struct enc_part *parts, size_t n,
			       const struct check *check)
{
	const uint64_t dims[2] = {w->in, OUT};
	float *want = values_of(w);
	struct qc_model model;

	enc_check(parts, n, enc_name(".weight"), dims, 2, check->type, want, check->text);
	if (st_opens(&model, enc_save(parts, n))) {
		const char *text = st_tensor(&model, enc_name(".weight"))->encoding;

		CHECK(strstr(text, check->text), "no '%s' in '%s'", check->text, text);
		qc_model_close(&model);
	}
	if (check->spoil)
		enc_refuses_spoiled_parts(parts, n, check->text);
	free(want);
}

/*
 * GPTQ
 */
struct gptq {
	uint8_t *qweight, *qzeros, *scales, *g_idx;
	char shapes[4][32];
	struct enc_part parts[4];
};

/* `minus`: what the format takes off a zero point. */
static inline void gptq_pack(struct gptq *g, const struct ints *w, int minus)
{
	const size_t per_word = 32 / w->bits, words = w->in / per_word,
		     scale = width_of(w->scale_type);
	const unsigned mask = (1u << w->bits) - 1;

	g->qweight = calloc(words * OUT, 4);
	g->qzeros = calloc(w->n_groups * OUT / per_word, 4);
	g->scales = scales_by_group(w);
	g->g_idx = calloc(w->in, 4);
	NEED(g->qweight && g->qzeros && g->g_idx, "no memory");
	for (size_t r = 0; r < OUT; r++)
		for (size_t c = 0; c < w->in; c++)
			put(g->qweight, ((c / per_word * OUT + r) * 32) + c % per_word * w->bits,
			    w->bits, w->code[r][c]);
	for (size_t r = 0; r < OUT; r++)
		for (size_t k = 0; k < w->n_groups; k++)
			put(g->qzeros, (k * OUT + r) * w->bits, w->bits,
			    (unsigned)(w->zero[r][k] - minus) & mask);
	for (size_t c = 0; c < w->in; c++)
		qc_put_le32(g->g_idx + 4 * c, w->order[c]);
	snprintf(g->shapes[0], 32, "[%zu,%d]", words, OUT);
	snprintf(g->shapes[1], 32, "[%zu,%zu]", w->n_groups, OUT / per_word);
	snprintf(g->shapes[2], 32, "[%zu,%d]", w->n_groups, OUT);
	snprintf(g->shapes[3], 32, "[%zu]", w->in);
	g->parts[0] = (struct enc_part){".qweight", "I32",	     g->shapes[0],
					g->qweight, words * OUT * 4, false};
	g->parts[1] = (struct enc_part){
		".qzeros", "I32", g->shapes[1], g->qzeros, w->n_groups * OUT / per_word * 4, false};
	g->parts[2] = (struct enc_part){
		".scales", w->scale_type, g->shapes[2], g->scales, w->n_groups * OUT * scale,
		false};
	g->parts[3] = (struct enc_part){".g_idx", "I32", g->shapes[3], g->g_idx, w->in * 4, true};
}

static inline void gptq_free(struct gptq *g)
{
	free(g->qweight);
	free(g->qzeros);
	free(g->scales);
	free(g->g_idx);
}

#endif
