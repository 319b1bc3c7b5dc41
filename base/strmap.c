/* Open addressing with linear probing, at most half full. Keyed by the table's address: see
 * qc_hash_key(). */
#include "base/strmap.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"

#define FIRST_SLOTS 16u

/* The slot that holds the key, or the free one where it belongs. */
static struct qc_strmap_slot *slots_seek(struct qc_strmap_slot *slots, size_t n_slots,
					 const char *key, size_t len)
{
	size_t at = (size_t)qc_hash_key(key, len, (uintptr_t)slots) & (n_slots - 1);

	while (slots[at].key && (slots[at].len != len || memcmp(slots[at].key, key, len)))
		at = (at + 1) & (n_slots - 1);
	return &slots[at];
}

static bool strmap_grow(struct qc_strmap *map)
{
	size_t n_slots = map->n_slots ? map->n_slots * 2 : FIRST_SLOTS;
	struct qc_strmap_slot *slots = calloc(n_slots, sizeof(*slots));

	if (!slots)
		return false;
	for (size_t i = 0; i < map->n_slots; i++) {
		const struct qc_strmap_slot *old = &map->slots[i];

		if (old->key)
			*slots_seek(slots, n_slots, old->key, old->len) = *old;
	}
	free(map->slots);
	map->slots = slots;
	map->n_slots = n_slots;
	return true;
}

enum qc_status qc_strmap_add(struct qc_strmap *map, const char *key, size_t len, uint64_t value,
			     bool *was_there, struct qc_err *err)
{
	struct qc_strmap_slot *slot;

	if (map->n_used >= map->n_slots / 2 && !strmap_grow(map))
		return qc_no_memory(err);
	if (!key)
		key = ""; /* a NULL would mark the slot as free */
	slot = slots_seek(map->slots, map->n_slots, key, len);
	*was_there = slot->key;
	if (slot->key)
		return QC_OK;
	*slot = (struct qc_strmap_slot){.key = key, .len = len, .value = value};
	map->n_used++;
	return QC_OK;
}

uint64_t *qc_strmap_find(const struct qc_strmap *map, const char *key, size_t len)
{
	struct qc_strmap_slot *slot;

	if (!map->n_slots)
		return NULL;
	slot = slots_seek(map->slots, map->n_slots, key ? key : "", len);
	return slot->key ? &slot->value : NULL;
}

void qc_strmap_clear(struct qc_strmap *map)
{
	free(map->slots);
	*map = (struct qc_strmap){0};
}
