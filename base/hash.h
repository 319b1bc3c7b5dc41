/* Checksums: XXH3-128 (ours) and XXH64 (gguf-hash's), through the xxHash library. */
#ifndef QC_BASE_HASH_H
#define QC_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/error.h"

struct qc_digest128 {
	uint64_t low, high;
};

/* 32 lower-case hex digits in canonical (big-endian) order, as `xxhsum -H2` prints, and a NUL. */
void qc_digest128_hex(struct qc_digest128 digest, char hex[33]);

/* One-shot XXH64 with seed 0. */
uint64_t qc_hash64(const void *data, size_t size);

/* For hash tables over keys from files: keyed by `seed`, which a table takes from its own address,
 * so that no file can bring keys that all collide. Never for anything that is written. */
uint64_t qc_hash_key(const void *data, size_t size, uint64_t seed);

/* Streaming XXH3-128, seed 0. Opaque because of xxHash's alignment needs; free accepts NULL. */
struct qc_hasher;
struct qc_hasher *qc_hasher_new(void); /* NULL when memory is out */
void qc_hasher_reset(struct qc_hasher *hasher);
void qc_hasher_add(struct qc_hasher *hasher, const void *data, size_t size);
struct qc_digest128 qc_hasher_digest(const struct qc_hasher *hasher);
void qc_hasher_free(struct qc_hasher *hasher);

/* Streaming XXH64, seed 0. */
struct qc_hasher64;
struct qc_hasher64 *qc_hasher64_new(void);
void qc_hasher64_reset(struct qc_hasher64 *hasher);
void qc_hasher64_add(struct qc_hasher64 *hasher, const void *data, size_t size);
uint64_t qc_hasher64_digest(const struct qc_hasher64 *hasher);
void qc_hasher64_free(struct qc_hasher64 *hasher);

#endif
