/* MXFP4, NVFP4 and FP8 weights fold into one tensor each, equal to what their producers decode, bit
 * for bit, and are refused when a part of them cannot be right. */
#include <math.h>

#include "formats/parts.h"
#include "quant/f8.h"
#include "tests/encoding_parts.h"

#define GOLDEN	    "tests/data/golden/fp4/"
#define COUNT(list) (sizeof(list) / sizeof((list)[0]))

/*
 * The golden vectors: each file holds the results for all inputs, one after the other.
 */
static const struct {
	const char *name;
	size_t rows, cols;
} inputs[] = {
	{"normal", 4, 1024}, {"heavy", 4, 1024}, {"llm", 4, 1024},  {"tiny", 2, 512},
	{"large", 2, 512},   {"zeros", 1, 256},	 {"const", 4, 256}, {"onehot", 3, 256},
	{"ties", 8, 256},    {"signs", 2, 256},	 {"grid", 2, 256},
};

struct golden {
	const char *stem, *codes, *scales, *factor, *f32, *bf16, *raw; /* ends of files; NULL */
	const char *code_suffix, *scale_suffix, *factor_suffix, *name;
	const char *type;
	size_t group;
	bool blocks; /* shapes [.., cols / 32, 16] */
};

static const struct golden goldens[] = {
	{"mxfp4_modelopt.f32", "weight", "weight_scale", NULL, "dq.f32", NULL, NULL, ".weight",
	 ".weight_scale", NULL, ".weight", "mxfp4", 32, false},
	{"mxfp4_modelopt.bf16", "weight", "weight_scale", NULL, "dq.f32", NULL, NULL, ".weight",
	 ".weight_scale", NULL, ".weight", "mxfp4", 32, false},
	{"mxfp4_ct.f32", "weight_packed", "weight_scale", NULL, "dq.f32", NULL, NULL,
	 ".weight_packed", ".weight_scale", NULL, ".weight", "mxfp4", 32, false},
	{"mxfp4_ct.bf16", "weight_packed", "weight_scale", NULL, "dq.f32", NULL, NULL,
	 ".weight_packed", ".weight_scale", NULL, ".weight", "mxfp4", 32, false},
	{"mxfp4_gptoss.bf16", "blocks", "scales", NULL, NULL, "dq.bf16", "repacked_ggml.q",
	 "_blocks", "_scales", NULL, "", "mxfp4", 32, true},
	{"nvfp4_modelopt.f32", "weight", "weight_scale", "weight_scale_2.f32", "dq.f32", NULL, NULL,
	 ".weight", ".weight_scale", ".weight_scale_2", ".weight", "nvfp4", 16, false},
	{"nvfp4_modelopt.bf16", "weight", "weight_scale", "weight_scale_2.f32", "dq.f32", NULL,
	 "repacked_ggml.q", ".weight", ".weight_scale", ".weight_scale_2", ".weight", "nvfp4", 16,
	 false},
	{"nvfp4_ct.f32", "weight_packed", "weight_scale", "weight_global_scale.f32", "dq.f32", NULL,
	 NULL, ".weight_packed", ".weight_scale", ".weight_global_scale", ".weight", "nvfp4", 16,
	 false},
	{"nvfp4_ct.bf16", "weight_packed", "weight_scale", "weight_global_scale.f32", "dq.f32",
	 "dq.bf16", NULL, ".weight_packed", ".weight_scale", ".weight_global_scale", ".weight",
	 "nvfp4", 16, false},
};

static char *golden_load(const struct golden *g, const char *end)
{
	char path[160];

	snprintf(path, sizeof(path), GOLDEN "%s.%s", g->stem, end);
	return test_load(path, NULL);
}

static const char *golden_save(const struct golden *g, size_t input, size_t elems_before)
{
	const size_t rows = inputs[input].rows, cols = inputs[input].cols, n = rows * cols;
	char *codes = golden_load(g, g->codes), *scales = golden_load(g, g->scales);
	char *factor = g->factor ? golden_load(g, g->factor) : NULL, shape[96];
	struct st_build b = {0};
	const char *path;

	snprintf(shape, sizeof(shape), g->blocks ? "[1,%zu,%zu,16]" : "[%zu,%zu]", rows,
		 g->blocks ? cols / 32 : cols / 2);
	st_add(&b, enc_name(g->code_suffix), "U8", shape, codes + elems_before / 2, n / 2);
	snprintf(shape, sizeof(shape), g->blocks ? "[1,%zu,%zu]" : "[%zu,%zu]", rows,
		 cols / g->group);
	st_add(&b, enc_name(g->scale_suffix), g->factor ? "F8_E4M3" : "U8", shape,
	       scales + elems_before / g->group, n / g->group);
	if (factor)
		st_add(&b, enc_name(g->factor_suffix), "F32", input % 2 ? "[1]" : "[]",
		       factor + input * 4, 4);
	path = st_save(&b, "golden.safetensors");
	free(codes);
	free(scales);
	free(factor);
	return path;
}

