/*
 * What the searches gain: search_table [MODEL [IMATRIX]]
 *
 * For each type with a search the squared error of the reference's encoding, of the search's, and
 * their ratio, without and with importance, how many blocks got worse (none may), and the matrix
 * or input that gained least. Over all matrices of MODEL, with the importance of IMATRIX where that
 * has one and a made-up one elsewhere; or over the golden inputs. Exits with 1 when a block got
 * worse.
 */
#include <math.h>

#include "base/bytes.h"
#include "calib/imatrix.h"
#include "formats/model.h"
#include "quant/fast.h"
#include "tests/test.h"

enum { MAX_TYPES = 64, MAX_ELEMS = 1 << 16 };

/* Sums over everything seen; what gained least of it. */
struct line {
	double before, after;
	size_t blocks, better, worse;
	double least;
	char where[48];
};

static struct line lines[MAX_TYPES][2];
static struct line now[MAX_TYPES][2]; /* of the input or tensor at hand */
static enum qc_isa isa;
static float values[MAX_ELEMS], weights[MAX_ELEMS], decoded[2][MAX_ELEMS];
static uint8_t packed[2][4 * MAX_ELEMS];
static const float zeros[MAX_ELEMS];
static bool relative; /* each input counts the same; what a format cannot hold is left out */

static double squared_error(const float *x, const float *y, const float *weight, size_t n)
{
	double sum = 0;

	for (size_t i = 0; i < n; i++) {
		double off = (double)x[i] - y[i];

		sum += (weight ? weight[i] : 1) * (off * off);
	}
	return sum;
}

/* rows x cols of `values` in one type. */
static void measure(const struct qc_qtype *type, size_t rows, size_t cols, const float *weight,
		    struct line *line)
{
	size_t elems = type->block_elems, n_blocks = rows * cols / elems;
	double energy = relative ? squared_error(values, zeros, weight, rows * cols) : 1;
	qc_dequantize_fn *dequantize = qc_fast_dequantize(type, isa);

	qc_fast_quantize(type, isa)(values, packed[0], rows, cols, weight);
	qc_fast_search(type, isa)(values, packed[1], rows, cols, weight);
	dequantize(packed[0], decoded[0], n_blocks);
	dequantize(packed[1], decoded[1], n_blocks);
	for (size_t i = 0; i < n_blocks * elems; i += elems) {
		const float *w = weight ? weight + i % cols : NULL;
		double before = squared_error(values + i, decoded[0] + i, w, elems);
		double after = squared_error(values + i, decoded[1] + i, w, elems);

		line->before += isfinite(before) && energy > 0 ? before / energy : 0;
		line->after += isfinite(before) && energy > 0 ? after / energy : 0;
		line->blocks++;
		line->better += after < before;
		line->worse += !(after <= before * (1 + 1e-12) || before != before);
	}
}

static void measure_all(size_t rows, size_t cols, const float *weight)
{
	for (size_t t = 0; qc_qtypes[t]; t++) {
		const struct qc_qtype *type = qc_qtypes[t];

		NEED(t < MAX_TYPES, "more than %d types", MAX_TYPES);
		if (!type->search || cols % type->block_elems)
			continue;
		measure(type, rows, cols, NULL, &now[t][0]);
		measure(type, rows, cols, weight, &now[t][1]);
	}
}

static void add_line(struct line *sum, const struct line *one, const char *name)
{
	double ratio = one->before > 0 ? one->after / one->before : 1;

	sum->before += one->before;
	sum->after += one->after;
	sum->blocks += one->blocks;
	sum->better += one->better;
	sum->worse += one->worse;
	if (one->before > 0 && ratio > sum->least) {
		sum->least = ratio;
		snprintf(sum->where, sizeof(sum->where), "%s", name);
	}
}

/* The input or tensor is through. */
static void end_of(const char *name)
{
	for (size_t t = 0; qc_qtypes[t]; t++)
		for (int weighted = 0; weighted < 2; weighted++)
			add_line(&lines[t][weighted], &now[t][weighted], name);
	memset(now, 0, sizeof(now));
}

