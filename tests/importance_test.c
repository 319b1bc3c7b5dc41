/*
 * Weights of importance on their way into the encoders: the errors that they weigh get smaller in
 * every kind of output, and files of another model are refused.
 */
#include <math.h>

#include "calib/imatrix.h"
#include "convert/qconv.h"
#include "tests/st_files.h"

#define MODEL(name) "tests/data/models/" name

static void open_canonical(struct qc_model *model, const char *path)
{
	struct qc_err err = {0};

	memset(model, 0, sizeof(*model));
	NEED(!qc_model_open(model, path, &err), "%s", err.text);
	NEED(!qc_model_set_layout(model, QC_LAYOUT_GGUF, &err), "%s", err.text);
}

/* Weights that differ by channel and by expert, from 1/64 to 64, for all matrices of the blocks. */
static void make_imatrix(const char *model_path, struct qc_imatrix *im, const char *path)
{
	struct qc_model model;
	struct qc_err err = {0};
	uint32_t state = 1;
	uint8_t *bytes;
	size_t size;
	FILE *f;

	open_canonical(&model, model_path);
	for (size_t i = 0; i < model.n_tensors; i++) {
		const struct qc_tensor *t = &model.tensors[i];
		struct qc_imatrix_entry *e;

		if (t->layer < 0 || t->n_dims < 2)
			continue;
		NEED(!qc_imatrix_add(im, t->name, t->dims[0], t->n_dims > 2 ? t->dims[2] : 1, false,
				     &e, &err),
		     "%s", err.text);
		for (uint64_t k = 0; k < e->n * e->cols; k++) {
			state = state * 1664525 + 1013904223;
			e->sums[k] = ldexpf(10, (int)(state >> 28) % 13 - 6);
		}
		for (uint64_t m = 0; m < e->n; m++)
			e->counts[m] = 10;
		/* gate and up have one input */
		if (strstr(t->name, "ffn_up_exps")) {
			const struct qc_imatrix_entry *gate = &im->entries[im->n_entries - 2];

			NEED(strstr(gate->name, "ffn_gate_exps"), "%s", gate->name);
			memcpy(e->sums, gate->sums, e->n * e->cols * sizeof(*e->sums));
		}
	}
	im->chunk_size = 1;
	NEED(!qc_imatrix_bytes(im, QC_IMATRIX_GGUF, &bytes, &size, &err), "%s", err.text);
	f = fopen(path, "wb");
	NEED(f && fwrite(bytes, 1, size, f) == size && !fclose(f), "cannot write %s", path);
	free(bytes);
	qc_model_close(&model);
}

static float *values_of(const struct qc_tensor *t)
{
	struct qc_scratch scratch = {.size = qc_source_scratch(t->source, t->source->rows)};
	float *x = malloc(t->source->rows * t->source->cols * sizeof(*x));
	struct qc_err err = {0};

	scratch.base = aligned_alloc(64, (scratch.size + 64) & ~(size_t)63);
	NEED(x && scratch.base, "no memory");
	NEED(!qc_source_read_f32(t->source, 0, t->source->rows, x, &scratch, &err), "%s", err.text);
	free(scratch.base);
	return x;
}

/* The weighted squared error of a tensor. */
static double tensor_error(const struct qc_tensor *a, const struct qc_tensor *b,
			   const struct qc_imatrix_entry *e)
{
	const uint64_t cols = a->dims[0], rows = a->source->rows, per_matrix = rows / e->n;
	float *x = values_of(a), *y = values_of(b);
	double sum = 0;

	for (uint64_t r = 0; r < rows; r++)
		for (uint64_t c = 0; c < cols; c++) {
			const double d = (double)x[r * cols + c] - y[r * cols + c];

			sum += (double)e->sums[r / per_matrix * cols + c] * d * d;
		}
	free(x);
	free(y);
	return sum;
}

/* Errors of all tensors of an output, under the names of the entries; -1 where it has none. */
static double *errors(const char *source, const char *output, const struct qc_imatrix *im)
{
	double *list = malloc(im->n_entries * sizeof(*list));
	struct qc_model a, b;

	NEED(list, "no memory");
	open_canonical(&a, source);
	open_canonical(&b, output);
	for (size_t i = 0; i < im->n_entries; i++) {
		const struct qc_tensor *x = qc_model_find(&a, im->entries[i].name);
		const struct qc_tensor *y = qc_model_find(&b, im->entries[i].name);

		NEED(x && y, "%s: no '%s'", output, im->entries[i].name);
		list[i] = tensor_error(x, y, &im->entries[i]);
	}
	qc_model_close(&a);
	qc_model_close(&b);
	return list;
}

static void convert(const char *input, const char *output, struct qconv_options options)
{
	struct qconv_error error = {0};

	options.force = true;
	NEED(!qconv_convert(input, output, &options, NULL, &error), "%s: %s", output, error.text);
}

static const struct {
	const char *model, *quant, *method, *layout;
	bool directory, double_quant;
} cases[] = {
	{"samples/tiny-gemma3", "q4_0", "reference", NULL, false, false},
	{"samples/tiny-gemma3", "q4_0", "search", NULL, false, false},
	{"samples/tiny-gemma3", "q4_k_m", "reference", NULL, false, false},
	{"samples/tiny-gemma3", "nvfp4", "search", NULL, false, false},
	{"samples/tiny-gemma3", "nf4", "search", NULL, true, false},
	{"samples/tiny-gemma3", "nf4", "search", NULL, true, true},
	{"samples/tiny-gemma3", "fp4", "search", NULL, true, false},
	{"samples/tiny-gemma3", "nvfp4", "search", "modelopt", true, false},
	{"samples/tiny-gemma3", "nvfp4", "search", "compressed-tensors", true, false},
	{"samples/tiny-gemma3", "mxfp4", "search", "compressed-tensors", true, false},
	{MODEL("tiny-gpt-oss-bf16"), "q4_0", "search", NULL, false, false},
	{MODEL("tiny-gpt-oss-bf16"), "q4_1", "reference", NULL, false, false},
	{MODEL("tiny-gpt-oss-bf16"), "mxfp4_moe", "search", NULL, false, false},
	{MODEL("tiny-gpt-oss-bf16"), "mxfp4", "search", "gpt-oss", true, false},
	{MODEL("tiny-gpt-oss-bf16"), "nvfp4", "search", "modelopt", true, false},
};

