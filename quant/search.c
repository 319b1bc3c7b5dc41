/* The loop that lets a search replace the reference's blocks. */
#include "quant/search.h"

#include <math.h>
#include <string.h>

#define ONES8 1, 1, 1, 1, 1, 1, 1, 1

const float qc_ones[QC_SEARCH_MAX] = {ONES8, ONES8, ONES8, ONES8, ONES8, ONES8, ONES8, ONES8};

enum { MAX_BYTES = 64 }; /* of a block */

double qc_squared_error(const float *x, const float *y, const float *weight, size_t n)
{
	double sums[8] = {0}, sum = 0;

	for (size_t i = 0; i < n; i++) {
		double error = (double)x[i] - y[i];

		sums[i % 8] += weight[i] * (error * error);
	}
	for (int i = 0; i < 8; i++)
		sum += sums[i];
	return sum;
}

static double block_error(const struct qc_qtype *type, const float *x, const float *weight,
			  const uint8_t *block)
{
	float y[QC_SEARCH_MAX];

	if (type->check && type->check(block, 1) == 0)
		return NAN;
	type->dequantize(block, y, 1);
	return qc_squared_error(x, y, weight, type->block_elems);
}

static void search_block(const struct qc_qtype *type, qc_propose_fn *propose, const float *x,
			 const float *weight, uint8_t *block)
{
	uint8_t trial[MAX_BYTES];

	if (propose(x, weight, trial) && qc_error_below(block_error(type, x, weight, trial),
							block_error(type, x, weight, block)))
		memcpy(block, trial, type->block_bytes);
}

void qc_search_blocks(const struct qc_qtype *type, qc_propose_fn *propose, const float *x,
		      void *dst, size_t rows, size_t cols, const float *weight)
{
	uint8_t *block = dst;

	type->quantize(x, dst, rows, cols, weight);
	for (size_t row = 0; row < rows; row++) {
		for (size_t col = 0; col < cols; col += type->block_elems) {
			search_block(type, propose, x, weight ? weight + col : qc_ones, block);
			x += type->block_elems;
			block += type->block_bytes;
		}
	}
}
