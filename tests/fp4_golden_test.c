/* The 4-bit floats and their scales against what their producers wrote for the inputs in
 * tests/data/golden: conversions, exponents, and whole tensors in each Hugging Face layout. */
#include "tests/test.h"

#include <inttypes.h>
#include <math.h>

#include "base/bytes.h"
#include "quant/e2m1.h"
#include "quant/e4m3.h"
#include "quant/e8m0.h"
#include "quant/half.h"
#include "quant/mxfp4_pack.h"
#include "quant/nvfp4.h"
#include "quant/nvfp4_pack.h"
#include "quant/types.h"

#define GOLDEN "tests/data/golden/"

static float *load_floats(const char *path, size_t *n)
{
	size_t size;
	char *data = test_load(path, &size);
	float *x = malloc(size + 1);

	NEED(x, "out of memory");
	for (size_t i = 0; i < size / 4; i++)
		x[i] = qc_bits_f32(qc_le32(data + 4 * i));
	free(data);
	*n = size / 4;
	return x;
}

/* The inputs of every golden file, in the order in which their results are concatenated. */
static const struct input {
	const char *name;
	size_t rows, cols;
} inputs[] = {{"normal", 4, 1024}, {"heavy", 4, 1024}, {"llm", 4, 1024},  {"tiny", 2, 512},
	      {"large", 2, 512},   {"zeros", 1, 256},  {"const", 4, 256}, {"onehot", 3, 256},
	      {"ties", 8, 256},	   {"signs", 2, 256},  {"grid", 2, 256}};

enum { N_INPUTS = sizeof(inputs) / sizeof(inputs[0]) };

/* One input as its producer saw it. */
static float *load_input(const struct input *input, bool bf16, size_t *n)
{
	char path[96];
	float *x;

	snprintf(path, sizeof(path), GOLDEN "inputs/%s.f32", input->name);
	x = load_floats(path, n);
	NEED(*n == input->rows * input->cols, "%s: %zu values", path, *n);
	for (size_t i = 0; bf16 && i < *n; i++)
		x[i] = qc_bf16_to_f32(qc_f32_to_bf16(x[i]));
	return x;
}

static uint8_t *load_result(const char *scheme, bool bf16, const char *what, size_t size)
{
	char path[96];
	size_t found;
	char *data;

	snprintf(path, sizeof(path), GOLDEN "fp4/%s.%s.%s", scheme, bf16 ? "bf16" : "f32", what);
	data = test_load(path, &found);
	NEED(found == size, "%s: %zu bytes, not %zu", path, found, size);
	return (uint8_t *)data;
}

static size_t total_elems(void)
{
	size_t n = 0;

	for (int i = 0; i < N_INPUTS; i++)
		n += inputs[i].rows * inputs[i].cols;
	return n;
}

static float largest(const float *x, size_t n)
{
	float max = 0;

	for (size_t i = 0; i < n; i++)
		max = fmaxf(max, fabsf(x[i]));
	return max;
}

static void check_bytes(const char *what, const char *input, bool bf16, const uint8_t *got,
			const uint8_t *want, size_t n)
{
	size_t at = 0;

	while (at < n && got[at] == want[at])
		at++;
	CHECK(at == n, "%s, %s as %s: byte %zu is %02x, not %02x", what, input,
	      bf16 ? "bf16" : "f32", at, got[at < n ? at : 0], want[at < n ? at : 0]);
}

static const struct {
	const struct qc_mxfp4_producer *producer;
	const char *scheme, *codes, *scales;
	bool f32; /* golden bytes for f32 inputs too */
} mxfp4_schemes[] = {
	{&qc_mxfp4_modelopt, "mxfp4_modelopt", "weight", "weight_scale", true},
	{&qc_mxfp4_compressed_tensors, "mxfp4_ct", "weight_packed", "weight_scale", true},
	{&qc_mxfp4_gpt_oss, "mxfp4_gptoss", "blocks", "scales", false},
};