static void golden_compare(const struct golden *g, const struct qc_tensor *t, size_t input,
			   size_t elems_before)
{
	const size_t cols = inputs[input].cols, n = inputs[input].rows * cols;
	char *want = g->f32 ? golden_load(g, g->f32) : NULL;
	char *half = g->bf16 ? golden_load(g, g->bf16) : NULL;
	char *raw = g->raw ? golden_load(g, g->raw) : NULL;
	float *got = st_rows(t, 0, t->source->rows);
	size_t bad_f32 = 0, bad_bf16 = 0;

	for (size_t i = 0; i < n; i++) {
		if (want)
			bad_f32 += qc_f32_bits(got[i]) != qc_le32(want + (elems_before + i) * 4);
		if (half)
			bad_bf16 +=
				qc_f32_to_bf16(got[i]) != qc_le16(half + (elems_before + i) * 2);
	}
	CHECK(!bad_f32, "%s, %s: %zu of %zu f32 values differ", g->stem, inputs[input].name,
	      bad_f32, n);
	CHECK(!bad_bf16, "%s, %s: %zu of %zu bf16 values differ", g->stem, inputs[input].name,
	      bad_bf16, n);
	if (raw) {
		const size_t elems = t->source->type->block_elems;
		const size_t bytes = t->source->type->block_bytes;
		uint8_t *blocks = enc_raw(t, 0, t->source->rows);

		CHECK(!memcmp(blocks, raw + elems_before / elems * bytes, n / elems * bytes),
		      "%s, %s: other blocks", g->stem, inputs[input].name);
		free(blocks);
	}
	free(want);
	free(half);
	free(raw);
	free(got);
}

static void golden_vectors_decode_bit_for_bit(void)
{
	for (size_t i = 0; i < COUNT(goldens); i++) {
		const struct golden *g = &goldens[i];
		size_t before = 0;

		for (size_t k = 0; k < COUNT(inputs); k++) {
			const struct qc_tensor *t;
			struct qc_model model;

			if (!st_opens(&model, golden_save(g, k, before)))
				continue;
			CHECK(model.n_tensors == 1, "%s: %zu tensors", g->stem, model.n_tensors);
			t = st_tensor(&model, enc_name(g->name));
			CHECK(!strcmp(t->source->type->name, g->type), "%s is %s", g->stem,
			      t->source->type->name);
			CHECK(t->n_dims == (g->blocks ? 3 : 2) && t->dims[0] == inputs[k].cols &&
				      t->dims[1] == inputs[k].rows,
			      "%s: another shape", g->stem);
			/* ModelOpt divides 0 by 0 for a weight of zeros */
			if (!strncmp(g->stem, "nvfp4_modelopt", 14) &&
			    !strcmp(inputs[k].name, "zeros")) {
				enc_read_fails(t, false, 0, ".weight_scale'", ".weight' is nan");
				enc_read_fails(t, true, 0, ".weight_scale'", ".weight' is nan");
			} else {
				golden_compare(g, t, k, before);
				enc_splits_agree(t, g->stem);
			}
			qc_model_close(&model);
			before += inputs[k].rows * inputs[k].cols;
		}
	}
}

/*
 * gpt-oss, whole.
 */

/* Where a tensor's data begins, from the header's text. */
static const uint8_t *find_data(const char *file, const char *name)
{
	char key[160];
	const char *at;

	snprintf(key, sizeof(key), "\"%s\":{", name);
	at = strstr(file + 8, key);
	NEED(at, "no tensor %s", name);
	at = strstr(at, "\"data_offsets\":[");
	NEED(at, "no offsets of %s", name);
	return (const uint8_t *)file + 8 + qc_le64(file) + strtoull(at + 16, NULL, 10);
}

