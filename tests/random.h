/* Random numbers for tests, the same everywhere: splitmix64. */
#ifndef QC_TESTS_RANDOM_H
#define QC_TESTS_RANDOM_H

#include <stdint.h>

static uint64_t random_state = 1;

static inline uint32_t random_bits(void)
{
	uint64_t z = random_state += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return (uint32_t)(z >> 32);
}

static inline uint32_t random_below(uint32_t n)
{
	return (uint32_t)((uint64_t)random_bits() * n >> 32);
}

/* Bell-shaped, deviation about 0.6. */
static inline float random_normal(void)
{
	const uint32_t a = random_bits(), b = random_bits();

	return (float)((int)(a & 0xffff) + (int)(a >> 16) + (int)(b & 0xffff) + (int)(b >> 16) -
		       131070) /
	       32768;
}

#endif
