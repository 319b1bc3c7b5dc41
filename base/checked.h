/* Size arithmetic that cannot wrap. Every product, sum or rounding of a number that came from a
 * file goes through these: each returns false on overflow and then leaves *out alone. No other size
 * arithmetic on such numbers. */
#ifndef QC_BASE_CHECKED_H
#define QC_BASE_CHECKED_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"

QC_MUST_CHECK
static inline bool qc_mul(uint64_t a, uint64_t b, uint64_t *out)
{
	uint64_t product;
	if (__builtin_mul_overflow(a, b, &product))
		return false;
	*out = product;
	return true;
}

QC_MUST_CHECK
static inline bool qc_add(uint64_t a, uint64_t b, uint64_t *out)
{
	uint64_t sum;
	if (__builtin_add_overflow(a, b, &sum))
		return false;
	*out = sum;
	return true;
}

/* Round `n` up to a multiple of `align` (nonzero, any value). */
QC_MUST_CHECK
static inline bool qc_align_up(uint64_t n, uint64_t align, uint64_t *out)
{
	uint64_t rest = n % align;
	return rest ? qc_add(n, align - rest, out) : (*out = n, true);
}

/* How many parts of `by` (nonzero) hold `n`; cannot overflow. */
static inline uint64_t qc_divide_up(uint64_t n, uint64_t by)
{
	return n / by + (n % by != 0);
}

/* The largest number that divides both; that of n and 0 is n. */
static inline uint64_t qc_gcd(uint64_t a, uint64_t b)
{
	while (b) {
		const uint64_t rest = a % b;

		a = b;
		b = rest;
	}
	return a;
}

#endif