static void check_experts(const char *file, const struct qc_model *model, int layer,
			  const char *part, size_t out)
{
	enum { E = 4, IN = 256 };
	char name[128], key[160];
	const struct qc_tensor *t;
	const uint8_t *blocks, *scales;
	float *got, *want = malloc(E * out * IN * sizeof(*want));

	NEED(want, "no memory");
	snprintf(name, sizeof(name), "model.layers.%d.mlp.experts.%s", layer, part);
	t = st_tensor(model, name);
	CHECK(!strcmp(t->source->type->name, "mxfp4") && t->n_dims == 3 && t->dims[0] == IN &&
		      t->dims[1] == out && t->dims[2] == E,
	      "%s: %s, %u dimensions", name, t->source->type->name, t->n_dims);
	snprintf(key, sizeof(key), "%s_blocks", name);
	blocks = find_data(file, key);
	snprintf(key, sizeof(key), "%s_scales", name);
	scales = find_data(file, key);
	for (size_t i = 0; i < E * out * IN; i++) {
		static const float e2m1[8] = {0, 0.5f, 1, 1.5f, 2, 3, 4, 6};
		unsigned code = enc_code(blocks, i * 4, 4);
		float magnitude = ldexpf(e2m1[code & 7], scales[i / 32] - 127);

		want[i] = code & 8 ? -magnitude : magnitude;
	}
	got = st_rows(t, 0, t->source->rows);
	enc_equal(got, want, E * out * IN, IN, name);
	enc_splits_agree(t, name);
	free(got);
	free(want);
}

static void the_experts_of_gpt_oss_are_one_mxfp4_tensor_each(void)
{
	static const char *const path = "tests/data/models/tiny-gpt-oss/model.safetensors";
	struct qc_model model;
	size_t size, folded = 0;
	char *file = test_load(path, &size);

	/* without its config.json, so that names stay as they are */
	if (st_opens(&model, st_write("gpt-oss.safetensors", file, size))) {
		for (int layer = 0; layer < 4; layer++) {
			check_experts(file, &model, layer, "gate_up_proj", 512);
			check_experts(file, &model, layer, "down_proj", 256);
		}
		for (size_t i = 0; i < model.n_tensors; i++)
			folded += model.tensors[i].encoding != NULL;
		CHECK(folded == 8, "%zu folded tensors, not 8", folded);
		qc_model_close(&model);
	}
	free(file);
}

/*
 * MXFP4
 */
enum { OUT = 20, IN = 192 };

static void mxfp4_comes_under_four_sets_of_names(void)
{
	uint8_t *codes = enc_bytes(OUT * IN / 2), *scales = enc_bytes(OUT * IN / 32);
	float *want = malloc(OUT * IN * sizeof(*want));
	const uint64_t dims[2] = {IN, OUT}, experts[3] = {IN, OUT / 4, 4};
	const size_t n = OUT * IN / 2, m = OUT * IN / 32;
	const struct enc_part modelopt[] = {{".weight", "U8", "[20,96]", codes, n, false},
					    {".weight_scale", "U8", "[20,6]", scales, m, true}};
	const struct enc_part packed[] = {{".weight_packed", "U8", "[20,96]", codes, n, false},
					  {".weight_scale", "U8", "[20,6]", scales, m, false}};
	const struct enc_part deepseek[] = {{".weight", "I8", "[20,96]", codes, n, true},
					    {".scale", "F8_E8M0", "[20,6]", scales, m, true}};
	const struct enc_part gptoss[] = {{"_blocks", "U8", "[4,5,6,16]", codes, n, false},
					  {"_scales", "U8", "[4,5,6]", scales, m, false}};
	const struct enc_part openai[] = {{".blocks", "U8", "[4,5,6,16]", codes, n, true},
					  {".scales", "U8", "[4,5,6]", scales, m, true}};

	NEED(want, "no memory");
	for (size_t i = 0; i < m; i++)
		scales[i] = (uint8_t)(i % 7 == 0 ? i % 3 : 100u + scales[i] % 50u);
	for (size_t i = 0; i < OUT * IN; i++)
		want[i] = qc_e2m1_to_f32((uint8_t)enc_code(codes, i * 4, 4)) *
			  ldexpf(1, scales[i / 32] - 127);
	enc_check(modelopt, 2, enc_name(".weight"), dims, 2, "mxfp4", want, "ModelOpt mxfp4");
	enc_check(packed, 2, enc_name(".weight"), dims, 2, "mxfp4", want, "packed mxfp4");
	enc_check(deepseek, 2, enc_name(".weight"), dims, 2, "mxfp4", want, "DeepSeek mxfp4");
	enc_check(gptoss, 2, enc_name(""), experts, 3, "mxfp4", want, "gpt-oss mxfp4");
	enc_check(openai, 2, enc_name(""), experts, 3, "mxfp4", want, "OpenAI mxfp4");
	enc_refuses_spoiled_parts(modelopt, 2, "ModelOpt mxfp4");
	enc_refuses_spoiled_parts(packed, 2, "packed mxfp4");
	enc_refuses_spoiled_parts(gptoss, 2, "gpt-oss mxfp4");
	free(codes);
	free(scales);
	free(want);
}

