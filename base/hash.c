/* The only file that knows the xxHash library. */
#include "base/hash.h"

#include <stdlib.h>

#include <xxhash.h>
/* The library's own run-time dispatch: XXH3 at the width of the machine's vectors, the same
 * digests. */
#if defined(__x86_64__) && defined(__has_include)
#if __has_include(<xxh_x86dispatch.h>)
#include <xxh_x86dispatch.h>
#endif
#endif

#if XXH_VERSION_NUMBER < 800
#error "XXH3 is stable from xxHash 0.8.0 on"
#endif

struct qc_hasher {
	XXH3_state_t *state;
};

struct qc_hasher64 {
	XXH64_state_t *state;
};

void qc_digest128_hex(struct qc_digest128 digest, char hex[33])
{
	static const char digits[] = "0123456789abcdef";
	uint64_t halves[2] = {digest.high, digest.low};

	for (int i = 0; i < 32; i++)
		hex[i] = digits[halves[i / 16] >> (60 - 4 * (i % 16)) & 15];
	hex[32] = 0;
}

uint64_t qc_hash64(const void *data, size_t size)
{
	return XXH64(data, size, 0);
}

uint64_t qc_hash_key(const void *data, size_t size, uint64_t seed)
{
	return XXH3_64bits_withSeed(data, size, seed);
}

struct qc_hasher *qc_hasher_new(void)
{
	struct qc_hasher *hasher = calloc(1, sizeof(*hasher));

	if (!hasher)
		return NULL;
	hasher->state = XXH3_createState();
	if (!hasher->state) {
		free(hasher);
		return NULL;
	}
	qc_hasher_reset(hasher);
	return hasher;
}

void qc_hasher_reset(struct qc_hasher *hasher)
{
	XXH3_128bits_reset(hasher->state);
}

void qc_hasher_add(struct qc_hasher *hasher, const void *data, size_t size)
{
	if (size)
		XXH3_128bits_update(hasher->state, data, size);
}

struct qc_digest128 qc_hasher_digest(const struct qc_hasher *hasher)
{
	XXH128_hash_t hash = XXH3_128bits_digest(hasher->state);

	return (struct qc_digest128){.low = hash.low64, .high = hash.high64};
}

void qc_hasher_free(struct qc_hasher *hasher)
{
	if (!hasher)
		return;
	XXH3_freeState(hasher->state);
	free(hasher);
}

struct qc_hasher64 *qc_hasher64_new(void)
{
	struct qc_hasher64 *hasher = calloc(1, sizeof(*hasher));

	if (!hasher)
		return NULL;
	hasher->state = XXH64_createState();
	if (!hasher->state) {
		free(hasher);
		return NULL;
	}
	qc_hasher64_reset(hasher);
	return hasher;
}

void qc_hasher64_reset(struct qc_hasher64 *hasher)
{
	XXH64_reset(hasher->state, 0);
}

void qc_hasher64_add(struct qc_hasher64 *hasher, const void *data, size_t size)
{
	if (size)
		XXH64_update(hasher->state, data, size);
}

uint64_t qc_hasher64_digest(const struct qc_hasher64 *hasher)
{
	return XXH64_digest(hasher->state);
}

void qc_hasher64_free(struct qc_hasher64 *hasher)
{
	if (!hasher)
		return;
	XXH64_freeState(hasher->state);
	free(hasher);
}
