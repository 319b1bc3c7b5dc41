/*
 * A candidate is not taken back when one of its symbols merges elsewhere; it is recognised when it
 * comes up. Boundaries between symbols only ever vanish, so a pair is the one that was meant
 * exactly when its left symbol is still there and its right one still ends where it did.
 */
#include "calib/merge.h"

#include <stdlib.h>

/* Room for one more element. */
static bool grow(void **array, size_t n, size_t *cap, size_t size)
{
	const size_t more = *cap ? *cap * 2 : 64;
	void *bigger;

	if (n < *cap)
		return true;
	if (more > SIZE_MAX / size)
		return false;
	bigger = realloc(*array, more * size);
	if (!bigger)
		return false;
	*array = bigger;
	*cap = more;
	return true;
}

void qc_merger_start(struct qc_merger *merger)
{
	merger->n = 0;
	merger->n_heap = 0;
}

enum qc_status qc_merger_push(struct qc_merger *merger, uint32_t id, uint32_t start, uint32_t end,
			      struct qc_err *err)
{
	const uint32_t at = (uint32_t)merger->n;
	void *array = merger->symbols;

	if (!grow(&array, merger->n, &merger->cap, sizeof(*merger->symbols)))
		return qc_no_memory(err);
	merger->symbols = array;
	merger->symbols[at] = (struct qc_symbol){
		.id = id,
		.start = start,
		.end = end,
		.prev = at ? at - 1 : QC_NO_SYMBOL,
		.next = QC_NO_SYMBOL,
	};
	if (at)
		merger->symbols[at - 1].next = at;
	merger->n++;
	return QC_OK;
}

static bool heap_push(struct qc_merger *merger, struct qc_candidate candidate)
{
	size_t at = merger->n_heap;
	void *array = merger->heap;

	if (!grow(&array, merger->n_heap, &merger->cap_heap, sizeof(*merger->heap)))
		return false;
	merger->heap = array;
	merger->n_heap++;
	while (at && merger->heap[(at - 1) / 2].key > candidate.key) {
		merger->heap[at] = merger->heap[(at - 1) / 2];
		at = (at - 1) / 2;
	}
	merger->heap[at] = candidate;
	return true;
}

static struct qc_candidate heap_pop(struct qc_merger *merger)
{
	struct qc_candidate *heap = merger->heap;
	const struct qc_candidate first = heap[0], last = heap[--merger->n_heap];
	const size_t n = merger->n_heap;
	size_t at = 0, child = 1;

	while (child < n) {
		if (child + 1 < n && heap[child + 1].key < heap[child].key)
			child++;
		if (heap[child].key >= last.key)
			break;
		heap[at] = heap[child];
		at = child;
		child = 2 * at + 1;
	}
	heap[at] = last;
	return first;
}

static bool try_pair(struct qc_merger *merger, const char *word, const struct qc_merge_rule *rule,
		     uint32_t left)
{
	const struct qc_symbol *a, *b;
	uint32_t rank, id;

	if (left == QC_NO_SYMBOL || merger->symbols[left].next == QC_NO_SYMBOL)
		return true;
	a = &merger->symbols[left];
	b = &merger->symbols[a->next];
	if (!rule->find(rule->rules, word, a, b, &rank, &id))
		return true;
	return heap_push(merger, (struct qc_candidate){
					 .key = (uint64_t)rank << 32 | left,
					 .end = b->end,
					 .id = id,
				 });
}

enum qc_status qc_merger_run(struct qc_merger *merger, const char *word,
			     const struct qc_merge_rule *rule, struct qc_err *err)
{
	for (size_t i = 0; i + 1 < merger->n; i++)
		if (!try_pair(merger, word, rule, (uint32_t)i))
			return qc_no_memory(err);
	while (merger->n_heap) {
		const struct qc_candidate best = heap_pop(merger);
		const uint32_t at = (uint32_t)best.key;
		struct qc_symbol *left = &merger->symbols[at], *right;

		if (left->start == left->end || left->next == QC_NO_SYMBOL)
			continue;
		right = &merger->symbols[left->next];
		if (right->end != best.end)
			continue;
		left->id = best.id;
		left->end = right->end;
		left->next = right->next;
		right->start = right->end;
		if (left->next != QC_NO_SYMBOL)
			merger->symbols[left->next].prev = at;
		if (!try_pair(merger, word, rule, left->prev) || !try_pair(merger, word, rule, at))
			return qc_no_memory(err);
	}
	return QC_OK;
}

void qc_merger_clear(struct qc_merger *merger)
{
	free(merger->symbols);
	free(merger->heap);
	*merger = (struct qc_merger){0};
}