static void an_mxfp4_scale_that_is_nan_is_refused_on_reading(void)
{
	uint8_t *codes = enc_bytes(OUT * IN / 2), scales[OUT * IN / 32] = {0};
	const struct enc_part parts[] = {
		{"_blocks", "U8", "[4,5,6,16]", codes, OUT * IN / 2, false},
		{"_scales", "U8", "[4,5,6]", scales, sizeof(scales), false}};
	struct qc_model model;

	scales[7 * 6 + 2] = 255;
	if (st_opens(&model, enc_save(parts, 2))) {
		const struct qc_tensor *t = st_tensor(&model, enc_name(""));

		enc_read_fails(t, false, 7, "_scales'", "_blocks' is nan");
		enc_read_fails(t, true, 7, "row 7, columns 64 to 95", "is nan");
		free(st_rows(t, 0, 7));
		qc_model_close(&model);
	}
	free(codes);
}

static void other_tensors_may_have_such_names(void)
{
	float x[32] = {1};
	struct st_build b = {0};
	struct qc_model model;

	st_add(&b, "vision.res_blocks", "F32", "[4,8]", x, sizeof(x));
	st_add(&b, "vision.layer_scales", "F32", "[32]", x, sizeof(x));
	st_add(&b, "vision.logit_scale", "F32", "[]", x, 4);
	st_add(&b, "vision.head.scale", "F32", "[8]", x, sizeof(x) / 4);
	st_add(&b, "vision.head.weight", "F32", "[4,8]", x, sizeof(x));
	st_add(&b, "vision.u8", "U8", "[4,8]", x, sizeof(x) / 4);
	if (!st_opens(&model, st_save(&b, "names.safetensors")))
		return;
	CHECK(model.n_tensors == 6, "%zu tensors, not 6", model.n_tensors);
	for (size_t i = 0; i < model.n_tensors; i++)
		CHECK(!model.tensors[i].encoding, "%s was folded", model.tensors[i].name);
	qc_model_close(&model);
}

/*
 * NVFP4
 */
static uint8_t *e4m3_scales(size_t n)
{
	uint8_t *scales = enc_bytes(n);

	for (size_t i = 0; i < n; i++)
		scales[i] %= 127; /* positive, not NaN */
	return scales;
}

/* `factor` is the stored one. ModelOpt decodes code 8 to zero, compressed-tensors to minus zero. */
static float nvfp4_value(unsigned code, uint8_t scale, float factor, bool divide)
{
	float s = qc_e4m3_to_f32(scale), product = divide ? s / factor : s * factor;

	return code == 8 && !divide ? 0 : qc_e2m1_to_f32((uint8_t)code) * product;
}

static void nvfp4_comes_under_two_sets_of_names(void)
{
	uint8_t *codes = enc_bytes(OUT * IN / 2), *scales = e4m3_scales(OUT * IN / 16);
	const float factor = 0.00123f, divisor = 813.5f, input = 0.25f;
	float *want = malloc(OUT * IN * sizeof(*want)), got;
	const size_t n = OUT * IN / 2, m = OUT * IN / 16;
	const uint64_t dims[2] = {IN, OUT};
	uint8_t stored[3][4];
	const struct enc_part modelopt[] = {
		{".weight", "U8", "[20,96]", codes, n, false},
		{".weight_scale", "F8_E4M3", "[20,12]", scales, m, false},
		{".weight_scale_2", "F32", "[]", stored[0], 4, false},
		{".input_scale", "F32", "[]", stored[2], 4, true}};
	const struct enc_part packed[] = {
		{".weight_packed", "U8", "[20,96]", codes, n, false},
		{".weight_scale", "F8_E4M3", "[20,12]", scales, m, false},
		{".weight_global_scale", "F32", "[1]", stored[1], 4, false},
		{".input_global_scale", "F32", "[1]", stored[2], 4, true}};
	struct qc_scratch none = {0};
	struct qc_err err = {0};
	struct qc_model model;

	NEED(want, "no memory");
	qc_put_le32(stored[0], qc_f32_bits(factor));
	qc_put_le32(stored[1], qc_f32_bits(divisor));
	qc_put_le32(stored[2], qc_f32_bits(input));
	for (int form = 0; form < 2; form++) {
		const struct enc_part *parts = form ? packed : modelopt;
		const char *what = form ? "packed nvfp4" : "ModelOpt nvfp4";
		const float scale = form ? 1 / divisor : factor, in_scale = form ? 4 : 0.25f;

		for (size_t i = 0; i < OUT * IN; i++)
			want[i] = nvfp4_value(enc_code(codes, i * 4, 4), scales[i / 16],
					      form ? divisor : factor, form);
		enc_check(parts, 4, enc_name(".weight"), dims, 2, "nvfp4", want, what);
		enc_check(parts, 3, enc_name(".weight"), dims, 2, "nvfp4", want, what);
		enc_refuses_spoiled_parts(parts, 4, what);
		if (!st_opens(&model, enc_save(parts, 4)))
			continue;
		const struct qc_tensor *t = st_tensor(&model, enc_name(".weight"));
		NEED(t->scale && t->input_scale, "%s: no factors", what);
		CHECK(!qc_source_read_f32(t->scale, 0, 1, &got, &none, &err) && got == scale,
		      "%s: the factor is %g, not %g", what, (double)got, (double)scale);
		CHECK(!qc_source_read_f32(t->input_scale, 0, 1, &got, &none, &err) &&
			      got == in_scale,
		      "%s: the input's factor is %g", what, (double)got);
		qc_model_close(&model);
	}
	free(codes);
	free(scales);
	free(want);
}