static void mxfp4_layouts_are_the_producers_bytes(void)
{
	for (size_t s = 0; s < sizeof(mxfp4_schemes) / sizeof(mxfp4_schemes[0]); s++) {
		for (int bf16 = mxfp4_schemes[s].f32 ? 0 : 1; bf16 < 2; bf16++) {
			const char *scheme = mxfp4_schemes[s].scheme;
			size_t total = total_elems(), at = 0, n;
			uint8_t *codes =
				load_result(scheme, bf16, mxfp4_schemes[s].codes, total / 2);
			uint8_t *scales =
				load_result(scheme, bf16, mxfp4_schemes[s].scales, total / 32);
			uint8_t got[2048], got_scales[128];

			for (int i = 0; i < N_INPUTS; i++, at += n) {
				float *x = load_input(&inputs[i], bf16, &n);

				mxfp4_schemes[s].producer->encode(x, n, got, got_scales);
				check_bytes(scheme, inputs[i].name, bf16, got_scales,
					    scales + at / 32, n / 32);
				check_bytes(scheme, inputs[i].name, bf16, got, codes + at / 2,
					    n / 2);
				free(x);
			}
			free(codes);
			free(scales);
		}
	}
}

static const struct {
	const struct qc_nvfp4_producer *producer;
	const char *scheme, *codes, *tensor_scale;
} nvfp4_schemes[] = {
	{&qc_nvfp4_modelopt, "nvfp4_modelopt", "weight", "weight_scale_2.f32"},
	{&qc_nvfp4_compressed_tensors, "nvfp4_ct", "weight_packed", "weight_global_scale.f32"},
};

/* ModelOpt's files for a tensor of zeros hold a tensor scale of 0 and NaN scales, which nothing can
 * read: the one place where we differ. */
static void compare_nvfp4(size_t s, bool bf16)
{
	const char *scheme = nvfp4_schemes[s].scheme;
	const struct qc_nvfp4_producer *producer = nvfp4_schemes[s].producer;
	size_t total = total_elems(), at = 0, n;
	uint8_t *codes = load_result(scheme, bf16, nvfp4_schemes[s].codes, total / 2);
	uint8_t *scales = load_result(scheme, bf16, "weight_scale", total / 16);
	uint8_t *tensor = load_result(scheme, bf16, nvfp4_schemes[s].tensor_scale, 4 * N_INPUTS);
	uint8_t got[2048], got_scales[256];

	for (int i = 0; i < N_INPUTS; i++, at += n) {
		float *x = load_input(&inputs[i], bf16, &n);
		float want = qc_bits_f32(qc_le32(tensor + 4 * i));
		float scale = producer->tensor_scale(largest(x, n), QC_NVFP4_RANGE, bf16);

		producer->encode(x, n, scale, bf16, got, got_scales);
		CHECK(scale == (want > 0 ? want : 1), "%s, %s: tensor scale %.9g, not %.9g", scheme,
		      inputs[i].name, scale, want);
		if (want == 0) {
			memset(scales + at / 16, 0x38, n / 16);
			memset(codes + at / 2, 0, n / 2);
		}
		check_bytes(scheme, inputs[i].name, bf16, got_scales, scales + at / 16, n / 16);
		check_bytes(scheme, inputs[i].name, bf16, got, codes + at / 2, n / 2);
		free(x);
	}
	free(codes);
	free(scales);
	free(tensor);
}

static void nvfp4_layouts_are_the_producers_bytes(void)
{
	for (size_t s = 0; s < sizeof(nvfp4_schemes) / sizeof(nvfp4_schemes[0]); s++)
		for (int bf16 = 0; bf16 < 2; bf16++)
			compare_nvfp4(s, bf16);
}

