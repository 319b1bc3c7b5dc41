/* Adapters put together for tests, and what comes of them computed in double. */
#ifndef QC_TESTS_LORA_BUILD_H
#define QC_TESTS_LORA_BUILD_H

#include <math.h>

#include "formats/lora.h"
#include "tests/st_build.h"

#define GEMMA "samples/tiny-gemma3"
#define PEFT  "base_model.model."

/* Values that depend on the seed alone, about -1 to 1. */
static inline float *numbers(uint64_t seed, size_t n)
{
	float *values = malloc((n + 1) * sizeof(*values));
	uint64_t state = seed * 2654435761u + 12345;

	NEED(values, "no memory");
	for (size_t i = 0; i < n; i++) {
		state = state * 6364136223846793005u + 1442695040888963407u;
		values[i] = (float)((double)(state >> 40) / (1 << 23) - 1);
	}
	return values;
}

/* A tensor of f32 numbers; `c` 0: a vector, `e` 0: a matrix. */
static inline void add(struct st_build *b, const char *name, uint64_t seed, size_t e, size_t r,
		       size_t c)
{
	const size_t n = (e ? e : 1) * r * (c ? c : 1);
	float *values = numbers(seed, n);
	uint8_t *bytes = malloc(4 * n);
	char shape[64];

	NEED(bytes, "no memory");
	for (size_t i = 0; i < n; i++)
		qc_put_le32(bytes + 4 * i, qc_f32_bits(values[i]));
	if (e)
		snprintf(shape, sizeof(shape), "[%zu,%zu,%zu]", e, r, c);
	else if (c)
		snprintf(shape, sizeof(shape), "[%zu,%zu]", r, c);
	else
		snprintf(shape, sizeof(shape), "[%zu]", r);
	st_add(b, name, "F32", shape, bytes, 4 * n);
	free(bytes);
	free(values);
}

/* The adapter's two files in the test's folder; `fields` follow peft_type. */
static inline void save_adapter(struct st_build *b, const char *fields)
{
	char text[2048];

	st_save(b, "adapter_model.safetensors");
	snprintf(text, sizeof(text), "{\"peft_type\": \"LORA\", %s}", fields);
	st_text("adapter_config.json", text);
}

static inline void open_merged(struct qc_model *model, const char *base, const char *dir,
			       double scale)
{
	struct qc_err err = {0};

	NEED(!qc_model_open(model, base, &err), "%s: %s", base, err.text);
	NEED(!qc_model_apply_lora(model, dir, scale, &err), "%s: %s", dir, err.text);
}

/* Every way to read the rows in pieces gives the same bits; the whole (malloc). */
static inline float *rows_in_any_pieces(const struct qc_tensor *tensor)
{
	const uint64_t rows = tensor->source->rows, cols = tensor->source->cols;
	float *whole = st_rows(tensor, 0, rows);

	for (uint64_t n = 1; n <= rows; n = rows <= 24 ? n + 1 : n * 3 + 1)
		for (uint64_t row = 0; row + n <= rows; row += rows <= 24 ? 1 : n) {
			float *piece = st_rows(tensor, row, n);

			CHECK(!memcmp(piece, whole + row * cols, n * cols * sizeof(float)),
			      "%s: rows %llu to %llu differ from the same rows of the whole",
			      tensor->stored_name, (unsigned long long)row,
			      (unsigned long long)(row + n - 1));
			free(piece);
		}
	return whole;
}

static inline void check_near(const char *what, size_t i, double got, double wanted)
{
	CHECK(fabs(got - wanted) <= 3e-6 * (1 + fabs(wanted)), "%s[%zu]: %.9g, %.9g expected", what,
	      i, got, wanted);
}

/* The sum over k of b[row, k] * a[k, col], in double; *size gets that of the terms' sizes. */
static inline double product_and_size(const float *a, size_t cols, const float *b, size_t rank,
				      size_t row, size_t col, double *size)
{
	double sum = 0;

	*size = 0;
	for (size_t k = 0; k < rank; k++) {
		const double term = (double)b[row * rank + k] * (double)a[k * cols + col];

		sum += term;
		*size += fabs(term);
	}
	return sum;
}

static inline double product(const float *a, size_t cols, const float *b, size_t rank, size_t row,
			     size_t col)
{
	double size;

	return product_and_size(a, cols, b, rank, row, col, &size);
}

/* A model of one matrix, and adapters of it. */
enum { OUT = 11, IN = 37, RANK = 4 };

static inline const char *base_of_one_matrix(const char *name)
{
	struct st_build b = {0};

	add(&b, name, 1, 0, OUT, IN);
	return st_save(&b, "base.safetensors");
}

static inline void add_pair(struct st_build *b, const char *module, size_t out, size_t in,
			    size_t rank)
{
	char name[256];

	snprintf(name, sizeof(name), "%s.lora_A.weight", module);
	add(b, name, 2, 0, rank, in);
	snprintf(name, sizeof(name), "%s.lora_B.weight", module);
	add(b, name, 3, 0, out, rank);
}

#endif