static void nvfp4_rows_of_no_whole_blocks_are_floats(void)
{
	enum { COLS = 48 };
	uint8_t *codes = enc_bytes(OUT * COLS / 2), *scales = e4m3_scales(OUT * COLS / 16);
	float want[OUT * COLS];
	const uint64_t dims[2] = {COLS, OUT};
	const uint8_t one[2] = {0x80, 0x3f}; /* bf16 */
	const struct enc_part parts[] = {
		{".weight", "U8", "[20,24]", codes, OUT * COLS / 2, false},
		{".weight_scale", "F8_E4M3", "[20,3]", scales, OUT * COLS / 16, false},
		{".weight_scale_2", "BF16", "[]", one, 2, false}};

	for (size_t i = 0; i < OUT * COLS; i++)
		want[i] = nvfp4_value(enc_code(codes, i * 4, 4), scales[i / 16], 1, false);
	enc_check(parts, 3, enc_name(".weight"), dims, 2, "bf16", want, "narrow nvfp4");
	free(codes);
	free(scales);
}

/* [E, in/2, out]: byte k, o of expert e holds elements 2k and 2k + 1 of row o. */
static void nvfp4_experts_are_packed_along_the_other_axis(void)
{
	enum { E = 3, ROWS = 70, COLS = 128 };
	uint8_t *codes = enc_bytes(E * ROWS * COLS / 2),
		*scales = e4m3_scales(E * ROWS * COLS / 16);
	const float factors[E] = {0.5f, 0.003f, 7};
	float *want = malloc(E * ROWS * COLS * sizeof(*want));
	const uint64_t dims[3] = {COLS, ROWS, E};
	uint8_t stored[E * 4], input[4];
	struct enc_part parts[] = {
		{"", "U8", "[3,64,70]", codes, E * ROWS * COLS / 2, false},
		{"_weight_scale", "F8_E4M3", "[3,8,70]", scales, E * ROWS * COLS / 16, false},
		{"_weight_scale_2", "F32", "[3,1,1]", stored, sizeof(stored), false},
		{"_input_scale", "F32", "[]", input, 4, true}};

	NEED(want, "no memory");
	for (int e = 0; e < E; e++)
		qc_put_le32(stored + 4 * e, qc_f32_bits(factors[e]));
	qc_put_le32(input, qc_f32_bits(1));
	for (int shared = 0; shared < 2; shared++) {
		for (size_t i = 0; i < E * ROWS * COLS; i++) {
			const size_t e = i / (ROWS * COLS), r = i / COLS % ROWS, c = i % COLS;
			const uint8_t byte = codes[(e * COLS / 2 + c / 2) * ROWS + r];

			want[i] = nvfp4_value(c % 2 ? byte >> 4 : byte & 15,
					      scales[(e * COLS / 16 + c / 16) * ROWS + r],
					      factors[shared ? 0 : e], false);
		}
		enc_check(parts, 4, enc_name(""), dims, 3, "nvfp4", want, "nvfp4 experts");
		parts[2].shape = "[]";
		parts[2].size = 4;
	}
	free(codes);
	free(scales);
	free(want);
}