/* ModelOpt's codes in ggml's blocks: what converting its checkpoint to GGUF gives. */
static void scaled_nvfp4_blocks_are_the_repacked_checkpoint(void)
{
	size_t total = total_elems(), at = 0, n;
	uint8_t *want = load_result("nvfp4_modelopt", true, "repacked_ggml.q", total / 64 * 36);

	for (int i = 0; i < N_INPUTS; i++, at += n / 64 * 36) {
		float *x = load_input(&inputs[i], true, &n);
		float amax = largest(x, n);
		float scale = qc_nvfp4_modelopt.tensor_scale(amax, QC_NVFP4_RANGE, true);
		uint8_t got[4096 / 64 * 36], codes[32], scales[4], again[36];

		qc_nvfp4_quantize_scaled(x, got, inputs[i].rows, inputs[i].cols, scale);
		if (amax > 0)
			check_bytes("nvfp4 blocks", inputs[i].name, true, got, want + at,
				    n / 64 * 36);
		for (size_t b = 0; b < n / 64; b++) {
			qc_nvfp4_to_pairs(got + 36 * b, codes, scales);
			qc_nvfp4_from_pairs(codes, scales, again);
			check_bytes("there and back", inputs[i].name, true, again, got + 36 * b,
				    36);
		}
		free(x);
	}
	free(want);
}

static void e4m3_rounds_as_its_tables(void)
{
	static const struct {
		const char *file;
		uint8_t (*encode)(float);
	} tables[] = {
		{GOLDEN "tables/f32_to_e4m3.torch_nosat.u8", qc_f32_to_e4m3},
		{GOLDEN "tables/f32_to_e4m3.saturate.u8", qc_f32_to_e4m3_saturated},
		{GOLDEN "tables/f32_to_e4m3.ggml_ue4m3.u8", qc_f32_to_ue4m3},
	};
	size_t n, size;
	float *x = load_floats(GOLDEN "tables/f32_to_e4m3.in.f32", &n);

	for (size_t t = 0; t < sizeof(tables) / sizeof(tables[0]); t++) {
		uint8_t *want = (uint8_t *)test_load(tables[t].file, &size);

		NEED(size == n, "%s: %zu codes for %zu values", tables[t].file, size, n);
		for (size_t i = 0; i < n; i++)
			CHECK(tables[t].encode(x[i]) == want[i],
			      "%s: %.9g (%08" PRIx32 ") is %02x, not %02x", tables[t].file, x[i],
			      qc_f32_bits(x[i]), tables[t].encode(x[i]), want[i]);
		free(want);
	}
	free(x);
}

static void every_e4m3_rounds_to_itself(void)
{
	for (int c = 0; c < 256; c++) {
		float x = qc_e4m3_to_f32((uint8_t)c);

		if (isnan(x))
			continue;
		CHECK(qc_f32_to_e4m3(x) == c, "%02x: %g becomes %02x", c, x, qc_f32_to_e4m3(x));
	}
}

/* What the blocks of mxfp4 and nvfp4 multiply doubled E2M1 values by. */
static void ggml_scales_decode_as_their_tables(void)
{
	size_t n;
	float *e8m0 = load_floats(GOLDEN "tables/ggml_e8m0_half_decode.f32", &n), *ue4m3, y[64];
	uint8_t mxfp4[17] = {0}, nvfp4[36] = {0};

	NEED(n == 256, "%zu exponents", n);
	ue4m3 = load_floats(GOLDEN "tables/ggml_ue4m3_half_decode.f32", &n);
	NEED(n == 256, "%zu scales", n);
	mxfp4[1] = nvfp4[4] = 0x81; /* -0, then E2M1 .5 = doubled 1: bare scales */
	for (int c = 0; c < 256; c++) {
		mxfp4[0] = nvfp4[0] = (uint8_t)c;
		qc_mxfp4.dequantize(mxfp4, y, 1);
		CHECK(qc_f32_bits(y[0]) == qc_f32_bits(e8m0[c]), "e8m0 %02x is %g, not %g", c, y[0],
		      e8m0[c]);
		CHECK(qc_f32_bits(y[16]) == 0, "e8m0 %02x: code 8 is %g", c, y[16]);
		qc_nvfp4.dequantize(nvfp4, y, 1);
		CHECK(qc_f32_bits(y[0]) == qc_f32_bits(ue4m3[c]), "ue4m3 %02x is %g, not %g", c,
		      y[0], ue4m3[c]);
		CHECK(qc_f32_bits(y[8]) == 0, "ue4m3 %02x: code 8 is %g", c, y[8]);
	}
	free(e8m0);
	free(ue4m3);
}

