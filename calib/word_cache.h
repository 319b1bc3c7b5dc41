/* Words that were tokenized before, while one text is encoded: both the word and its ids are found
 * where they already lie, in the text and in the output. */
#ifndef QC_CALIB_WORD_CACHE_H
#define QC_CALIB_WORD_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"

/* Longer ones are not kept. */
#define QC_MAX_CACHED_WORD 64

struct qc_cached_word {
	const char *text; /* NULL: free */
	uint32_t len, n_ids;
	size_t at; /* index of the first id in the output */
};

/* A word has one place; a later one that needs it takes it. Zeroed finds and keeps nothing. */
struct qc_word_cache {
	struct qc_cached_word *slots;
	size_t n_slots; /* a power of two */
};

/* For a text of `len` bytes; without memory the cache stays one that keeps nothing. */
void qc_word_cache_init(struct qc_word_cache *cache, size_t len);

/* The place of a word of 1 to QC_MAX_CACHED_WORD bytes; *found tells whether it is there. NULL
 * when nothing is kept. */
struct qc_cached_word *qc_word_cache_find(const struct qc_word_cache *cache, const char *text,
					  size_t len, bool *found);

void qc_word_cache_clear(struct qc_word_cache *cache);

#endif
