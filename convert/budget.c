/* Types for a given size: what may be chosen, the room there is, and the choice. */
#include "convert/budget.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "convert/knapsack.h"
#include "convert/user_rules.h"

/* From small to large. Types of 32 are for rows that are not whole blocks of 256; q8_0 is for all.
 */
static const char *const default_ladder[] = {"q2_K", "iq3_xxs", "q3_K", "iq3_s", "iq4_xs",
					     "q4_K", "q5_K",	"q6_K", "q4_0",	 "iq4_nl",
					     "q4_1", "q5_0",	"q5_1", "q8_0",	 NULL};

/* Bytes of a header that the plan adds after the choice: a few keys. */
#define HEADER_ROOM 512
#define MAX_BPW	    64

bool qc_budget_asked(const struct qconv_options *options)
{
	return options->target_bpw > 0 || options->target_bytes;
}

/* The types of options->ladder, or the default's; *n of them. */
static enum qc_status read_ladder(const struct qconv_options *options,
				  const struct qc_qtype **types, size_t *n, struct qc_err *err)
{
	const char *at = options->ladder;

	*n = 0;
	for (const char *const *name = default_ladder; !at && *name; name++) {
		const struct qc_qtype *type = qc_qtype_find(*name);

		if (type && type->quantize && *n < QC_LADDER_MAX)
			types[(*n)++] = type;
	}
	while (at && *at) {
		const size_t len = strcspn(at, ", ");
		char name[32];
		const struct qc_qtype *type;

		if (len && len < sizeof(name)) {
			memcpy(name, at, len);
			name[len] = 0;
			type = qc_qtype_find(name);
			if (!type || !type->quantize || *n == QC_LADDER_MAX)
				return qc_fail(err, QC_USAGE,
					       "--ladder '%s': '%s' is no type that can be made "
					       "(at most %d types with commas between)",
					       options->ladder, name, QC_LADDER_MAX);
			types[(*n)++] = type;
		} else if (len) {
			return qc_fail(err, QC_USAGE, "--ladder '%s': no list of types",
				       options->ladder);
		}
		at += len;
		at += *at != 0;
	}
	return *n ? QC_OK : qc_fail(err, QC_USAGE, "--ladder: no type is given");
}

/* A type is on the matrix' ladder. In the default one types of 32 are left out where those of 256
 * fit, as these are better at equal size. */
static bool fits(const struct qc_budget *budget, const struct qc_budget_matrix *m,
		 const struct qc_qtype *type)
{
	const uint64_t cols = m->tensor->source->cols;

	if (cols % type->block_elems || !budget->plan->target->can_hold(type))
		return false;
	if (!budget->options->ladder && cols % 256 == 0 && type->block_elems == 32 &&
	    strcmp(type->name, "q8_0"))
		return false;
	return !type->needs_imatrix || budget->options->imatrix || budget->options->calib;
}

static enum qc_status add_types(struct qc_budget *budget, struct qc_budget_matrix *m,
				const struct qc_qtype *const *types, size_t n, struct qc_err *err)
{
	for (size_t k = 0; k < n; k++) {
		if (!fits(budget, m, types[k]))
			continue;
		if (!qc_qtype_bytes(types[k], m->weights, &m->bytes[m->n_types]))
			return qc_fail(err, QC_UNSUPPORTED, "tensor '%s' is too large",
				       m->tensor->name);
		m->types[m->n_types++] = types[k];
	}
	return QC_OK;
}

/* The matrices that are quantized and that no rule names. */
static enum qc_status find_matrices(struct qc_budget *budget, const struct qc_choice *choices,
				    struct qc_err *err)
{
	const struct qc_model *model = budget->plan->model;
	const struct qc_qtype *types[QC_LADDER_MAX];
	struct qc_user_rules rules = {0};
	size_t n_types = 0;
	enum qc_status s = read_ladder(budget->options, types, &n_types, err);

	if (!s)
		s = qc_user_rules_load(&rules, budget->options, &budget->plan->arena, err);
	budget->matrices = s ? NULL : calloc(model->n_tensors + 1, sizeof(*budget->matrices));
	if (!s && !budget->matrices)
		s = qc_no_memory(err);
	for (size_t i = 0; !s && i < model->n_tensors; i++) {
		const struct qc_tensor *tensor = &model->tensors[i];
		struct qc_budget_matrix *m = &budget->matrices[budget->n];
		const char *why;

		if (!choices[i].type || choices[i].type->block_elems == 1 ||
		    qc_user_rules_match(&rules, tensor->name, &why))
			continue;
		*m = (struct qc_budget_matrix){.tensor = tensor, .index = i, .sensitivity = 1};
		m->weights = qc_tensor_elems(tensor);
		s = add_types(budget, m, types, n_types, err);
		budget->n += m->n_types > 0;
	}
	qc_user_rules_clear(&rules);
	if (!s && !budget->n)
		s = qc_fail(err, QC_REFUSED, "no tensor's type can be chosen");
	return s;
}