static void e2m1_ties_go_where_they_should(void)
{
	static const struct {
		float x;
		uint8_t even, down;
	} cases[] = {{0, 0, 0},	    {0.25f, 0, 0}, {0.75f, 2, 1}, {1.25f, 2, 2},
		     {1.75f, 4, 3}, {2.5f, 4, 4},  {3.5f, 6, 5},  {5, 6, 6},
		     {6, 7, 7},	    {1e30f, 7, 7}, {0.26f, 1, 1}, {5.001f, 7, 7}};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		float x = cases[i].x;
		uint8_t even = qc_e2m1_even(x), down = qc_e2m1_down(x);

		CHECK(even == cases[i].even, "%g to even: %u, not %u", x, even, cases[i].even);
		CHECK(down == cases[i].down, "%g down: %u, not %u", x, down, cases[i].down);
		CHECK(qc_e2m1_round(x) == qc_e2m1_to_f32(even), "%g rounds to %g, not %g", x,
		      qc_e2m1_round(x), qc_e2m1_to_f32(even));
		if (x <= 12)
			CHECK(qc_e2m1_ggml(-x, 0.5f) == (down ? down | 8 : 0),
			      "%g as ggml has it: %u", -x, qc_e2m1_ggml(-x, 0.5f));
	}
	for (uint32_t bits = 0x3d000000; bits < 0x41000000; bits += 0x1001) {
		float x = qc_bits_f32(bits);

		CHECK(qc_e2m1_round(x) == qc_e2m1_to_f32(qc_e2m1_even(x)), "%.9g rounds to %g", x,
		      qc_e2m1_round(x));
	}
	CHECK(qc_e2m1_ggml(1, 0) == 0, "a scale of 0 gave code %u", qc_e2m1_ggml(1, 0));
}

/* floorf(log2f()) of glibc: beside powers of two its argument counts as the power once the
 * logarithm's floats are too far apart to tell. */
static void logarithms_round_like_floats(void)
{
	static const struct {
		uint32_t bits;
		int floor, ceil;
	} cases[] = {
		{0x3f800000, 0, 0},	  {0x3f7fffff, -1, 0},	    {0x3f800001, 0, 1},
		{0x3fffffff, 0, 1},	  {0x407fffff, 1, 2},	    {0x40ffffff, 3, 3},
		{0x40fffffe, 2, 3},	  {0x7f7fffff, 128, 128},   {0x7f7fffd4, 128, 128},
		{0x7f7fffd3, 127, 128},	  {0x00000001, -149, -149}, {0x00000003, -148, -147},
		{0x00800000, -126, -126}, {0x007fffff, -126, -126}, {0x42800001, 6, 6},
		{0x42800002, 6, 7},	  {0x42800003, 6, 7},	    {0x3c800000, -6, -6},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		float x = qc_bits_f32(cases[i].bits);

		CHECK(qc_floor_log2(x) == cases[i].floor, "floor of log2 %a is %d, not %d",
		      (double)x, qc_floor_log2(x), cases[i].floor);
		CHECK(qc_ceil_log2(x) == cases[i].ceil, "ceil of log2 %a is %d, not %d", (double)x,
		      qc_ceil_log2(x), cases[i].ceil);
	}
}

int main(void)
{
	e2m1_ties_go_where_they_should();
	e4m3_rounds_as_its_tables();
	every_e4m3_rounds_to_itself();
	ggml_scales_decode_as_their_tables();
	logarithms_round_like_floats();
	mxfp4_layouts_are_the_producers_bytes();
	nvfp4_layouts_are_the_producers_bytes();
	scaled_nvfp4_blocks_are_the_repacked_checkpoint();
	return test_end();
}
