/*
 * MXFP4 as Hugging Face checkpoints store it: packed codes and an exponent a block of 32.
 *
 *   codes    [rows, cols / 2]   two E2M1 codes a byte, the even element in the low nibble
 *   scales   [rows, cols / 32]  E8M0
 *   value = E2M1(code) * 2^(scale - 127)
 *
 * gpt-oss has the same bytes in the shapes [.., cols / 32, 16] and [.., cols / 32].
 */
#ifndef QC_QUANT_MXFP4_PACK_H
#define QC_QUANT_MXFP4_PACK_H

#include <stddef.h>
#include <stdint.h>

#include "quant/fast.h"

enum { QC_MXFP4_GROUP = 32 };

/* Whose roundings: quant/mxfp4_pack.c lists them. */
enum qc_mxfp4_rule { QC_MXFP4_MODELOPT, QC_MXFP4_COMPRESSED, QC_MXFP4_GPT_OSS };

struct qc_mxfp4_producer {
	const char *name;
	enum qc_mxfp4_rule rule;
	/* n values (a multiple of 32) to n / 2 code bytes and n / 32 exponents: the producer's
	 * bytes, for f32 and for widened bf16 alike. */
	void (*encode)(const float *x, size_t n, uint8_t *codes, uint8_t *scales);
};

extern const struct qc_mxfp4_producer qc_mxfp4_modelopt, qc_mxfp4_compressed_tensors,
	qc_mxfp4_gpt_oss;

/* encode(); the bytes do not depend on `isa`, the speed does. */
void qc_mxfp4_encode(const struct qc_mxfp4_producer *producer, const float *x, size_t n,
		     uint8_t *codes, uint8_t *scales, enum qc_isa isa);

/* A variant. */
typedef void qc_mxfp4_encode_fn(enum qc_mxfp4_rule rule, const float *x, size_t n, uint8_t *codes,
				uint8_t *scales);

/* encode(), then a better exponent and codes where a block's squared error (weighted by n
 * importance values, or NULL) gets smaller. The bytes do not depend on
 * `isa`, the speed does. */
void qc_mxfp4_search(const struct qc_mxfp4_producer *producer, const float *x, size_t n,
		     const float *weight, uint8_t *codes, uint8_t *scales, enum qc_isa isa);

#endif
