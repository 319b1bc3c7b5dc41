/* A direct-mapped table of at most 32,768 words (768 KiB), keyed by its address. */
#include "calib/word_cache.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"

#define MIN_SLOTS 64u
#define MAX_SLOTS 32768u

void qc_word_cache_init(struct qc_word_cache *cache, size_t len)
{
	size_t n = MIN_SLOTS;

	while (n < MAX_SLOTS && n < len / 4)
		n *= 2;
	cache->slots = calloc(n, sizeof(*cache->slots));
	cache->n_slots = cache->slots ? n : 0;
}

struct qc_cached_word *qc_word_cache_find(const struct qc_word_cache *cache, const char *text,
					  size_t len, bool *found)
{
	struct qc_cached_word *slot;

	*found = false;
	if (!cache->n_slots)
		return NULL;
	slot = &cache->slots[(size_t)qc_hash_key(text, len, (uintptr_t)cache->slots) &
			     (cache->n_slots - 1)];
	*found = slot->text && slot->len == len && !memcmp(slot->text, text, len);
	return slot;
}

void qc_word_cache_clear(struct qc_word_cache *cache)
{
	free(cache->slots);
	*cache = (struct qc_word_cache){0};
}