enum qc_status qc_budget_weigh(struct qc_budget *budget, struct qc_err *err)
{
	enum qc_status s = QC_OK;

	for (size_t i = 0; !s && i < budget->n; i++) {
		struct qc_budget_matrix *m = &budget->matrices[i];
		const struct qc_source *source = m->tensor->source;
		struct qc_imatrix_entry *entry =
			qc_imatrix_find(&budget->plan->imatrix, m->tensor->name);
		const uint64_t n = m->tensor->n_dims > 2 ? m->tensor->dims[2] : 1;
		float *weights;

		if (!entry || source->rows % n)
			continue;
		weights = qc_arena_array(&budget->plan->arena, n * source->cols, sizeof(*weights));
		if (!weights)
			return qc_no_memory(err);
		s = qc_imatrix_fit(&budget->plan->imatrix, entry, source->cols, n, err);
		for (uint64_t e = 0; !s && e < n; e++)
			qc_imatrix_weights(entry, e, weights + e * source->cols, NULL);
		m->importance = weights;
		m->importance_rows = source->rows / n;
	}
	/* without its own weights a type that needs them cannot be made */
	for (size_t i = 0; i < budget->n; i++) {
		struct qc_budget_matrix *m = &budget->matrices[i];
		size_t n = 0;

		for (size_t k = 0; k < m->n_types; k++) {
			if (m->types[k]->needs_imatrix && !m->importance)
				continue;
			m->types[n] = m->types[k];
			m->bytes[n++] = m->bytes[k];
		}
		m->n_types = n;
		m->probe = 0;
		for (size_t k = 1; k < n; k++) /* the type of about 4.5 bits */
			if (fabs((double)m->bytes[k] * 8 / (double)m->weights - 4.5) <
			    fabs((double)m->bytes[m->probe] * 8 / (double)m->weights - 4.5))
				m->probe = k;
		if (!s && !n)
			s = qc_fail(err, QC_REFUSED, "tensor '%s': no type of the ladder fits",
				    m->tensor->name);
	}
	return s;
}

/* Bytes of the tensors that are not chosen here, and weights of all that are written. */
static enum qc_status count_fixed(const struct qc_budget *budget, const struct qc_choice *choices,
				  uint64_t *bytes, uint64_t *weights, struct qc_err *err)
{
	const struct qc_model *model = budget->plan->model;
	size_t next = 0;

	*bytes = *weights = 0;
	for (size_t i = 0; i < model->n_tensors; i++) {
		const uint64_t elems = qc_tensor_elems(&model->tensors[i]);
		uint64_t own = 0;

		if (!choices[i].type)
			continue;
		*weights += elems;
		if (next < budget->n && budget->matrices[next].index == i) {
			next++;
			continue;
		}
		if (!qc_qtype_bytes(choices[i].type, elems, &own) || !qc_add(*bytes, own, bytes))
			return qc_fail(err, QC_UNSUPPORTED, "tensor '%s' is too large",
				       model->tensors[i].name);
	}
	return QC_OK;
}

/* Bytes of a file that are not tensors: what its layout says of the first choice. Padding is
 * counted as if every tensor needed all of it. */
static enum qc_status count_header(const struct qc_budget *budget, const struct qc_choice *choices,
				   uint64_t *bytes, struct qc_err *err)
{
	const struct qc_plan *plan = budget->plan;
	const struct qc_model *model = plan->model;
	const struct qc_layout_wish wish = {.meta = &model->meta};
	struct qc_out_tensor *tensors = calloc(model->n_tensors + 1, sizeof(*tensors));
	struct qc_out out = {0};
	size_t n = 0;
	enum qc_status s;

	if (!tensors)
		return qc_no_memory(err);
	for (size_t i = 0; i < model->n_tensors; i++) {
		const struct qc_tensor *t = &model->tensors[i];

		if (!choices[i].type)
			continue;
		tensors[n] = (struct qc_out_tensor){.name = t->name,
						    .n_dims = t->n_dims,
						    .dims = t->dims,
						    .type = choices[i].type};
		if (qc_qtype_bytes(choices[i].type, qc_tensor_elems(t), &tensors[n].bytes))
			n++;
	}
	s = plan->target->layout(tensors, n, &wish, &out, err);
	*bytes = HEADER_ROOM + 32 * (uint64_t)n;
	for (size_t i = 0; !s && i < out.n_files; i++)
		*bytes += out.files[i].header_bytes;
	qc_out_clear(&out);
	free(tensors);
	return s;
}

