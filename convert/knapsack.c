/*
 * Dynamic programming over items and rounded sizes: best[u] is the least cost of the items so far
 * in at most u units beyond what all of them take at least. Then single changes, while one helps.
 */
#include "convert/knapsack.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"

enum { UNITS = 32768 };

struct problem {
	const struct qc_knapsack_item *items;
	size_t n;
	uint64_t room; /* beyond the smallest ways */
	uint64_t unit;
	double *best, *next; /* UNITS + 1 */
	uint8_t *taken;	     /* [n, UNITS + 1] which way */
};

static size_t smallest_way(const struct qc_knapsack_item *item)
{
	size_t best = 0;

	for (size_t k = 1; k < item->n; k++)
		if (item->sizes[k] < item->sizes[best] ||
		    (item->sizes[k] == item->sizes[best] && item->costs[k] < item->costs[best]))
			best = k;
	return best;
}

/* Units that way k takes beyond the smallest, rounded up. */
static uint64_t units(const struct problem *p, const struct qc_knapsack_item *item, size_t k)
{
	const uint64_t more = item->sizes[k] - item->sizes[smallest_way(item)];

	return more / p->unit + (more % p->unit != 0);
}

static void add_item(struct problem *p, size_t i)
{
	const struct qc_knapsack_item *item = &p->items[i];
	uint8_t *taken = p->taken + i * (UNITS + 1);
	double *swap;

	for (size_t u = 0; u <= UNITS; u++)
		p->next[u] = INFINITY;
	for (size_t k = 0; k < item->n; k++) {
		const uint64_t need = units(p, item, k);

		for (uint64_t u = need; u <= UNITS; u++) {
			const double cost = p->best[u - need] + item->costs[k];

			if (cost < p->next[u]) {
				p->next[u] = cost;
				taken[u] = (uint8_t)k;
			}
		}
	}
	swap = p->best;
	p->best = p->next;
	p->next = swap;
}

/* The ways behind the best that fits; returns the room that is left, in bytes. */
static uint64_t trace(const struct problem *p, size_t *chosen)
{
	uint64_t u = p->room / p->unit, left = p->room;

	for (size_t i = p->n; i-- > 0;) {
		const struct qc_knapsack_item *item = &p->items[i];
		const size_t k = p->taken[i * (UNITS + 1) + u];

		chosen[i] = k;
		u -= units(p, item, k);
		left -= item->sizes[k] - item->sizes[smallest_way(item)];
	}
	return left;
}

/* The one change that saves most and still fits; false when there is none. */
static bool improve(const struct problem *p, size_t *chosen, uint64_t *left)
{
	double best = 0;
	size_t best_i = 0, best_k = 0;

	for (size_t i = 0; i < p->n; i++) {
		const struct qc_knapsack_item *item = &p->items[i];
		const size_t now = chosen[i];

		for (size_t k = 0; k < item->n; k++) {
			const double saved = item->costs[now] - item->costs[k];

			if (saved > best && item->sizes[k] <= item->sizes[now] + *left) {
				best = saved;
				best_i = i;
				best_k = k;
			}
		}
	}
	if (best <= 0)
		return false;
	*left += p->items[best_i].sizes[chosen[best_i]];
	*left -= p->items[best_i].sizes[best_k];
	chosen[best_i] = best_k;
	return true;
}

static enum qc_status solve(struct problem *p, size_t *chosen, struct qc_err *err)
{
	uint64_t cells, left;

	p->unit = p->room / UNITS + (p->room % UNITS != 0);
	p->unit += !p->unit;
	p->best = calloc(UNITS + 1, sizeof(*p->best));
	p->next = calloc(UNITS + 1, sizeof(*p->next));
	p->taken = qc_mul(p->n, UNITS + 1, &cells) ? calloc(cells + 1, 1) : NULL;
	if (!p->best || !p->next || !p->taken)
		return qc_no_memory(err);
	for (size_t i = 0; i < p->n; i++)
		add_item(p, i);
	left = trace(p, chosen);
	while (improve(p, chosen, &left))
		;
	return QC_OK;
}

enum qc_status qc_knapsack(const struct qc_knapsack_item *items, size_t n, uint64_t capacity,
			   size_t *chosen, uint64_t *smallest, struct qc_err *err)
{
	struct problem p = {.items = items, .n = n};
	enum qc_status s = QC_OK;

	*smallest = 0;
	for (size_t i = 0; i < n; i++)
		if (items[i].n > UINT8_MAX ||
		    !qc_add(*smallest, items[i].sizes[smallest_way(&items[i])], smallest))
			return qc_fail(err, QC_UNSUPPORTED, "the sizes are beyond counting");
	if (*smallest > capacity)
		return qc_fail(err, QC_REFUSED, "%llu bytes at least, %llu are allowed",
			       (unsigned long long)*smallest, (unsigned long long)capacity);
	p.room = capacity - *smallest;
	s = solve(&p, chosen, err);
	free(p.best);
	free(p.next);
	free(p.taken);
	return s;
}
