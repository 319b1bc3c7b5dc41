#include "quant/mxfp4_to_nvfp4.h"

#include <stdbool.h>

#include "quant/blocks.h"
#include "quant/e2m1.h"
#include "quant/f8.h"
#include "quant/search_fp4.h"

enum { GROUP = 16, LARGEST_POWER = 8, SMALLEST_POWER = -9 };

void qc_mxfp4_exponents(const void *blocks, size_t n, uint8_t *exponents)
{
	const struct qc_block_mxfp4 *block = blocks;

	for (; n > 0; n--, block++) {
		uint8_t magnitudes = 0;

		for (size_t j = 0; j < sizeof(block->q); j++)
			magnitudes |= block->q[j] & 0x77;
		*exponents++ = magnitudes ? block->e : QC_MX_NO_EXPONENT;
	}
}

float qc_mxfp4_tensor_scale(uint8_t largest)
{
	/* 2^-8 is exact: so is the product, though it may be subnormal */
	return qc_e8m0_to_f32(largest) * 0x1p-8f;
}

/* 2^power, SMALLEST_POWER .. LARGEST_POWER, as E4M3. */
static uint8_t e4m3_power(int power)
{
	return (uint8_t)(power >= -6 ? (power + 7) << 3 : 1 << (power - SMALLEST_POWER));
}

/* Codes of values that are 2^power times what the codes say. */
static void scale_codes(uint8_t codes[GROUP], int power)
{
	/* beyond these all is 0, or cut off */
	int shown = power < -20 ? -20 : power > 20 ? 20 : power;
	float x[GROUP], unit = shown < 0 ? 1 / (float)(1 << -shown) : (float)(1 << shown);

	for (int i = 0; i < GROUP; i++)
		x[i] = 0.5f * qc_e2m1_twice(codes[i]) * unit;
	qc_e2m1_encode(x, GROUP, 1, codes);
}

/* Half a block of mxfp4, its low or its high nibbles, as group `s`. */
static void move_group(const struct qc_block_mxfp4 *from, bool high, int power,
		       struct qc_block_nvfp4 *to, int s)
{
	uint8_t codes[GROUP];

	for (int j = 0; j < GROUP; j++)
		codes[j] = high ? from->q[j] >> 4 : from->q[j] & 15;
	if (power < SMALLEST_POWER || power > LARGEST_POWER) {
		int kept = power < SMALLEST_POWER ? SMALLEST_POWER : LARGEST_POWER;

		scale_codes(codes, power - kept);
		power = kept;
	}
	to->d[s] = e4m3_power(power);
	qc_group_pack(true, codes, GROUP, to->q + GROUP / 2 * s);
}

void qc_nvfp4_from_mxfp4(const void *mxfp4, size_t n, uint8_t largest, void *nvfp4)
{
	const struct qc_block_mxfp4 *from = mxfp4;
	struct qc_block_nvfp4 *to = nvfp4;

	for (; n > 0; n--, to++) {
		for (int half = 0; half < 2; half++, from++) {
			uint8_t exponent;
			int power = LARGEST_POWER;

			qc_mxfp4_exponents(from, 1, &exponent);
			if (exponent != QC_MX_NO_EXPONENT)
				power += exponent - largest;
			move_group(from, false, power, to, 2 * half);
			move_group(from, true, power, to, 2 * half + 1);
		}
	}
}
