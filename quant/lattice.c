/*
 * The value of largest magnitude is code -8, -7, ... -1 times d. Each guess gives every value a
 * code and by it an estimate of d, right to half a step of the type the values are stored in: d
 * lies where all these intervals meet, if they do. There f16 has a few numbers, which are tried.
 * Values that lie on no lattice part the intervals at the second or third of them; nearly all such
 * blocks are told by a quicker test of all guesses at once.
 */
#include "quant/lattice.h"

#include <math.h>
#include <string.h>

#include "quant/block32.h"
#include "quant/blocks.h"
#include "quant/half.h"
#include "quant/round.h"
#include "quant/types.h"

enum { ELEMS = 32 };

bool qc_lattice_possible(const struct qc_qtype *to, const struct qc_qtype *from)
{
	return to == &qc_q4_0 && (from == &qc_bf16 || from == &qc_f16);
}

static float round_as(const struct qc_qtype *from, float x)
{
	return from == &qc_bf16 ? qc_bf16_to_f32(qc_f32_to_bf16(x))
				: qc_f16_to_f32(qc_f32_to_f16(x));
}

/* Whether d times the codes are the values when rounded; *equal: also when not. */
static bool gives_back(const struct qc_qtype *from, const float *x, float d, const int *codes,
		       bool *equal)
{
	*equal = true;
	for (int i = 0; i < ELEMS; i++) {
		float y = d * (float)codes[i];

		if (y != x[i]) {
			*equal = false;
			if (round_as(from, y) != x[i])
				return false;
		}
	}
	return true;
}

/* An interval for |d|. */
struct interval {
	float low, high;
};

/* The codes when x[..] = `max` has code -k, and where |d| must lie; false when nowhere. */
static bool guess(const float *x, float max, int k, float step, int *codes, struct interval *d)
{
	const float inverse = (float)k / fabsf(max);

	*d = (struct interval){0, INFINITY};
	for (int i = 0; i < ELEMS; i++) {
		float magnitude = fabsf(x[i]), estimate;
		int code = qc_nearest(magnitude * inverse);

		if (code == 0 && magnitude == 0) {
			codes[i] = 0;
			continue;
		}
		codes[i] = (x[i] < 0) == (max < 0) ? -code : code;
		if (code == 0 || codes[i] < -8 || codes[i] > 7)
			return false;
		estimate = magnitude / (float)code;
		if (estimate * (1 - step) > d->low)
			d->low = estimate * (1 - step);
		if (estimate * (1 + step) < d->high)
			d->high = estimate * (1 + step);
		if (d->low > d->high)
			return false;
	}
	return true;
}

static double squared_error(const float *x, float d, const int *codes)
{
	double sum = 0;

	for (int i = 0; i < ELEMS; i++) {
		double error = (double)x[i] - (double)(d * (float)codes[i]);

		sum += error * error;
	}
	return sum;
}

/* The f16 number in the interval that gives all values back: the one by which the largest value is
 * a whole multiple as it stands, which is q4_0's own choice, else that of least error. */
static bool choose_scale(const struct qc_qtype *from, const float *x, float own,
			 const struct interval *range, const int *codes, float *d, bool *equal)
{
	const uint16_t first = qc_f32_to_f16(range->low), last = qc_f32_to_f16(range->high);
	double least = 0;
	bool found = false;

	if (qc_f16_to_f32(qc_f32_to_f16(own)) == own && gives_back(from, x, own, codes, equal)) {
		*d = own;
		return true;
	}
	for (uint32_t bits = first ? first : 1; bits <= last && bits < 0x7c00; bits++) {
		float trial = copysignf(qc_f16_to_f32((uint16_t)bits), own);
		double error;
		bool trial_equal;

		if (!gives_back(from, x, trial, codes, &trial_equal))
			continue;
		error = squared_error(x, trial, codes);
		if (!found || error < least) {
			found = true;
			least = error;
			*d = trial;
			*equal = trial_equal;
		}
	}
	return found;
}

