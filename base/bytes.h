/* Little-endian loads and stores, right on any host and at any alignment. */
#ifndef QC_BASE_BYTES_H
#define QC_BASE_BYTES_H

#include <stdint.h>
#include <string.h>

static inline uint16_t qc_le16(const void *p)
{
	const uint8_t *b = p;
	return (uint16_t)(b[0] | b[1] << 8);
}

static inline uint32_t qc_le32(const void *p)
{
	const uint8_t *b = p;
	return b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
}

static inline uint64_t qc_le64(const void *p)
{
	return qc_le32(p) | (uint64_t)qc_le32((const uint8_t *)p + 4) << 32;
}

static inline void qc_put_le16(void *p, uint16_t v)
{
	uint8_t *b = p;
	b[0] = (uint8_t)v;
	b[1] = (uint8_t)(v >> 8);
}

static inline void qc_put_le32(void *p, uint32_t v)
{
	qc_put_le16(p, (uint16_t)v);
	qc_put_le16((uint8_t *)p + 2, (uint16_t)(v >> 16));
}

static inline void qc_put_le64(void *p, uint64_t v)
{
	qc_put_le32(p, (uint32_t)v);
	qc_put_le32((uint8_t *)p + 4, (uint32_t)(v >> 32));
}

static inline float qc_bits_f32(uint32_t bits)
{
	float f;
	memcpy(&f, &bits, sizeof(f));
	return f;
}

static inline uint32_t qc_f32_bits(float f)
{
	uint32_t bits;
	memcpy(&bits, &f, sizeof(bits));
	return bits;
}

static inline double qc_bits_f64(uint64_t bits)
{
	double d;
	memcpy(&d, &bits, sizeof(d));
	return d;
}

static inline uint64_t qc_f64_bits(double d)
{
	uint64_t bits;
	memcpy(&bits, &d, sizeof(bits));
	return bits;
}

#endif
