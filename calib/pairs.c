/* Open addressing with linear probing, keyed by the table's address: see qc_hash_key(). */
#include "calib/pairs.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"

#define FREE UINT32_MAX

static struct qc_pair_slot *pairs_seek(const struct qc_pairs *pairs, uint32_t left, uint32_t right)
{
	const uint32_t key[2] = {left, right};
	size_t at = (size_t)qc_hash_key(key, sizeof(key), (uintptr_t)pairs->slots) &
		    (pairs->n_slots - 1);

	while (pairs->slots[at].id != FREE &&
	       (pairs->slots[at].left != left || pairs->slots[at].right != right))
		at = (at + 1) & (pairs->n_slots - 1);
	return &pairs->slots[at];
}

enum qc_status qc_pairs_reserve(struct qc_pairs *pairs, uint64_t n, struct qc_err *err)
{
	size_t n_slots = 16;

	while (n_slots / 4 * 3 < n && n_slots < SIZE_MAX / 2 / sizeof(*pairs->slots))
		n_slots *= 2;
	if (n_slots / 4 * 3 < n)
		return qc_no_memory(err);
	qc_pairs_clear(pairs);
	pairs->slots = malloc(n_slots * sizeof(*pairs->slots));
	if (!pairs->slots)
		return qc_no_memory(err);
	memset(pairs->slots, 0xff, n_slots * sizeof(*pairs->slots));
	pairs->n_slots = n_slots;
	return QC_OK;
}

void qc_pairs_add(struct qc_pairs *pairs, uint32_t left, uint32_t right, uint32_t rank, uint32_t id)
{
	struct qc_pair_slot *slot = pairs_seek(pairs, left, right);

	if (slot->id != FREE)
		return;
	*slot = (struct qc_pair_slot){.left = left, .right = right, .rank = rank, .id = id};
	pairs->n_used++;
}

const struct qc_pair_slot *qc_pairs_find(const struct qc_pairs *pairs, uint32_t left,
					 uint32_t right)
{
	const struct qc_pair_slot *slot;

	if (!pairs->n_used)
		return NULL;
	slot = pairs_seek(pairs, left, right);
	return slot->id == FREE ? NULL : slot;
}

void qc_pairs_clear(struct qc_pairs *pairs)
{
	free(pairs->slots);
	*pairs = (struct qc_pairs){0};
}
