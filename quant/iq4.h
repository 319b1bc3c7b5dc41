/*
 * The sixteen levels of iq4_nl and iq4_xs, denser around zero, and the search for a scale.
 *
 * Formulas: ggml's quantize_row_iq4_nl_impl with 15 trials, as its quantizer runs it
 * (ggml-quants.c). All sums are sequential f32.
 */
#ifndef QC_QUANT_IQ4_H
#define QC_QUANT_IQ4_H

#include <stdint.h>

static const int8_t qc_iq4_levels[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
					 1,    13,   25,  38,  53,  69,	 89,  113};

/* Halfway between neighbours; a value on a border takes the upper level. */
static const float qc_iq4_borders[15] = {-115.5f, -93.5f, -74,	 -57,	-42, -28.5f, -16, -4.5f,
					 7,	  19,	  31.5f, 45.5f, 61,  79,     101};

/* The code of the level nearest to x: 15 for NaN. */
static inline int qc_iq4_code(float x)
{
	int code = 0;

	for (int step = 8; step > 0; step /= 2)
		code += x < qc_iq4_borders[code + step - 1] ? 0 : step;
	return code;
}

/* x ~ scale * level for 32 values: the scale that maps the largest one to the lowest level, or one
 * of fifteen near it, with the least squared error under `weight`. 0 for an all-zero group. */
float qc_iq4_search(const float *x, const float *weight);

/* codes[i] = the level nearest to x[i] / scale; 0 counts as 1 / infinity. */
void qc_iq4_codes(const float *x, float scale, uint8_t codes[32]);

/* scale * level of 32 packed codes. */
void qc_iq4_decode(const uint8_t q[16], float scale, float x[32]);

#endif
