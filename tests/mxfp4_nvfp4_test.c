/* MXFP4 that becomes NVFP4 in a safetensors file: the same values where E4M3 has the exponents. */
#include "convert/check.h"
#include "convert/qconv.h"
#include "tests/st_build.h"

#define Q "m.self_attn.q_proj"
#define K "m.self_attn.k_proj"

enum { COLS = 128, GROUPS = COLS / 32 };

/* A matrix whose groups have these exponents in turn; codes are all there are. */
static void add(struct st_build *b, const char *module, unsigned rows, const uint8_t *exponents,
		size_t n)
{
	uint8_t codes[8 * COLS / 2], scales[8 * GROUPS];
	char name[100], shape[40];

	for (unsigned i = 0; i < rows * COLS / 2; i++)
		codes[i] = exponents[i / 16 % n] ? (uint8_t)(i * 37) : 0x80;
	for (unsigned i = 0; i < rows * GROUPS; i++)
		scales[i] = exponents[i % n];
	snprintf(name, sizeof(name), "%s.weight_packed", module);
	snprintf(shape, sizeof(shape), "[%u,%d]", rows, COLS / 2);
	st_add(b, name, "U8", shape, codes, rows * COLS / 2);
	snprintf(name, sizeof(name), "%s.weight_scale", module);
	snprintf(shape, sizeof(shape), "[%u,%d]", rows, GROUPS);
	st_add(b, name, "U8", shape, scales, rows * GROUPS);
}

static void converts(const char *input, const char *output, const char *quant, const char *layout)
{
	const struct qconv_options options = {.quant = quant, .layout = layout, .force = true};
	struct qconv_error error = {0};
	int code = qconv_convert(st_path(input), st_path(output), &options, NULL, &error);

	NEED(code == QCONV_DONE, "%s to %s: %d '%s'", input, output, code, error.text);
}

/* Every value is, but for the sign of zeros. */
static bool same(const char *path, const char *against)
{
	const struct qconv_options options = {0};
	struct qc_check_report report;
	struct qc_err err = {0};
	enum qc_status s = qc_check(&report, st_path(path), st_path(against), &options, &err);
	bool equal;

	NEED(!s, "%s against %s: %s", path, against, err.text);
	CHECK(report.n_errors == 2, "%zu tensors", report.n_errors);
	equal = report.n_exact == 2;
	qc_check_report_clear(&report);
	return equal;
}

static void check(const char *what, const uint8_t *q, size_t n_q, const uint8_t *k, size_t n_k,
		  bool exact)
{
	static const char *const layouts[] = {"modelopt", "compressed-tensors"};
	struct st_build b = {0};

	add(&b, Q, 8, q, n_q);
	add(&b, K, 4, k, n_k);
	st_save(&b, "mx.safetensors");
	for (size_t i = 0; i < 2; i++) {
		converts("mx.safetensors", "nv.safetensors", "nvfp4", layouts[i]);
		CHECK(same("nv.safetensors", "mx.safetensors") == exact, "%s, %s: %s", what,
		      layouts[i], exact ? "other values" : "nothing was rounded");
		/* and on to the other layout */
		converts("nv.safetensors", "nv2.safetensors", "nvfp4", layouts[1 - i]);
		CHECK(same("nv2.safetensors", "nv.safetensors"), "%s: %s, moved on", what,
		      layouts[i]);
	}
}

#define CHECK_EXPONENTS(what, exact, q, k) check(what, q, sizeof(q), k, sizeof(k), exact)

int main(void)
{
	static const uint8_t one[] = {120}, near[] = {120, 103, 110, 119}, far[] = {120, 102},
			     small[] = {1, 18, 5}, below[] = {103, 104}, none[] = {0},
			     large[] = {240, 230}, lower[] = {102, 100};

	st_begin();
	CHECK_EXPONENTS("one exponent", true, one, one);
	CHECK_EXPONENTS("eighteen of them", true, near, below);
	CHECK_EXPONENTS("nineteen", false, far, one);
	CHECK_EXPONENTS("nineteen in layers that are one", false, one, lower);
	CHECK_EXPONENTS("the smallest", true, small, small);
	CHECK_EXPONENTS("large ones", true, large, large);
	CHECK_EXPONENTS("zeros", true, none, none);
	CHECK_EXPONENTS("zeros beside others", true, near, none);
	st_end();
	return test_end();
}
