/* The scale search of the non-linear 4-bit types: see iq4.h. */
#include "quant/iq4.h"

#include <math.h>

#include "quant/block32.h"
#include "quant/kscale.h"

/* Least-squares sums of x against its levels: the scale is xq / q2, its merit xq^2 / q2. */
struct fit {
	float xq, q2;
};

static struct fit iq4_fit(const float *x, const float *weight, float inverse)
{
	struct fit fit = {0, 0};

	for (int i = 0; i < 32; i++) {
		float q = (float)qc_iq4_levels[qc_iq4_code(inverse * x[i])], wq = weight[i] * q;

		fit.xq += wq * x[i];
		fit.q2 += wq * q;
	}
	return fit;
}

float qc_iq4_search(const float *x, const float *weight)
{
	float max = qc_signed_max(x, 32), scale, best;
	struct fit fit;

	if (fabsf(max) < QC_GROUP_EPS)
		return 0;
	scale = -max / (float)qc_iq4_levels[0];
	fit = iq4_fit(x, weight, 1 / scale);
	scale = fit.q2 > 0 ? fit.xq / fit.q2 : 0;
	best = scale * fit.xq;
	for (int step = -7; step <= 7; step++) {
		fit = iq4_fit(x, weight, (float)(step + qc_iq4_levels[0]) / max);
		if (fit.q2 > 0 && fit.xq * fit.xq > best * fit.q2) {
			scale = fit.xq / fit.q2;
			best = scale * fit.xq;
		}
	}
	return scale;
}

void qc_iq4_codes(const float *x, float scale, uint8_t codes[32])
{
	float inverse = scale != 0 ? 1 / scale : 0;

	for (int i = 0; i < 32; i++)
		codes[i] = (uint8_t)qc_iq4_code(inverse * x[i]);
}

void qc_iq4_decode(const uint8_t q[16], float scale, float x[32])
{
	for (int i = 0; i < 16; i++) {
		x[i] = scale * (float)qc_iq4_levels[q[i] & 15];
		x[i + 16] = scale * (float)qc_iq4_levels[q[i] >> 4];
	}
}
