/* MXFP4 and NVFP4 weights under all their names; what they may not be. */
#include <math.h>

#include "formats/parts.h"
#include "quant/f8.h"
#include "tests/encoding_parts.h"

#define COUNT(list) (sizeof(list) / sizeof((list)[0]))

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

int main(void)
{
	st_begin();
	mxfp4_comes_under_four_sets_of_names();
	an_mxfp4_scale_that_is_nan_is_refused_on_reading();
	other_tensors_may_have_such_names();
	nvfp4_comes_under_two_sets_of_names();
	nvfp4_rows_of_no_whole_blocks_are_floats();
	nvfp4_experts_are_packed_along_the_other_axis();
	nvfp4_scales_that_cannot_be_are_refused();
	a_smoothing_scale_beside_a_weight_is_refused();
	nibbles_go_there_and_back();
	st_end();
	return test_end();
}
