/* AWQ and compressed-tensors integer weights decode by their formulas. */
#include "tests/encoding_parts.h"
#include "tests/int_weights.h"

#define COUNT(list) (sizeof(list) / sizeof((list)[0]))

/*
 * AWQ
 */
static void check_awq(struct ints *w, const struct check *check)
{
	static const int order[8] = {0, 2, 4, 6, 1, 3, 5, 7};
	uint8_t *qweight = calloc(w->in * OUT / 8, 4), *scales = scales_by_group(w);
	uint8_t *qzeros = calloc(w->n_groups * OUT / 8, 4);
	char shapes[3][32];
	const struct enc_part parts[] = {
		{".qweight", "I32", shapes[0], qweight, w->in * OUT / 2, false},
		{".qzeros", "I32", shapes[1], qzeros, w->n_groups * OUT / 2, false},
		{".scales", "F16", shapes[2], scales, w->n_groups * OUT * 2, false}};

	NEED(qweight && qzeros, "no memory");
	snprintf(shapes[0], 32, "[%zu,%d]", w->in, OUT / 8);
	snprintf(shapes[1], 32, "[%zu,%d]", w->n_groups, OUT / 8);
	snprintf(shapes[2], 32, "[%zu,%d]", w->n_groups, OUT);
	for (size_t word = 0; word < OUT / 8; word++)
		for (size_t i = 0; i < 8; i++) {
			const size_t r = word * 8 + (size_t)order[i];

			for (size_t c = 0; c < w->in; c++)
				put(qweight, (c * OUT / 8 + word) * 32 + i * 4, 4, w->code[r][c]);
			for (size_t g = 0; g < w->n_groups; g++)
				put(qzeros, (g * OUT / 8 + word) * 32 + i * 4, 4,
				    (unsigned)w->zero[r][g]);
		}
	check_parts(w, parts, 3, check);
	free(qweight);
	free(qzeros);
	free(scales);
	free(w);
}

static void awq_decodes_by_its_formula(void)
{
	static const struct check asymmetric = {"f16", "awq int4, 4 groups a row", true};
	static const struct check q4 = {"q4_0", "awq int4", false};

	check_awq(make(4, 256, 64, false, "F16"), &asymmetric);
	check_awq(make(4, 256, 32, true, "F16"), &q4);
	check_awq(make(4, 256, 128, true, "F16"), &q4);
}

/*
 * compressed-tensors
 */
enum { ZEROS = 1, ORDER = 2, NO_ORDER = 4 };

static void check_packed(struct ints *w, int with, const struct check *check)
{
	const size_t per_word = 32 / w->bits, words = (w->in + per_word - 1) / per_word;
	const size_t zero_words = (OUT + per_word - 1) / per_word, n_groups = w->n_groups;
	uint8_t *codes = calloc(words * OUT, 4), *zeros = calloc(zero_words * n_groups, 4);
	uint8_t shape[16], g_idx[MAX_IN * 4];
	char shapes[4][32];
	struct enc_part parts[5] = {
		{".weight_packed", "I32", shapes[0], codes, words * OUT * 4, false},
		{".weight_scale", w->scale_type, shapes[1], w->scale,
		 OUT * n_groups * width_of(w->scale_type), false},
		{".weight_shape", "I64", "[2]", shape, 16, false}};
	size_t n = 3;

	NEED(codes && zeros, "no memory");
	snprintf(shapes[0], 32, "[%d,%zu]", OUT, words);
	snprintf(shapes[1], 32, "[%d,%zu]", OUT, n_groups);
	snprintf(shapes[2], 32, "[%zu,%zu]", zero_words, n_groups);
	snprintf(shapes[3], 32, "[%zu]", w->in);
	qc_put_le64(shape, OUT);
	qc_put_le64(shape + 8, w->in);
	for (size_t r = 0; r < OUT; r++) {
		for (size_t c = 0; c < w->in; c++)
			put(codes, r * words * 32 + c * w->bits, w->bits, w->code[r][c]);
		for (size_t g = 0; g < n_groups; g++)
			put(zeros, (r / per_word * n_groups + g) * 32 + r % per_word * w->bits,
			    w->bits, (unsigned)w->zero[r][g]);
	}
	for (size_t c = 0; c < w->in; c++)
		qc_put_le32(g_idx + 4 * c, with & NO_ORDER ? UINT32_MAX : w->order[c]);
	if (with & ZEROS)
		parts[n++] = (struct enc_part){".weight_zero_point",	  "I32", shapes[2], zeros,
					       zero_words * n_groups * 4, true};
	if (with & (ORDER | NO_ORDER))
		parts[n++] = (struct enc_part){".weight_g_idx", "I32",	   shapes[3],
					       g_idx,		w->in * 4, true};
	check_parts(w, parts, n, check);
	free(codes);
	free(zeros);
	free(w);
}