static void nvfp4_scales_that_cannot_be_are_refused(void)
{
	static const float bad[] = {NAN, INFINITY, -1};
	uint8_t *codes = enc_bytes(OUT * IN / 2), *scales = e4m3_scales(OUT * IN / 16);
	uint8_t factor[4];
	struct enc_part parts[] = {
		{".weight_packed", "U8", "[20,96]", codes, OUT * IN / 2, false},
		{".weight_scale", "F8_E4M3", "[20,12]", scales, OUT * IN / 16, false},
		{".weight_global_scale", "F32", "[1]", factor, 4, false}};
	struct qc_model model;

	for (size_t i = 0; i < COUNT(bad); i++) {
		qc_put_le32(factor, qc_f32_bits(bad[i]));
		enc_refused(parts, 3, ".weight_global_scale'", "bad factor");
	}
	qc_put_le32(factor, 0);
	enc_refused(parts, 3, ".weight_global_scale' is 0", "a divisor of 0");
	qc_put_le32(factor, 1);
	enc_refused(parts, 3, ".weight_global_scale' is 1.4", "a divisor with no reciprocal");
	qc_put_le32(factor, qc_f32_bits(2));
	scales[3 * 12 + 5] = 0x7f;
	scales[4 * 12 + 1] = 0x81;
	scales[5 * 12] = 0x80; /* -0: fine */
	if (st_opens(&model, enc_save(parts, 3))) {
		const struct qc_tensor *t = st_tensor(&model, enc_name(".weight"));

		enc_read_fails(t, false, 3, ".weight_scale': the scale of row 3, columns 80 to 95",
			       ".weight_packed' is nan");
		enc_read_fails(t, true, 4, "row 4, columns 16 to 31", "is negative");
		free(st_rows(t, 5, 15));
		qc_model_close(&model);
	}
	free(codes);
	free(scales);
}

static void a_smoothing_scale_beside_a_weight_is_refused(void)
{
	uint8_t bytes[64] = {0};
	const struct enc_part parts[] = {{".weight", "U8", "[1,32]", bytes, 32, false},
					 {".weight_scale", "F8_E4M3", "[1,4]", bytes, 4, false},
					 {".weight_scale_2", "F32", "[]", bytes, 4, false},
					 {".pre_quant_scale", "F32", "[16]", bytes, 64, false}};

	enc_refused(parts, 4, ".pre_quant_scale' scales its input", "smoothing");
}

/*
 * FP8
 */
struct fp8_case {
	const char *suffix, *dtype, *shape;
	size_t scale_rows, scale_cols; /* of a matrix */
	size_t block_rows, block_cols;
	bool per_matrix;
};

static float scale_value(const char *dtype, const uint8_t *bytes, size_t i)
{
	if (!strcmp(dtype, "F32"))
		return qc_bits_f32(qc_le32(bytes + 4 * i));
	if (!strcmp(dtype, "BF16"))
		return qc_bf16_to_f32(qc_le16(bytes + 2 * i));
	return ldexpf(1, bytes[i] - 127);
}

/* A weight of `matrices` times 300 x 200 with such scales. */
static void check_fp8(const struct fp8_case *c, size_t matrices, const char *format, bool divide)
{
	enum { ROWS = 300, COLS = 200 };
	const size_t n = matrices * ROWS * COLS;
	const size_t n_scales = (c->per_matrix ? matrices : 1) * c->scale_rows * c->scale_cols;
	const size_t width = !strcmp(c->dtype, "F32") ? 4 : !strcmp(c->dtype, "BF16") ? 2 : 1;
	const bool bare = *c->suffix == '_';
	uint8_t *codes = enc_bytes(n), *scales = malloc(n_scales * width);
	float *want = malloc(n * sizeof(*want));
	const uint64_t dims[3] = {COLS, ROWS, matrices};
	char shape[32];
	const struct enc_part parts[] = {
		{bare ? "" : ".weight", format, shape, codes, n, true},
		{c->suffix, c->dtype, c->shape, scales, n_scales * width, true}};

	NEED(scales && want, "no memory");
	snprintf(shape, sizeof(shape), matrices > 1 ? "[%zu,300,200]" : "[300,200]", matrices);
	for (size_t i = 0; i < n; i++)
		codes[i] &= codes[i] % 128 >= 120 ? 0x9f : 0xff; /* no NaN in either format */
	for (size_t i = 0; i < n_scales; i++) {
		const float x = (float)(1 + enc_random() % 1000) / 4096;

		if (width == 4)
			qc_put_le32(scales + 4 * i, qc_f32_bits(x));
		else if (width == 2)
			qc_put_le16(scales + 2 * i, qc_f32_to_bf16(x));
		else
			scales[i] = (uint8_t)(110 + enc_random() % 20);
	}
	for (size_t i = 0; i < n; i++) {
		const size_t m = c->per_matrix ? i / (ROWS * COLS) : (size_t)0, r = i / COLS % ROWS;
		const float s =
			scale_value(c->dtype, scales,
				    (m * c->scale_rows + r / c->block_rows) * c->scale_cols +
					    i % COLS / c->block_cols);
		const float x = !strcmp(format, "F8_E4M3") ? qc_e4m3_to_f32(codes[i])
							   : qc_e5m2_to_f32(codes[i]);

		want[i] = divide ? x / s : x * s;
	}
	enc_check(parts, 2, enc_name(bare ? "" : ".weight"), dims, matrices > 1 ? 3 : 2, "bf16",
		  want, c->shape);
	free(codes);
	free(scales);
	free(want);
}

