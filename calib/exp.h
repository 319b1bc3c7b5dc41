/* e^x in plain arithmetic, so that the compiler makes vectors of it; the same on every machine. */
#ifndef QC_CALIB_EXP_H
#define QC_CALIB_EXP_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* What qc_exp_all() takes; the nearer end for what is beyond. */
static inline float qc_exp_range(float x)
{
	x = x < -87 ? -87 : x;
	return x > 88 ? 88 : x;
}

/* x = e^x for n values from -87 to 88, with a relative error below 1e-7; NaN stays. x = n ln 2 + r
 * with |r| <= ln 2 / 2; e^r by its series. */
static inline void qc_exp_all(float *x, size_t n)
{
	const float whole = 0x1.8p23f; /* added, it leaves no room for a fraction */

#pragma omp simd
	for (size_t i = 0; i < n; i++) {
		const float t = x[i] * 0x1.715476p0f + whole, twos = t - whole;
		/* ln 2 in two parts: the first one's products are exact */
		const float r = x[i] - twos * 0x1.63p-1f - twos * -0x1.bd0106p-13f;
		const float power =
			1 + r * (1 + r * (1.0f / 2 +
					  r * (1.0f / 6 +
					       r * (1.0f / 24 +
						    r * (1.0f / 120 +
							 r * (1.0f / 720 + r * (1.0f / 5040)))))));
		uint32_t bits;
		float scale;

		memcpy(&bits, &t, sizeof(bits));
		bits = (bits + 127) << 23; /* 2^twos: it stands in the low bits of t */
		memcpy(&scale, &bits, sizeof(scale));
		x[i] = power * scale;
	}
}

#endif