static void compressed_tensors_packed_decodes_by_its_formula(void)
{
	static const struct check f16 = {"f16", "int4", true}, bf16 = {"bf16", "int4", true};
	static const struct check eight = {"bf16", "int8", false}, f32 = {"f32", "int4", false};
	static const struct check q4 = {"q4_0", "compressed-tensors int4", true};
	static const struct check q8 = {"q8_0", "int8, 1 groups", false};
	static const struct check order = {"bf16", "act order", true};
	struct ints *w;

	check_packed(make(4, 256, 64, false, "F16"), ZEROS, &f16);
	check_packed(make(8, 256, 64, false, "BF16"), ZEROS, &eight);
	check_packed(make(4, 256, 32, true, "BF16"), 0, &q4);
	check_packed(make(4, 320, 128, true, "F16"), ZEROS, &q4);
	check_packed(make(4, 256, 32, true, "BF16"), NO_ORDER, &q4);
	check_packed(make(4, 256, 32, true, "BF16"), ORDER, &q4); /* as it would be without */
	check_packed(make(8, 256, 256, true, "F16"), 0, &q8);
	check_packed(make(4, 256, 32, true, "F32"), 0, &f32);
	check_packed(make(4, 250, 250, true, "F32"), 0, &f32); /* a partial word, no blocks */
	w = make(4, 256, 32, true, "BF16");
	qc_put_le16(w->scale + 2 * 77, 0x3381); /* 6.0e-8: between two f16 subnormals */
	check_packed(w, 0, &bf16);
	w = make(4, 256, 64, false, "BF16");
	for (size_t c = 0; c < w->in; c++)
		w->order[c] = (uint32_t)(c * 101 % 256 / 64);
	check_packed(w, ZEROS | ORDER, &order);
}

/* I8 with a scale per group, per row, for all. */
static void compressed_tensors_int8_decodes_by_its_formula(void)
{
	static const char *const scale_shapes[] = {"[48,4]", "[48,1]", "[48]", "[1]", "[]"};

	for (size_t i = 0; i < COUNT(scale_shapes); i++)
		for (int symmetric = 0; symmetric < 2; symmetric++) {
			const bool one = i >= 3;
			const struct check check = {symmetric ? "q8_0" : "bf16", "int8", !one};
			struct ints *w = make(8, 256, i ? 256 : 64, symmetric, "BF16");
			const size_t n = one ? 1 : OUT * w->n_groups;
			int8_t *codes = malloc(OUT * w->in), *zeros = malloc(n);
			const struct enc_part parts[] = {
				{".weight", "I8", "[48,256]", codes, OUT * w->in, true},
				{".weight_scale", "BF16", scale_shapes[i], w->scale, 2 * n, true},
				{".weight_zero_point", "I8", scale_shapes[i], zeros, n, true}};

			NEED(codes && zeros, "no memory");
			for (size_t r = 0; one && r < OUT; r++) {
				w->zero[r][0] = w->zero[0][0];
				memcpy(w->scale + 2 * r, w->scale, 2);
			}
			for (size_t k = 0; k < OUT * w->in; k++)
				codes[k] = (int8_t)(w->code[k / w->in][k % w->in] - 128);
			for (size_t k = 0; k < n; k++)
				zeros[k] =
					(int8_t)(w->zero[k / w->n_groups][k % w->n_groups] - 128);
			check_parts(w, parts, symmetric ? 2 : 3, &check);
			free(codes);
			free(zeros);
			free(w);
		}
}

static void packed_parts_that_contradict_each_other_are_refused(void)
{
	uint8_t codes[48 * 32 * 4] = {0}, scales[48 * 8 * 2] = {0}, shape[16];
	struct enc_part parts[] = {
		{".weight_packed", "I32", "[48,32]", codes, sizeof(codes), false},
		{".weight_scale", "F16", "[48,8]", scales, sizeof(scales), false},
		{".weight_shape", "I64", "[2]", shape, 16, false}};
	static const struct {
		uint64_t out, in;
	} wrong[] = {{47, 256},		{48, 255 - 8}, {48, 0},	 {48, UINT64_MAX},
		     {UINT64_MAX, 256}, {256, 48},     {48, 341}};

	for (size_t i = 0; i < COUNT(wrong); i++) {
		qc_put_le64(shape, wrong[i].out);
		qc_put_le64(shape + 8, wrong[i].in);
		enc_refused(parts, 3, ".weight_shape' says", "shape");
	}
	qc_put_le64(shape, 48);
	qc_put_le64(shape + 8, 256);
	parts[1].shape = "[8,48]";
	enc_refused(parts, 3, ".weight_scale' is 8x48", "transposed scales");
	parts[1].shape = "[384]";
	enc_refused(parts, 3, ".weight_scale' is 384", "flat scales");
}

/* Two encodings of one weight: neither is right. */
static void a_weight_stored_twice_is_refused(void)
{
	struct ints *w = make(4, 256, 64, false, "F16");
	uint8_t plain[64] = {0}, e4m3[64] = {0};
	struct enc_part parts[6];
	struct gptq g;

	gptq_pack(&g, w, 1);
	memcpy(parts, g.parts, sizeof(g.parts));
	parts[4] = (struct enc_part){".weight", "F16", "[4,8]", plain, 64, false};
	enc_refused(parts, 5, ".weight'", "gptq and plain");
	parts[4] = (struct enc_part){".weight", "F8_E4M3", "[8,8]", e4m3, 64, false};
	parts[5] = (struct enc_part){".weight_scale", "F32", "[]", plain, 4, false};
	enc_refused(parts, 6, ".weight'", "gptq and fp8");
	gptq_free(&g);
	free(w);
}

int main(void)
{
	st_begin();
	awq_decodes_by_its_formula();
	compressed_tensors_packed_decodes_by_its_formula();
	compressed_tensors_int8_decodes_by_its_formula();
	packed_parts_that_contradict_each_other_are_refused();
	a_weight_stored_twice_is_refused();
	st_end();
	return test_end();
}