static void fp8_scales_come_in_many_shapes(void)
{
	static const struct fp8_case matrices[] = {
		{".weight_scale_inv", "F32", "[3,2]", 3, 2, 128, 128, false},
		{".weight_scale_inv", "BF16", "[3,2]", 3, 2, 128, 128, false},
		{".weight_scale_inv", "F32", "[]", 1, 1, 300, 200, false},
		{".weight_scale", "F32", "[]", 1, 1, 300, 200, false},
		{".weight_scale", "F32", "[1]", 1, 1, 300, 200, false},
		{".weight_scale", "F32", "[300]", 300, 1, 1, 200, false},
		{".weight_scale", "BF16", "[300,1]", 300, 1, 1, 200, false},
		{".weight_scale", "F32", "[5,4]", 5, 4, 64, 64, false},
		{".weight_scale", "F32", "[3,1,2,1]", 3, 2, 128, 128, false},
		{".weight_scale", "F32", "[1,200]", 1, 200, 300, 1, false},
		{".weight_scale", "U8", "[300,7]", 300, 7, 1, 32, false},
		{".scale", "F8_E8M0", "[3,2]", 3, 2, 128, 128, false},
		{".qscale_weight", "F32", "[]", 1, 1, 300, 200, false},
		{"_scale_inv", "F32", "[3,2]", 3, 2, 128, 128, false},
	};
	static const struct fp8_case experts[] = {
		{".weight_scale", "F32", "[]", 1, 1, 300, 200, false},
		{".weight_scale", "F32", "[2]", 1, 1, 300, 200, true},
		{".weight_scale", "F32", "[2,300]", 300, 1, 1, 200, true},
		{".weight_scale", "F32", "[2,300,1]", 300, 1, 1, 200, true},
		{"_scale", "F32", "[2,1,200]", 1, 200, 300, 1, true},
		{"_scale_inv", "F32", "[2,3,2]", 3, 2, 128, 128, true},
	};

	for (size_t i = 0; i < COUNT(matrices); i++)
		check_fp8(&matrices[i], 1, i % 2 ? "F8_E4M3" : "F8_E5M2", false);
	for (size_t i = 0; i < COUNT(experts); i++)
		check_fp8(&experts[i], 2, "F8_E4M3", false);
}

static void a_true_reciprocal_is_told_by_the_configuration(void)
{
	static const struct fp8_case c = {
		".weight_scale_inv", "F32", "[300]", 300, 1, 1, 200, false};

	st_text("config.json", "{\"quantization_config\":{\"quant_method\":\"gptq\","
			       "\"weight_scale_semantics\":\"inverse\"}}");
	check_fp8(&c, 1, "F8_E4M3", true);
	unlink(st_path("config.json"));
	check_fp8(&c, 1, "F8_E4M3", false);
}

static void fp8_parts_that_do_not_fit_are_refused(void)
{
	static const char *const shapes[] = {"[6]", "[6,2]", "[2,6]", "[1,1,1,12]", "[12]"};
	uint8_t codes[13 * 40] = {0}, scales[16 * 4] = {0};
	struct enc_part parts[] = {{".weight", "F8_E4M3", "[13,40]", codes, sizeof(codes), false},
				   {".weight_scale_inv", "F32", "[13,1]", scales, 13 * 4, true}};

	enc_refuses_spoiled_parts(parts, 2, "fp8");
	for (size_t i = 0; i < COUNT(shapes); i++) {
		parts[1].shape = shapes[i];
		parts[1].size = i ? 12 * 4 : 6 * 4;
		enc_refused(parts, 2, ".weight_scale_inv'", shapes[i]);
	}
	parts[1] = (struct enc_part){".weight_scale", "I32", "[1]", scales, 4, false};
	enc_refused(parts, 2, ".weight_scale'", "integer scales");
	parts[0].dtype = "U8";
	enc_refused(parts, 2, ".weight_scale'", "scales of u8");
}

