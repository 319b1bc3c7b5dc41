/* Random rows and blocks of the quant types, for tests. */
#ifndef QC_TESTS_QUANT_ROWS_H
#define QC_TESTS_QUANT_ROWS_H

#include "quant/qtype.h"

enum { ROWS = 4, COLS = 1024, ELEMS = ROWS * COLS, MAX_BYTES = ELEMS * 8 };

/* What encode() takes. */
static float values[ELEMS], importance[COLS];

static uint64_t random_state;

static inline uint32_t random32(void)
{
	random_state = random_state * 6364136223846793005 + 1442695040888963407;
	return (uint32_t)(random_state >> 32);
}

/* -1 .. 1 */
static inline float random_unit(void)
{
	return (float)((int32_t)(random32() >> 7) - 0x1000000) * 0x1p-24f;
}

static inline void fill_random(uint64_t seed)
{
	random_state = seed;
	for (int i = 0; i < ELEMS; i++)
		values[i] = 0.02f * (random_unit() + random_unit() + random_unit());
	for (int i = 0; i < COLS; i++)
		importance[i] =
			0.01f + random_unit() * random_unit() * random_unit() * random_unit();
	for (int i = 0; i < COLS; i++)
		importance[i] = importance[i] > 0 ? importance[i] : 0.01f;
}

/* The call every test makes, with or without importance as the type asks; weighted may be refused.
 */
static inline bool can_quantize(const struct qc_qtype *type, bool weighted)
{
	return type->quantize && type->dequantize &&
	       (weighted ? type->uses_imatrix : !type->needs_imatrix);
}

static inline void encode(const struct qc_qtype *type, bool weighted, uint8_t *dst)
{
	type->quantize(values, dst, ROWS, COLS, weighted ? importance : NULL);
}

static inline void decode(const struct qc_qtype *type, const uint8_t *src, float *x)
{
	type->dequantize(src, x, ELEMS / type->block_elems);
}

#endif
