/* A weight's rows as floats, decoded from whatever the file has, on several threads. */
#include "calib/graph.h"

#include <stdlib.h>
#include <string.h>

#include "quant/fast.h"
#include "quant/types.h"

#ifdef __clang__ /* warns where sanitizers keep a simd loop from being one */
#pragma clang diagnostic ignored "-Wpass-failed"
#endif

/* Decoded at a time by one thread: enough to be worth a read, small beside what the weights take.
 */
enum { FLOATS_AT_A_TIME = 1 << 18 };

struct reading {
	const struct qc_tensor *tensor;
	uint64_t row, n, step; /* rows of the source */
	float *dst;
	qc_dequantize_fn *decode; /* of its raw rows; NULL: it has none that need it */
	uint64_t failed_at;	  /* the lowest row that could not be read; UINT64_MAX */
	struct qc_err err;
};

static void note_failure(struct reading *reading, uint64_t row, const struct qc_err *err)
{
#pragma omp critical(qc_weight_failure)
	if (row < reading->failed_at) {
		reading->failed_at = row;
		reading->err = *err;
	}
}

/* Whether all are finite: no exponent of only ones. */
static bool all_finite(const float *x, uint64_t n)
{
	uint32_t worst = 0;

#pragma omp simd reduction(max : worst)
	for (uint64_t i = 0; i < n; i++) {
		uint32_t bits;

		memcpy(&bits, x + i, sizeof(bits));
		bits &= 0x7f800000;
		worst = bits > worst ? bits : worst;
	}
	return worst != 0x7f800000;
}

static uint64_t raw_bytes(const struct qc_source *source, uint64_t n)
{
	return n * source->cols / source->type->block_elems * source->type->block_bytes;
}

/* Raw rows by the decoder of this CPU, others as the source makes them. */
static enum qc_status decode_block(const struct reading *reading, uint64_t row, uint64_t n,
				   float *dst, struct qc_scratch *scratch, struct qc_err *err)
{
	const struct qc_source *source = reading->tensor->source;
	const size_t before = scratch->used;
	enum qc_status s;
	void *raw;

	if (!reading->decode)
		return qc_source_read_f32(source, row, n, dst, scratch, err);
	raw = qc_scratch_take(scratch, raw_bytes(source, n));
	s = qc_source_read_raw(source, row, n, raw, scratch, err);
	if (!s)
		reading->decode(raw, dst, n * source->cols / source->type->block_elems);
	qc_scratch_give(scratch, before);
	return s;
}

static enum qc_status read_block(struct reading *reading, uint64_t at, struct qc_scratch *scratch,
				 struct qc_err *err)
{
	const struct qc_source *source = reading->tensor->source;
	const uint64_t n = reading->n - at < reading->step ? reading->n - at : reading->step;
	float *dst = reading->dst + at * source->cols;
	enum qc_status s = decode_block(reading, reading->row + at, n, dst, scratch, err);

	if (!s && !all_finite(dst, n * source->cols))
		s = qc_fail(err, QC_BAD_INPUT, "NaN or infinite values in rows %llu to %llu",
			    (unsigned long long)(reading->row + at),
			    (unsigned long long)(reading->row + at + n - 1));
	return s;
}

static void read_blocks(struct reading *reading, int threads)
{
	const uint64_t n_blocks = (reading->n + reading->step - 1) / reading->step;
	const struct qc_source *source = reading->tensor->source;
	const size_t size =
		qc_source_scratch(source, reading->step) +
		(reading->decode ? qc_scratch_need(raw_bytes(source, reading->step)) : 0);

#pragma omp parallel num_threads(threads)
	{
		struct qc_err err = {0};
		struct qc_scratch scratch = {aligned_alloc(64, (size + 127) / 64 * 64), size, 0};

		if (!scratch.base) {
			(void)!qc_no_memory(&err);
			note_failure(reading, 0, &err);
		}
#pragma omp for schedule(dynamic)
		for (uint64_t i = 0; i < n_blocks; i++)
			if (scratch.base && read_block(reading, i * reading->step, &scratch, &err))
				note_failure(reading, i * reading->step, &err);
		free(scratch.base);
	}
}

enum qc_status qc_tensor_read(const struct qc_tensor *tensor, uint64_t row, uint64_t n, float *dst,
			      int threads, struct qc_err *err)
{
	const struct qc_source *source = tensor->source;
	const uint64_t group = source->row_group ? source->row_group : 1;
	struct reading reading = {
		.tensor = tensor, .row = row, .n = n, .dst = dst, .failed_at = UINT64_MAX};
	enum qc_isa isa;

	(void)qc_isa_detect(&isa); /* what it does not know was refused at the start */
	if (qc_tensor_has_raw(tensor) && source->type != &qc_f32)
		reading.decode = qc_fast_dequantize(source->type, isa);
	reading.step = FLOATS_AT_A_TIME / (source->cols ? source->cols : 1);
	reading.step = reading.step < group ? group : reading.step / group * group;
	if (reading.step > n)
		reading.step = n;
	if (!n)
		return QC_OK;
	read_blocks(&reading, n > reading.step ? threads : 1);
	if (reading.failed_at == UINT64_MAX)
		return QC_OK;
	*err = reading.err;
	return qc_fail_in(err, "tensor '%.160s'", tensor->stored_name);
}

enum qc_status qc_weight_read(const struct qc_weight *weight, uint64_t index, float *dst,
			      int threads, struct qc_err *err)
{
	const uint64_t n = weight->tensor->source->rows / weight->count;

	return qc_tensor_read(weight->tensor, index * n, n, dst, threads, err);
}
