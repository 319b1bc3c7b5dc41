/* The pieces of iq1_s and iq1_m: see iq1.h. */
#include "quant/iq1.h"

#include "base/bytes.h"
#include "quant/iq_search.h"

const float qc_iq1_levels[2][4] = {{-0.875f, 0.125f, 1.125f, 0}, {-1.125f, -0.125f, 0.875f, 0}};

/* An integer that orders like a float, -0 and 0 the same. */
static uint32_t sort_key(float x)
{
	uint32_t bits = qc_f32_bits(x + 0.0f);

	return bits & 0x80000000 ? ~bits : bits | 0x80000000;
}

void qc_iq1_sort(const float *x, int n, uint8_t *order)
{
	uint64_t sorted[32];

	/* insertion; the index behind the key keeps equal values in order */
	for (int i = 0; i < n; i++) {
		uint64_t entry = (uint64_t)sort_key(x[i]) << 8 | (unsigned)i;
		int at = i;

		for (; at > 0 && sorted[at - 1] > entry; at--)
			sorted[at] = sorted[at - 1];
		sorted[at] = entry;
	}
	for (int i = 0; i < n; i++)
		order[i] = (uint8_t)sorted[i];
}

void qc_iq1_split(const uint8_t *order, int n, int first, int second, bool mirrored,
		  uint16_t *points)
{
	for (int k = 0; k < n / 8; k++)
		points[k] = 0;
	for (int j = 0; j < n; j++) {
		unsigned level = (unsigned)(j >= first) + (unsigned)(j >= second);

		if (mirrored)
			level = 2 - level;
		points[order[j] / 8] |= (uint16_t)(level << (order[j] % 8 * 2));
	}
}

void qc_iq1_fit_point(struct qc_iq1_fit *fit, const float *x, const float *weight, uint16_t point,
		      const float *levels, float factor)
{
	for (int i = 0; i < 8; i++) {
		float q = levels[qc_iq_level(point, i, 2)] * factor, wq = weight[i] * q;

		fit->xq += wq * x[i];
		fit->q2 += wq * q;
	}
}

float qc_iq1_to_grid(const struct qc_iq_kernel *kernel, const float *x, const float *weight,
		     int n_points, const float *const *levels, float scale, uint16_t *points)
{
	struct qc_iq1_fit fit = {0, 0};
	bool all_on_grid = true;

	for (int k = 0; k < n_points; k++)
		all_on_grid &= kernel->nearest8(&qc_near_iq1, levels[k], x + 8 * k, weight + 8 * k,
						scale, &points[k]);
	if (all_on_grid)
		return scale;
	for (int k = 0; k < n_points; k++)
		qc_iq1_fit_point(&fit, x + 8 * k, weight + 8 * k, points[k], levels[k], 1);
	return fit.xq > 0 && fit.q2 > 0 ? fit.xq / fit.q2 : scale;
}

void qc_iq1_decode(unsigned code, float d, bool down, float x[8])
{
	uint16_t point = qc_grid_iq1.points[code];

	for (int i = 0; i < 8; i++)
		x[i] = d * qc_iq1_levels[down][qc_iq_level(point, i, 2)];
}