/* The largest relative rounding error, and some more for the arithmetic here. */
static float relative_step(const struct qc_qtype *from)
{
	return from == &qc_bf16 ? 0x1.1p-8f : 0x1.1p-11f;
}

/* The largest magnitude: magnitudes order as their bits do. */
static float magnitude_of(const float *x)
{
	int32_t bits[ELEMS], max = 0;

	memcpy(bits, x, sizeof(bits));
	for (int i = 0; i < ELEMS; i++) {
		int32_t m = bits[i] & 0x7fffffff;

		max = m > max ? m : max;
	}
	return qc_bits_f32((uint32_t)max);
}

/*
 * False when the block is on no lattice, which a few values tell: with code -k for the largest,
 * every other magnitude is a whole multiple of max / k but for the rounding of both (`step` is more
 * than its relative error; where f16 is denormal its error is at most 2^-25).
 */
static bool may_be_on_lattice(const float *x, float step)
{
	enum { GUESSES = 8, ASKED = 8 }; /* few blocks pass that many by chance */
	const float magic = 12582912.0f, max = magnitude_of(x); /* magic: see qc_nearest() */
	const float tolerance = 2.5f * step, slack = 0x1p-20f / max;
	int32_t possible[GUESSES], any = -1;
	float inverse[GUESSES];

	if (max < 0x1p-100f) /* no divisor */
		return true;
	for (int k = 0; k < GUESSES; k++) {
		inverse[k] = (float)(k + 1) / max;
		possible[k] = -1;
	}
	for (int i = 0; i < ASKED && any; i++) {
		any = 0;
		for (int k = 0; k < GUESSES; k++) {
			float ratio = fabsf(x[i]) * inverse[k], whole = ratio + magic - magic;

			possible[k] &= -(fabsf(ratio - whole) <= whole * tolerance + slack);
			any |= possible[k];
		}
	}
	return any;
}

static bool find_lattice(const struct qc_qtype *from, const float *x, float *d, int *codes,
			 bool *equal)
{
	const float max = qc_signed_max(x, ELEMS), step = relative_step(from);

	for (int k = 8; k > 0 && max != 0; k--) {
		struct interval range;

		if (guess(x, max, k, step, codes, &range) &&
		    choose_scale(from, x, max / (float)-k, &range, codes, d, equal))
			return true;
	}
	return false;
}

static void get_codes(const struct qc_block_q4_0 *block, int *codes)
{
	uint8_t nibbles[ELEMS];

	qc_unpack_codes(block->q, 0, nibbles);
	for (int i = 0; i < ELEMS; i++)
		codes[i] = nibbles[i] - 8;
}

static void put_codes(const int *codes, struct qc_block_q4_0 *block)
{
	uint8_t nibbles[ELEMS];

	for (int i = 0; i < ELEMS; i++)
		nibbles[i] = (uint8_t)(codes[i] + 8);
	qc_pack_nibbles(nibbles, block->q);
}

struct qc_lattice_count qc_lattice_move(const struct qc_qtype *to, const struct qc_qtype *from,
					const float *x, size_t n_blocks, void *blocks)
{
	struct qc_lattice_count count = {0, 0};
	struct qc_block_q4_0 *block = blocks;
	const float step = relative_step(from);

	(void)to; /* there is one */
	for (; n_blocks > 0; n_blocks--, block++, x += ELEMS) {
		int codes[ELEMS];
		bool equal, on_one;
		float d = 0;

		if (!may_be_on_lattice(x, step))
			continue;
		get_codes(block, codes);
		on_one = gives_back(from, x, qc_get_f16(block->d), codes, &equal);
		/* with rounding several d give the values back: least squares' is not the first
		 * choice */
		if (!(on_one && equal) && find_lattice(from, x, &d, codes, &equal)) {
			on_one = true;
			qc_put_f16(block->d, d);
			put_codes(codes, block);
		}
		count.rounded += on_one;
		count.equal += on_one && equal;
	}
	return count;
}
