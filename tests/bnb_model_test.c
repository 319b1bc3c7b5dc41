/* bitsandbytes checkpoints as a whole: which are refused and what is said, and a real model from
 * its quantized form to GGUF. */
#include <time.h>

#include "convert/qconv.h"
#include "quant/half.h"
#include "quant/types.h"

#include "tests/bnb_weight.h"
#include "tests/sha256.h"

#define BADFILES "tests/data/badfiles/"
#define MODEL	 "tests/data/models/tiny-gemma3-bnb-nf4"

/* Convert a file of the test's folder or of the tree; with the error's text. */
static int convert(const char *input, const char *output, const char *quant,
		   struct qconv_error *error)
{
	struct qconv_options options = {.quant = quant, .force = true};

	*error = (struct qconv_error){.code = 0};
	return qconv_convert(input, output, &options, NULL, error);
}

/*
 * The malformed and odd files.
 */
static void check_verdict(const char *name, bool accept)
{
	char path[256];
	const char *output = st_path("verdict.gguf");
	struct qconv_error error;
	clock_t start = clock();
	int code;
	double ms;

	snprintf(path, sizeof(path), BADFILES "%s", name);
	code = convert(path, output, NULL, &error);
	ms = (double)(clock() - start) * 1e3 / CLOCKS_PER_SEC;
	CHECK(code == (accept ? QCONV_DONE : QCONV_FAILED), "%s: code %d %s", name, code,
	      error.text);
	CHECK(accept == !access(output, F_OK), "%s: output %s", name, accept ? "missing" : "left");
	CHECK(accept || (strstr(error.text, path) && strstr(error.text, "l.weight")),
	      "%s: '%s' does not name file and tensor", name, error.text);
	CHECK(accept || ms < 100, "%s: %.0f ms", name, ms);
	if (accept)
		NEED(!unlink(output), "cannot remove %s", output);
}

static void malformed_files_get_their_verdicts(void)
{
	char *text = test_load(BADFILES "manifest.tsv", NULL), *at = text, *line;
	unsigned n = 0;

	while ((line = strsep(&at, "\n")) && *line) {
		char name[128], format[32], expect[16];

		NEED(sscanf(line, "%127s %31s %15s", name, format, expect) == 3, "manifest.tsv");
		if (strcmp(format, "bnb4"))
			continue;
		check_verdict(name, !strcmp(expect, "accept"));
		n++;
	}
	CHECK(n == 24, "%u files", n);
	free(text);
}

static void a_scale_that_is_not_finite_stops_the_conversion(void)
{
	struct bnb_weight w = bnb_random("nf4", "[17, 31]", 527, 64, 0);
	struct st_build b = {0};
	struct qconv_error error;
	const char *output = st_path("nan.gguf");

	w.absmax[7] = qc_bits_f32(0x7f800000);
	memset(w.codes + 224, 0xff, 32); /* times 1, not times 0 */
	bnb_add(&b, "l.weight", &w);
	CHECK(convert(st_save(&b, "inf.safetensors"), output, NULL, &error) == QCONV_FAILED,
	      "accepted");
	/* element 448 is the first of block 7 */
	CHECK(strstr(error.text, "l.weight") && strstr(error.text, "row 14, column 14 is inf"),
	      "'%s'", error.text);
	CHECK(access(output, F_OK), "an output was left");
	bnb_free(&w);
}

/*
 * The sample model: what was dequantized by an independent program, value for value.
 */

/* The bf16 bytes of a weight of the folded model. */
static uint8_t *as_bf16(const struct qc_tensor *tensor)
{
	uint64_t n = qc_tensor_elems(tensor);
	float *values = st_rows(tensor, 0, tensor->source->rows);
	uint8_t *bytes = malloc(2 * n);

	NEED(bytes, "no memory");
	for (uint64_t i = 0; i < n; i++)
		qc_put_le16(bytes + 2 * i, qc_f32_to_bf16(values[i]));
	free(values);
	return bytes;
}