/* Bytes that the chosen matrices may take together. */
static enum qc_status find_room(const struct qc_budget *budget, const struct qc_choice *choices,
				uint64_t *room, struct qc_err *err)
{
	const struct qconv_options *options = budget->options;
	uint64_t fixed, weights, header = 0, all;
	enum qc_status s = count_fixed(budget, choices, &fixed, &weights, err);

	if (!s && options->target_bytes)
		s = count_header(budget, choices, &header, err);
	if (s)
		return s;
	all = options->target_bytes ? options->target_bytes
				    : (uint64_t)(options->target_bpw * (double)weights / 8);
	if (all < fixed + header)
		return qc_fail(err, QC_REFUSED,
			       "the tensors whose types are fixed take %llu bytes already, %llu "
			       "are allowed",
			       (unsigned long long)(fixed + header), (unsigned long long)all);
	*room = all - fixed - header;
	return QC_OK;
}

/* Costs of every type; a type that is larger and no better is as good as the smaller one. */
static void predict(struct qc_budget *budget)
{
	for (size_t i = 0; i < budget->n; i++) {
		struct qc_budget_matrix *m = &budget->matrices[i];

		for (size_t k = 0; k < m->n_types; k++)
			m->costs[k] = m->sensitivity * m->errors[k];
	}
}

static enum qc_status take(struct qc_budget *budget, struct qc_choice *choices,
			   const size_t *chosen, struct qc_err *err)
{
	struct qc_plan *plan = budget->plan;

	for (size_t i = 0; i < budget->n; i++) {
		const struct qc_budget_matrix *m = &budget->matrices[i];
		const size_t k = chosen[i];
		struct qc_choice *choice = &choices[m->index];

		*choice = (struct qc_choice){.type = m->types[k]};
		choice->why =
			qc_arena_printf(&plan->arena,
					budget->options->calib ? "%.2f bits: KLD %.2g"
							       : "%.2f bits: relative error %.2g",
					(double)m->bytes[k] * 8 / (double)m->weights, m->costs[k]);
		if (!choice->why)
			return qc_no_memory(err);
		plan->predicted_kld += m->costs[k];
	}
	plan->predicted = budget->options->calib != NULL;
	return QC_OK;
}

static enum qc_status choose(struct qc_budget *budget, struct qc_choice *choices, uint64_t room,
			     struct qc_err *err)
{
	struct qc_knapsack_item *items = calloc(budget->n, sizeof(*items));
	size_t *chosen = calloc(budget->n, sizeof(*chosen));
	uint64_t smallest;
	enum qc_status s = items && chosen ? QC_OK : qc_no_memory(err);

	for (size_t i = 0; !s && i < budget->n; i++) {
		const struct qc_budget_matrix *m = &budget->matrices[i];

		items[i] = (struct qc_knapsack_item){m->costs, m->bytes, m->n_types};
	}
	if (!s)
		s = qc_knapsack(items, budget->n, room, chosen, &smallest, err);
	if (s == QC_REFUSED)
		s = qc_fail_in(err, "the size asked for is below what the ladder can do");
	if (!s)
		s = take(budget, choices, chosen, err);
	free(items);
	free(chosen);
	return s;
}

static enum qc_status check_options(const struct qc_plan *plan, const struct qconv_options *options,
				    struct qc_err *err)
{
	if (options->target_bpw > 0 && options->target_bytes)
		return qc_fail(err, QC_USAGE, "--target-bpw and --target-size: give one of them");
	if (options->target_bpw > MAX_BPW)
		return qc_fail(err, QC_USAGE, "--target-bpw %g: at most %d", options->target_bpw,
			       MAX_BPW);
	if (options->pure)
		return qc_fail(err, QC_USAGE, "--pure leaves nothing to choose for a target size");
	if (plan->target->layout_kind != QC_LAYOUT_GGUF)
		return qc_fail(err, QC_UNSUPPORTED,
			       "a target size needs types to choose from: only GGUF outputs have "
			       "them");
	return QC_OK;
}

enum qc_status qc_budget_choose(struct qc_plan *plan, const struct qconv_options *options,
				struct qc_choice *choices, struct qc_err *err)
{
	struct qc_budget budget = {.plan = plan, .options = options};
	uint64_t room = 0;
	enum qc_status s = check_options(plan, options, err);

	if (!s)
		s = find_matrices(&budget, choices, err);
	if (!s)
		s = find_room(&budget, choices, &room, err);
	if (!s && options->calib) {
		s = qc_budget_probe(&budget, err);
	} else if (!s) {
		s = qc_budget_weigh(&budget, err);
		if (!s)
			s = qc_budget_errors(&budget, err);
	}
	if (!s) {
		predict(&budget);
		s = choose(&budget, choices, room, err);
	}
	free(budget.matrices);
	return s;
}
