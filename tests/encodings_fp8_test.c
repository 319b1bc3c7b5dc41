/* FP8 weights with scales of all shapes; scales of the KV cache. */
#include <math.h>

#include "formats/parts.h"
#include "quant/f8.h"
#include "tests/encoding_parts.h"

#define COUNT(list) (sizeof(list) / sizeof((list)[0]))

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
	fp8_scales_come_in_many_shapes();
	a_true_reciprocal_is_told_by_the_configuration();
	fp8_parts_that_do_not_fit_are_refused();
	fp8_nan_is_refused_with_its_place();
	kv_cache_scales_are_dropped_and_said();
	group_sizes_follow_from_their_number();
	st_end();
	return test_end();
}