static void every_output_weighs_its_errors(void)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		const char *imatrix = st_path("im.gguf");
		const char *out = st_path(cases[i].directory ? "out" : "out.gguf");
		struct qconv_options options = {.quant = cases[i].quant,
						.method = cases[i].method,
						.layout = cases[i].layout,
						.double_quant = cases[i].double_quant,
						.pure = !cases[i].directory};
		struct qc_imatrix im = {0};
		double *plain, *weighted, sums[2] = {0, 0};
		size_t n_better = 0, n_worse = 0;

		make_imatrix(cases[i].model, &im, imatrix);
		if (!strcmp(cases[i].quant, "mxfp4_moe"))
			options.pure = false;
		convert(cases[i].model, out, options);
		plain = errors(cases[i].model, out, &im);
		options.imatrix = imatrix;
		convert(cases[i].model, out, options);
		weighted = errors(cases[i].model, out, &im);
		for (size_t k = 0; k < im.n_entries; k++) {
			sums[0] += plain[k];
			sums[1] += weighted[k];
			n_better += weighted[k] < plain[k];
			n_worse += weighted[k] > plain[k];
		}
		CHECK(n_better > n_worse && n_better >= 8 && n_worse <= n_better / 10,
		      "%s, %s, %s, %s: %zu tensors better, %zu worse", cases[i].model,
		      cases[i].quant, cases[i].method, cases[i].layout ? cases[i].layout : "-",
		      n_better, n_worse);
		CHECK(sums[1] < 0.97 * sums[0], "%s, %s, %s, %s: weighted error %g, %g without",
		      cases[i].model, cases[i].quant, cases[i].method,
		      cases[i].layout ? cases[i].layout : "-", sums[1], sums[0]);
		printf("%-32s %-10s %-10s %-18s %.4f\n", cases[i].model, cases[i].quant,
		       cases[i].method, cases[i].layout ? cases[i].layout : "-", sums[1] / sums[0]);
		free(plain);
		free(weighted);
		qc_imatrix_clear(&im);
		if (cases[i].directory)
			st_remove_dir(out);
	}
}

static void other_models_are_refused(void)
{
	static const struct {
		const char *of, *to, *words, *part;
	} others[] = {
		{"samples/tiny-gemma3", MODEL("tiny-llama"), "blocks 0 to 3", NULL},
		{MODEL("tiny-gemma4"), "samples/tiny-gemma3", "blk.0.inp_gate.weight", NULL},
		{MODEL("tiny-gemma4"), "samples/tiny-gemma3", "the tensor needs 1 x 768",
		 "ffn_down"},
	};

	for (size_t i = 0; i < 3; i++) {
		const char *path = st_path("im.gguf");
		struct qconv_options options = {.quant = "q4_0",
						.imatrix = path,
						.included = &others[i].part,
						.n_included = others[i].part ? 1 : 0,
						.no_manifest = true,
						.force = true};
		struct qconv_error error = {0};
		struct qc_imatrix im = {0};

		make_imatrix(others[i].of, &im, path);
		CHECK(qconv_convert(others[i].to, st_path("refused.gguf"), &options, NULL,
				    &error) == QCONV_FAILED &&
			      strstr(error.text, others[i].words) && strstr(error.text, path),
		      "%s to %s: %s", others[i].of, others[i].to, error.text);
		CHECK(access(st_path("refused.gguf"), F_OK), "an output of %s is there",
		      others[i].to);
		qc_imatrix_clear(&im);
	}
}

static void the_file_says_what_weighted_it(void)
{
	const struct {
		const char *key;
		const char *text;
		uint32_t number;
	} keys[] = {
		{"quantize.imatrix.file", "tests/data/goldens/tiny-gemma3.imatrix.gguf", 0},
		{"quantize.imatrix.dataset", "generated-heldout.txt", 0},
		{"quantize.imatrix.entries_count", NULL, 43},
		{"quantize.imatrix.chunks_count", NULL, 8},
	};
	struct qc_model model;

	convert("samples/tiny-gemma3", st_path("out.gguf"),
		(struct qconv_options){.quant = "iq4_xs", .imatrix = keys[0].text});
	open_canonical(&model, st_path("out.gguf"));
	for (size_t i = 0; i < 4; i++) {
		const char *text = "";
		size_t len = 0;
		uint32_t number = 0;

		if (keys[i].text)
			CHECK(qc_meta_string(&model.meta, keys[i].key, &text, &len) &&
				      len == strlen(keys[i].text) &&
				      !memcmp(text, keys[i].text, len),
			      "%s: %.*s", keys[i].key, (int)len, text);
		else
			CHECK(qc_meta_u32(&model.meta, keys[i].key, &number) &&
				      number == keys[i].number,
			      "%s: %u", keys[i].key, number);
	}
	qc_model_close(&model);
}

int main(void)
{
	st_begin();
	every_output_weighs_its_errors();
	other_models_are_refused();
	the_file_says_what_weighted_it();
	st_end();
	return test_end();
}