static void fp8_nan_is_refused_with_its_place(void)
{
	uint8_t codes[12 * 40] = {0}, scale[16] = {0, 0, 0x80, 0x3f};
	struct enc_part parts[] = {{".weight", "F8_E4M3", "[12,40]", codes, sizeof(codes), false},
				   {".weight_scale", "F32", "[]", scale, 4, false},
				   {".input_scale", "F32", "[]", scale, 4, false}};
	struct qc_model model;

	for (size_t at = 0; at < sizeof(codes); at += 37) {
		char place[64];

		codes[at] = at % 2 ? 0x7f : 0xff;
		if (st_opens(&model, enc_save(parts, 3))) {
			const struct qc_tensor *t = st_tensor(&model, enc_name(".weight"));

			snprintf(place, sizeof(place), "row %zu, column %zu", at / 40, at % 40);
			enc_read_fails(t, false, at / 40, place, ".weight'");
			CHECK(model.n_drops == 1 && strstr(model.drops[0].name, ".input_scale"),
			      "%zu drops", model.n_drops);
			qc_model_close(&model);
		}
		codes[at] = 0x7e;
	}
	qc_put_le32(scale, qc_f32_bits(NAN));
	if (st_opens(&model, enc_save(parts, 2))) {
		enc_read_fails(st_tensor(&model, enc_name(".weight")), false, 0, ".weight_scale'",
			       ".weight'");
		qc_model_close(&model);
	}
}

static void kv_cache_scales_are_dropped_and_said(void)
{
	uint8_t x[8] = {0};
	struct st_build b = {0};
	struct qc_model model;

	st_add(&b, "model.layers.0.self_attn.k_proj.k_scale", "F32", "[]", x, 4);
	st_add(&b, "model.layers.0.self_attn.v_scale", "F32", "[1]", x, 4);
	st_add(&b, "model.other.v_scale", "F32", "[1]", x, 4);
	st_add(&b, "model.norm.weight", "F32", "[2]", x, 8);
	if (!st_opens(&model, st_save(&b, "kv.safetensors")))
		return;
	CHECK(model.n_tensors == 2 && model.n_drops == 2, "%zu tensors, %zu drops", model.n_tensors,
	      model.n_drops);
	qc_model_close(&model);
}

/*
 * What they share.
 */
static void nibbles_go_there_and_back(void)
{
	uint8_t *bytes = enc_bytes(16), there[16], back[16];

	for (int quarter = 4; quarter <= 8; quarter += 4) {
		qc_nibbles_to_halves(bytes, there, quarter);
		for (int i = 0; i < 2 * quarter; i++)
			CHECK((there[i] & 15u) == enc_code(bytes, (size_t)i * 4, 4) &&
				      (unsigned)there[i] >> 4 ==
					      enc_code(bytes, (size_t)(i + 2 * quarter) * 4, 4),
			      "byte %d of %d", i, 2 * quarter);
		qc_nibbles_to_neighbours(there, back, quarter);
		CHECK(!memcmp(back, bytes, (size_t)quarter * 2), "groups of %d", quarter * 4);
	}
	free(bytes);
}

static void group_sizes_follow_from_their_number(void)
{
	static const struct {
		uint64_t len, n, size; /* 0: none */
	} cases[] = {{4096, 32, 128}, {4096, 1, 4096}, {4096, 4096, 1}, {300, 3, 128},
		     {300, 300, 1},   {96, 3, 32},     {1000, 8, 128},	{100, 20, 5},
		     {100, 0, 0},     {100, 101, 0},   {101, 40, 0},	{1, 1, 1}};

	for (size_t i = 0; i < COUNT(cases); i++) {
		uint64_t size = 0;
		bool found = qc_group_size(cases[i].len, cases[i].n, &size);

		CHECK(found == (cases[i].size != 0) && (!found || size == cases[i].size),
		      "%llu in %llu: %llu", (unsigned long long)cases[i].len,
		      (unsigned long long)cases[i].n, (unsigned long long)size);
	}
}

int main(void)
{
	st_begin();
	golden_vectors_decode_bit_for_bit();
	the_experts_of_gpt_oss_are_one_mxfp4_tensor_each();
	mxfp4_comes_under_four_sets_of_names();
	an_mxfp4_scale_that_is_nan_is_refused_on_reading();
	other_tensors_may_have_such_names();
	nvfp4_comes_under_two_sets_of_names();
	nvfp4_rows_of_no_whole_blocks_are_floats();
	nvfp4_experts_are_packed_along_the_other_axis();
	nvfp4_scales_that_cannot_be_are_refused();
	a_smoothing_scale_beside_a_weight_is_refused();
	fp8_scales_come_in_many_shapes();
	a_true_reciprocal_is_told_by_the_configuration();
	fp8_parts_that_do_not_fit_are_refused();
	fp8_nan_is_refused_with_its_place();
	kv_cache_scales_are_dropped_and_said();
	nibbles_go_there_and_back();
	group_sizes_follow_from_their_number();
	st_end();
	return test_end();
}