static void made_up_weights(size_t cols)
{
	uint32_t state = 1;

	for (size_t i = 0; i < cols; i++) {
		state = state * 1664525 + 1013904223;
		weights[i] = expf((float)(state >> 8) * (4.0f / (1 << 24)));
	}
}

static void table_of_golden_inputs(void)
{
	static const char *const names[] = {"normal", "heavy",	"llm",	"tiny",	 "large", "zeros",
					    "const",  "onehot", "ties", "signs", "grid"};

	relative = true;
	for (size_t k = 0; k < sizeof(names) / sizeof(names[0]); k++) {
		char path[96], *data;
		size_t size;

		snprintf(path, sizeof(path), "tests/data/golden/inputs/%s.f32", names[k]);
		data = test_load(path, &size);
		NEED(size / 4 <= MAX_ELEMS, "%s: %zu bytes", path, size);
		for (size_t i = 0; i < size / 4; i++)
			values[i] = qc_bits_f32(qc_le32(data + 4 * i));
		made_up_weights(size / 4);
		measure_all(1, size / 4, weights);
		end_of(names[k]);
		free(data);
	}
}

static void measure_tensor(const struct qc_tensor *tensor, struct qc_imatrix *im)
{
	const struct qc_source *source = tensor->source;
	uint64_t step = source->cols ? MAX_ELEMS / source->cols : 0;
	struct qc_imatrix_entry *entry = qc_imatrix_find(im, tensor->name);
	struct qc_imatrix_gaps gaps = {0};
	struct qc_scratch scratch = {.size = qc_source_scratch(source, step)};
	struct qc_err err;

	if (source->rows < 2 || step < 1 || source->cols % 32)
		return;
	scratch.base = aligned_alloc(64, (scratch.size + 127) / 64 * 64);
	NEED(scratch.base, "no memory");
	made_up_weights((size_t)source->cols);
	if (entry && entry->n == 1 && entry->cols == source->cols)
		qc_imatrix_weights(entry, 0, weights, &gaps);
	for (uint64_t row = 0; row < source->rows; row += step) {
		uint64_t n = source->rows - row < step ? source->rows - row : step;

		NEED(!qc_source_read_f32(source, row, n, values, &scratch, &err), "%s", err.text);
		measure_all((size_t)n, (size_t)source->cols, weights);
	}
	end_of(tensor->name);
	free(scratch.base);
}

static void table_of_model(const char *path, const char *imatrix)
{
	struct qc_imatrix im = {0};
	struct qc_model model;
	struct qc_err err;

	NEED(!qc_model_open(&model, path, &err), "%s", err.text);
	if (imatrix)
		NEED(!qc_imatrix_read(&im, imatrix, &err), "%s", err.text);
	for (size_t i = 0; i < model.n_tensors; i++)
		measure_tensor(&model.tensors[i], &im);
	qc_imatrix_clear(&im);
	qc_model_close(&model);
}

int main(int argc, char **argv)
{
	size_t worse = 0;

	NEED(qc_isa_detect(&isa), "QCONV_CPU names no level of this CPU");
	if (argc > 1)
		table_of_model(argv[1], argc > 2 ? argv[2] : NULL);
	else
		table_of_golden_inputs();
	printf("%-8s %-10s %12s %12s %7s %7s %6s  %s\n", "type", "", "reference", "search", "ratio",
	       "better", "worse", "least gain");
	for (size_t t = 0; qc_qtypes[t]; t++) {
		for (int weighted = 0; weighted < 2; weighted++) {
			const struct line *l = &lines[t][weighted];

			if (!l->blocks)
				continue;
			printf("%-8s %-10s %12.5g %12.5g %7.4f %6.1f%% %6zu  %.4f %s\n",
			       qc_qtypes[t]->name, weighted ? "importance" : "plain", l->before,
			       l->after, l->after / l->before,
			       100 * (double)l->better / (double)l->blocks, l->worse, l->least,
			       l->where);
			worse += l->worse;
		}
	}
	return worse != 0;
}
