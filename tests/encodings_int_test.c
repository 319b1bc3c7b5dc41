/* GPTQ, AWQ and compressed-tensors integers fold into one tensor each, equal to their formula, and
 * into q4_0 or q8_0 blocks where the codes need only be moved. */
#include <math.h>

#include "tests/encoding_parts.h"

#define COUNT(list) (sizeof(list) / sizeof((list)[0]))

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

static size_t width_of(const char *type)
{
	return !strcmp(type, "F32") ? 4 : 2;
}

static float scale_of(const struct ints *w, size_t row, size_t g)
{
	const uint8_t *at = w->scale + (row * w->n_groups + g) * width_of(w->scale_type);

	return !strcmp(w->scale_type, "F32")	? qc_bits_f32(qc_le32(at))
	       : !strcmp(w->scale_type, "BF16") ? qc_bf16_to_f32(qc_le16(at))
						: qc_f16_to_f32(qc_le16(at));
}

static struct ints *make(unsigned bits, size_t in, size_t group, bool symmetric,
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

static float *values_of(const struct ints *w)
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
static void put(uint8_t *bytes, size_t at, unsigned bits, unsigned code)
{
	NEED(code < 1u << bits, "%u in %u bits", code, bits);
	bytes[at / 8] = (uint8_t)(bytes[at / 8] | code << at % 8);
}

/* The scales as [n_groups, out]. */
static uint8_t *scales_by_group(const struct ints *w)
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

static void check_parts(const struct ints *w, const struct enc_part *parts, size_t n,
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
static void gptq_pack(struct gptq *g, const struct ints *w, int minus)
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

static void gptq_free(struct gptq *g)
{
	free(g->qweight);
	free(g->qzeros);
	free(g->scales);
	free(g->g_idx);
}

static void check_gptq(struct ints *w, int minus, const struct check *check)
{
	bool regular = true;
	struct gptq g;

	gptq_pack(&g, w, minus);
	check_parts(w, g.parts, 4, check);
	for (size_t c = 0; c < w->in; c++)
		regular = regular && w->order[c] == c / w->group;
	if (regular)
		check_parts(w, g.parts, 3, check); /* without g_idx */
	gptq_free(&g);
	free(w);
}

static void gptq_decodes_by_its_formula(void)
{
	static const struct check asymmetric = {"f16", "gptq int4", true};
	static const struct check eight = {"f16", "gptq int8", true};
	static const struct check two = {"f16", "gptq int2", false};
	static const struct check f32 = {"f32", "gptq int4", false};
	static const struct check q4 = {"q4_0", "gptq int4", false};
	static const struct check q8 = {"q8_0", "gptq int8", false};
	struct ints *w;

	check_gptq(make(4, 256, 64, false, "F16"), 1, &asymmetric);
	check_gptq(make(8, 256, 128, false, "F16"), 1, &eight);
	check_gptq(make(2, 256, 64, false, "F16"), 1, &two);
	check_gptq(make(4, 320, 128, false, "F16"), 1, &asymmetric); /* a short last group */
	check_gptq(make(4, 256, 32, true, "F32"), 1, &f32);
	check_gptq(make(4, 256, 256, true, "F16"), 1, &q4);
	check_gptq(make(4, 256, 32, true, "F16"), 1, &q4);
	check_gptq(make(4, 320, 128, true, "BF16"), 1, &q4);
	check_gptq(make(8, 256, 64, true, "F16"), 1, &q8);
	w = make(4, 256, 32, true, "F16");
	w->zero[47][7] = 7; /* one zero point is enough */
	check_gptq(w, 1, &asymmetric);
	w = make(4, 256, 16, true, "F16"); /* half blocks */
	check_gptq(w, 1, &asymmetric);
}

static void gptq_in_activation_order_is_floats(void)
{
	static const struct check check = {"f16", "act order", true};
	struct ints *w = make(4, 256, 64, true, "F16");

	for (size_t c = 0; c < w->in; c++)
		w->order[c] = (uint32_t)(c * 37 % 256 / 64);
	check_gptq(w, 1, &check);
	w = make(4, 256, 64, false, "F16");
	for (size_t c = 0; c < w->in; c++)
		w->order[c] = (uint32_t)(3 - c / 64);
	check_gptq(w, 1, &check);
}

/* Which version it is only config.json says. */
static void gptq_v2_stores_zero_points_as_they_are(void)
{
	static const struct check check = {"f16", "gptq v2 int4", true};
	static const struct check q4 = {"q4_0", "gptq v2 int4", false};

	st_text("config.json", "{\"quantization_config\":{\"quant_method\":\"gptq\",\"bits\":8,"
			       "\"checkpoint_format\":\"gptq_v2\"}}");
	check_gptq(make(4, 256, 64, false, "F16"), 0, &check);
	check_gptq(make(4, 256, 64, true, "F16"), 0, &q4);
	unlink(st_path("config.json"));
}

static void a_wrapped_zero_point_of_gptq_v1_is_told(void)
{
	static const struct check check = {"f16", "3 zero points stored as 15, read as 0", false};
	struct ints *w = make(4, 256, 64, false, "F16");

	for (size_t r = 0; r < OUT; r++)
		for (size_t g = 0; g < 4; g++)
			w->zero[r][g] = r * 4 + g < 3 ? 0 : 1 + (int)(r % 15);
	check_gptq(w, 1, &check);
}

static void a_group_order_that_cannot_be_is_refused(void)
{
	struct ints *w = make(4, 256, 64, false, "F16");
	struct gptq g;

	gptq_pack(&g, w, 1);
	qc_put_le32(g.g_idx + 4 * 99, 4);
	enc_refused(g.parts, 4, ".g_idx': column 99 is in group 4", "g_idx");
	qc_put_le32(g.g_idx + 4 * 99, UINT32_MAX);
	enc_refused(g.parts, 4, ".g_idx': column 99 is in group -1", "g_idx");
	for (size_t c = 0; c < 256; c++) /* two groups of four are used */
		qc_put_le32(g.g_idx + 4 * c, (uint32_t)(c / 128));
	enc_refused(g.parts, 4, ".scales' has 4 groups", "g_idx");
	gptq_free(&g);
	free(w);
}

static void three_bits_are_not_supported_and_said_so(void)
{
	uint8_t bytes[96 * 48 * 4] = {0};
	const struct enc_part parts[] = {{".qweight", "I32", "[24,64]", bytes, 24 * 64 * 4, false},
					 {".qzeros", "I32", "[2,6]", bytes, 48, false},
					 {".scales", "F16", "[2,64]", bytes, 256, false}};

	enc_refused(parts, 3, ".qzeros' has 6 columns for 64", "3 bits");
}

static void a_scale_that_is_not_finite_is_refused_on_reading(void)
{
	struct ints *w = make(4, 256, 64, true, "F16");
	struct qc_model model;
	struct gptq g;

	gptq_pack(&g, w, 1);
	qc_put_le16(g.scales + (2 * OUT + 30) * 2, 0x7e00);
	if (st_opens(&model, enc_save(g.parts, 4))) {
		const struct qc_tensor *t = st_tensor(&model, enc_name(".weight"));

		enc_read_fails(t, false, 30, ".scales': the scale of row 30, group 2",
			       ".qweight' is nan");
		enc_read_fails(t, true, 30, ".scales'", ".qweight' is nan");
		free(st_rows(t, 31, 17));
		qc_model_close(&model);
	}
	gptq_free(&g);
	free(w);
}

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
	gptq_decodes_by_its_formula();
	gptq_in_activation_order_is_floats();
	gptq_v2_stores_zero_points_as_they_are();
	a_wrapped_zero_point_of_gptq_v1_is_told();
	a_group_order_that_cannot_be_is_refused();
	three_bits_are_not_supported_and_said_so();
	a_scale_that_is_not_finite_is_refused_on_reading();
	awq_decodes_by_its_formula();
	compressed_tensors_packed_decodes_by_its_formula();
	compressed_tensors_int8_decodes_by_its_formula();
	packed_parts_that_contradict_each_other_are_refused();
	a_weight_stored_twice_is_refused();
	st_end();
	return test_end();
}
