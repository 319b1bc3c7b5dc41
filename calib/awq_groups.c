#include "calib/awq_groups.h"

/* Facts of an architecture that a kind of input depends on. */
static bool always(const struct qc_graph *g)
{
	(void)g;
	return true;
}

/* Values that are normed do not scale with their rows. */
static bool values_are_linear(const struct qc_graph *g)
{
	return !g->arch->value_norm;
}

/* act(gate) * up, not act(gate) * (up + 1) with both clamped. */
static bool product_is_linear(const struct qc_graph *g)
{
	return g->arch->activation != QC_ACT_SWIGLU_CLAMPED;
}

/* A router that norms the stream itself does not see the norm of the experts. */
static bool router_sees_norm(const struct qc_graph *g)
{
	return !g->arch->router_normed || !g->n_experts;
}

/*
 * The output norm and an untied head are no such pair: squares of errors in logits say little of
 * what becomes of them in a softmax, and scales chosen by them made predictions worse.
 *
 * All consumers of the producer stand in the row: those that a block lacks are left out. With
 * PRE_FFW_NORM_2 the experts have a norm of their own, else they and their router see FFN_NORM.
 */
struct kind {
	enum qc_slot producer;
	enum qc_slot consumers[6]; /* ended by QC_SLOTS */
	bool (*possible)(const struct qc_graph *graph);
	enum qc_slot unless, only; /* that slot is there; 0: no matter */
	bool second_half;	   /* of the producer's rows make the channels */
	bool by_expert;		   /* each matrix has an input of its own */
	bool heads;		   /* the channels are heads of values */
};

static const struct kind kinds[] = {
	{
		.producer = QC_SLOT_ATTN_NORM,
		.consumers = {QC_SLOT_Q, QC_SLOT_K, QC_SLOT_V, QC_SLOTS},
		.possible = always,
	},
	{
		.producer = QC_SLOT_V,
		.consumers = {QC_SLOT_O, QC_SLOTS},
		.possible = values_are_linear,
		.heads = true,
	},
	{
		.producer = QC_SLOT_FFN_NORM,
		.consumers = {QC_SLOT_ROUTER, QC_SLOT_GATE, QC_SLOT_UP, QC_SLOT_GATE_EXPS,
			      QC_SLOT_UP_EXPS, QC_SLOTS},
		.possible = router_sees_norm,
		.unless = QC_SLOT_PRE_FFW_NORM_2,
	},
	{
		.producer = QC_SLOT_FFN_NORM,
		.consumers = {QC_SLOT_GATE, QC_SLOT_UP, QC_SLOTS},
		.possible = always,
		.only = QC_SLOT_PRE_FFW_NORM_2,
	},
	{
		.producer = QC_SLOT_UP,
		.consumers = {QC_SLOT_DOWN, QC_SLOTS},
		.possible = product_is_linear,
	},
	{
		.producer = QC_SLOT_PRE_FFW_NORM_2,
		.consumers = {QC_SLOT_GATE_UP_EXPS, QC_SLOT_GATE_EXPS, QC_SLOT_UP_EXPS, QC_SLOTS},
		.possible = always,
	},
	{
		.producer = QC_SLOT_UP_EXPS,
		.consumers = {QC_SLOT_DOWN_EXPS, QC_SLOTS},
		.possible = product_is_linear,
		.by_expert = true,
	},
	{
		.producer = QC_SLOT_GATE_UP_EXPS,
		.consumers = {QC_SLOT_DOWN_EXPS, QC_SLOTS},
		.possible = product_is_linear,
		.second_half = true,
		.by_expert = true,
	},
};
_Static_assert(sizeof(kinds) / sizeof(kinds[0]) == QC_AWQ_KINDS, "every kind has a number");

bool qc_awq_group_of(const struct qc_graph *graph, uint32_t block, unsigned kind,
		     struct qc_awq_group *group)
{
	const struct kind *k = &kinds[kind];
	const struct qc_graph_block *b = &graph->blocks[block];
	const struct qc_weight *slots = b->slots;

	if (!slots[k->producer].tensor || !k->possible(graph) ||
	    (k->unless && slots[k->unless].tensor) || (k->only && !slots[k->only].tensor) ||
	    (k->by_expert && graph->n_experts == 0))
		return false;
	*group = (struct qc_awq_group){
		.kind = kind,
		.producer = &slots[k->producer],
		.first = k->second_half ? slots[k->producer].out / 2 : 0,
		.all_matrices = !k->by_expert,
		.repeat = 1,
	};
	for (const enum qc_slot *c = k->consumers; *c != QC_SLOTS; c++)
		if (slots[*c].tensor && group->n_consumers < QC_AWQ_CONSUMERS)
			group->consumers[group->n_consumers++] = &slots[*c];
	if (!group->n_consumers)
		return false;
	group->n = group->run = group->consumers[0]->in;
	if (k->heads) {
		group->run = b->head_size;
		group->repeat = b->heads / b->heads_kv;
	}
	return true;
}
