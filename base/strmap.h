/* A hash map from byte strings to uint64_t, insert and look up only. Keys are borrowed: they must
 * outlive the map. */
#ifndef QC_BASE_STRMAP_H
#define QC_BASE_STRMAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/error.h"

struct qc_strmap_slot {
	const char *key; /* NULL: free */
	size_t len;
	uint64_t value;
};

/* Zero-initialised is an empty map. */
struct qc_strmap {
	struct qc_strmap_slot *slots; /* a power of two of them */
	size_t n_slots, n_used;
};

/* Add key -> value unless the key is there; *was_there tells, and the old value then stays.
 * QC_NO_MEMORY only. */
QC_MUST_CHECK
enum qc_status qc_strmap_add(struct qc_strmap *map, const char *key, size_t len, uint64_t value,
			     bool *was_there, struct qc_err *err);

/* The value's address, valid until the next add; NULL when the key is not there. */
uint64_t *qc_strmap_find(const struct qc_strmap *map, const char *key, size_t len);

void qc_strmap_clear(struct qc_strmap *map);

#endif