/* The names of the weights and the SHA-256 of their bf16 bytes. */
static void check_sums(const struct qc_model *model, const struct qc_model *gguf)
{
	char *text = test_load(BNB_GOLDEN "tiny-gemma3-bnb-nf4.bf16.sha256", NULL), *at = text,
	     *line;
	unsigned n = 0;

	while ((line = strsep(&at, "\n")) && *line) {
		const struct qc_tensor *tensor = st_tensor(model, line + 66);
		const struct qc_tensor *written = qc_model_find(gguf, tensor->name);
		uint8_t *bytes = as_bf16(tensor), *raw;
		char hex[65];
		size_t size;

		sha256_of(bytes, 2 * qc_tensor_elems(tensor), hex);
		CHECK(!strncmp(hex, line, 64), "%s: %s, not %.64s", tensor->name, hex, line);
		CHECK(tensor->encoding && tensor->source->type == &qc_bf16, "%s: %s", tensor->name,
		      tensor->source->type->name);
		NEED(written, "no %s in the output", tensor->name);
		CHECK(written->source->type == &qc_bf16, "%s: %s", written->name,
		      written->source->type->name);
		raw = st_raw(written, &size);
		CHECK(size == 2 * qc_tensor_elems(tensor) && !memcmp(raw, bytes, size),
		      "%s: other bytes in the output", tensor->name);
		free(raw);
		free(bytes);
		n++;
	}
	CHECK(n == 42, "%u weights", n);
	free(text);
}

static void a_quantized_model_converts_to_its_original_type(void)
{
	static const char *const quants[] = {NULL, "bf16"}; /* its own precision is bf16 */
	struct qc_model model, gguf;
	struct qconv_error error;

	for (size_t i = 0; i < 2; i++) {
		const char *output = st_path("model.gguf");

		CHECK(!convert(MODEL, output, quants[i], &error), "%s", error.text);
		if (!st_opens(&model, MODEL))
			continue;
		CHECK(model.arch && model.n_tensors == 80, "%zu tensors", model.n_tensors);
		if (st_opens(&gguf, output)) {
			check_sums(&model, &gguf);
			qc_model_close(&gguf);
		}
		qc_model_close(&model);
	}
}

static void a_quantized_model_converts_to_any_other(void)
{
	static const char *const quants[] = {"q4_0", "q8_0", "q4_k_m", "f32"};
	struct qc_model model, gguf;
	struct qconv_error error;
	const struct qc_tensor *from, *to;

	NEED(st_opens(&model, MODEL), "cannot go on");
	from = qc_model_find(&model, "blk.3.ffn_up.weight");
	NEED(from, "no such weight");
	for (size_t i = 0; i < sizeof(quants) / sizeof(quants[0]); i++) {
		const char *output = st_path("other.gguf");
		double error_sum = 0, sum = 0;
		float *a, *b;

		CHECK(!convert(MODEL, output, quants[i], &error), "%s: %s", quants[i], error.text);
		if (!st_opens(&gguf, output))
			continue;
		to = qc_model_find(&gguf, from->name);
		NEED(to && to->source->rows == from->source->rows, "%s", quants[i]);
		a = st_rows(from, 0, from->source->rows);
		b = st_rows(to, 0, to->source->rows);
		for (uint64_t j = 0; j < qc_tensor_elems(from); j++) {
			error_sum += (double)(a[j] - b[j]) * (double)(a[j] - b[j]);
			sum += (double)a[j] * (double)a[j];
		}
		/* f32 holds the products exactly */
		CHECK(strcmp(quants[i], "f32") ? error_sum < 0.02 * sum : error_sum == 0,
		      "%s: relative error %g", quants[i], error_sum / sum);
		free(a);
		free(b);
		qc_model_close(&gguf);
	}
	qc_model_close(&model);
}

int main(void)
{
	st_begin();
	malformed_files_get_their_verdicts();
	a_scale_that_is_not_finite_stops_the_conversion();
	a_quantized_model_converts_to_its_original_type();
	a_quantized_model_converts_to_any_other();
	st_end();
	return test_end();
}
