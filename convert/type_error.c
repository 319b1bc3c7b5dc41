#include "convert/type_error.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "convert/encode.h"

enum { ROWS = 16, COLS = 1024, ELEMS = ROWS * COLS, OUTLIERS = 64 };
#define MEASURE_SECONDS 0.02

struct bench {
	const struct qc_qtype *type;
	float *x, *decoded, *ones;
	uint8_t *blocks;
};

static uint64_t next(uint64_t *state)
{
	uint64_t z = *state += 0x9E3779B97F4A7C15;

	z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9;
	z = (z ^ z >> 27) * 0x94D049BB133111EB;
	return z ^ z >> 31;
}

/* Twelve fields of 16 bits summed; all numbers are exact in f32. */
static void fill(float *x)
{
	uint64_t state = 1;

	for (int i = 0; i < ELEMS; i++) {
		int sum = -6 * 0xffff;

		for (int k = 0; k < 3; k++) {
			uint64_t z = next(&state);

			sum += (int)((z & 0xffff) + (z >> 16 & 0xffff) + (z >> 32 & 0xffff) +
				     (z >> 48));
		}
		x[i] = (float)sum * 0x1p-21f * (float)(1 + i / COLS % 4);
		if (i % OUTLIERS == OUTLIERS / 2)
			x[i] *= 4;
	}
}

static void bench_clear(struct bench *b)
{
	free(b->x);
	free(b->decoded);
	free(b->ones);
	free(b->blocks);
}

static enum qc_status bench_init(struct bench *b, const struct qc_qtype *type, struct qc_err *err)
{
	uint64_t bytes = 0;

	memset(b, 0, sizeof(*b));
	b->type = type;
	b->x = qc_aligned_buffer(ELEMS * sizeof(float));
	b->decoded = qc_aligned_buffer(ELEMS * sizeof(float));
	b->ones = qc_aligned_buffer(COLS * sizeof(float));
	if (qc_qtype_bytes(type, ELEMS, &bytes))
		b->blocks = qc_aligned_buffer((size_t)bytes);
	if (!b->x || !b->decoded || !b->ones || !b->blocks) {
		bench_clear(b);
		return qc_no_memory(err);
	}
	fill(b->x);
	for (int i = 0; i < COLS; i++)
		b->ones[i] = 1;
	return QC_OK;
}

static void encode(const struct bench *b, qc_quantize_fn *quantize)
{
	quantize(b->x, b->blocks, ROWS, COLS, b->type->needs_imatrix ? b->ones : NULL);
}

static double relative_error(const struct bench *b, qc_quantize_fn *quantize, enum qc_isa isa)
{
	double sum = 0, squares = 0;

	encode(b, quantize);
	qc_fast_dequantize(b->type, isa)(b->blocks, b->decoded, ELEMS / b->type->block_elems);
	for (int i = 0; i < ELEMS; i++) {
		double x = b->x[i], diff = x - b->decoded[i];

		sum += diff * diff;
		squares += x * x;
	}
	return sqrt(sum / squares);
}

enum qc_status qc_type_error(const struct qc_qtype *type, enum qc_isa isa,
			     struct qc_type_error *error, struct qc_err *err)
{
	struct bench b;

	if (bench_init(&b, type, err))
		return err->status;
	error->reference = relative_error(&b, qc_fast_quantize(type, isa), isa);
	error->search = error->reference;
	if (type->search)
		error->search = relative_error(&b, qc_fast_search(type, isa), isa);
	bench_clear(&b);
	return QC_OK;
}

/* The fastest of the runs that fit: what else the machine does only adds. */
static double fastest(const struct bench *b, qc_quantize_fn *quantize, qc_dequantize_fn *dequantize)
{
	double start = qc_thread_seconds(), best = INFINITY, before = start, after;

	do {
		if (quantize)
			encode(b, quantize);
		else
			dequantize(b->blocks, b->decoded, ELEMS / b->type->block_elems);
		after = qc_thread_seconds();
		best = after - before < best ? after - before : best;
		before = after;
	} while (after - start < MEASURE_SECONDS);
	return best * 1e9 / ELEMS;
}

enum qc_status qc_type_speed(const struct qc_qtype *type, enum qc_isa isa,
			     struct qc_type_speed *speed, struct qc_err *err)
{
	struct bench b;

	if (bench_init(&b, type, err))
		return err->status;
	speed->reference = fastest(&b, qc_fast_quantize(type, isa), NULL);
	speed->search =
		type->search ? fastest(&b, qc_fast_search(type, isa), NULL) : speed->reference;
	speed->decode = fastest(&b, NULL, qc_fast_dequantize(type, isa));
	bench_clear(&b);
	return QC_OK;
}
