#include "convert/hf_fused.h"

#include <string.h>

#include "base/strmap.h"
#include "convert/fused_layers.h"

/* What a weight is run together with. */
struct company {
	char key[256]; /* empty: nothing */
	const char *all;
};

/* The module's name has no ".weight"; experts in one tensor have none. */
static void find_company(const struct qc_tensor *tensor, struct company *company)
{
	static const char weight[] = ".weight", experts[] = ".experts.";
	const char *name = tensor->stored_name, *at = strstr(name, experts);
	const struct qc_fused_layer *fused;
	size_t len = strlen(name), n = sizeof(weight) - 1, prefix;
	char module[sizeof(company->key)];

	*company = (struct company){.all = "all experts of a block"};
	if (len > n && !strcmp(name + len - n, weight))
		len -= n;
	if (tensor->n_dims < 2 || len >= sizeof(module) || strstr(name, "_bias"))
		return;
	memcpy(module, name, len);
	module[len] = 0;
	if (at) {
		prefix = (size_t)(at - name) + sizeof(experts) - 1;
		if (prefix < sizeof(company->key))
			memcpy(company->key, name, prefix);
		return;
	}
	fused = qc_fused_layer_find(module, &prefix);
	if (!fused)
		return;
	company->all = fused->all;
	module[prefix] = 0;
	if (prefix + strlen(fused->group) + 2 > sizeof(company->key))
		return;
	memcpy(company->key, module, prefix);
	company->key[prefix] = '/';
	strcpy(company->key + prefix + 1, fused->group);
}

static enum qc_status differ(const struct qc_plan *plan, const struct qc_choice *choices, size_t a,
			     size_t b, const char *all, struct qc_err *err)
{
	const size_t packed = choices[a].packing ? a : b, left = packed == a ? b : a;
	const struct qc_tensor *tensors = plan->model->tensors;

	return qc_fail(err, QC_USAGE,
		       "'%.160s' would be %s and '%.160s' %s (%s): loaders run %s as one layer and "
		       "read one kind for it; name all of them (--skip, --tensor), or none",
		       tensors[packed].stored_name, choices[packed].packing->name,
		       tensors[left].stored_name, choices[left].type->name, choices[left].why, all);
}

static enum qc_status check_all(const struct qc_plan *plan, const struct qc_choice *choices,
				struct qc_strmap *seen, struct qc_arena *arena, struct qc_err *err)
{
	for (size_t i = 0; i < plan->model->n_tensors; i++) {
		struct company company;
		const uint64_t *first;
		bool was_there;
		char *key;

		if (!choices[i].type && !choices[i].packing)
			continue; /* dropped */
		find_company(&plan->model->tensors[i], &company);
		if (!*company.key)
			continue;
		first = qc_strmap_find(seen, company.key, strlen(company.key));
		if (first && !choices[*first].packing != !choices[i].packing)
			return differ(plan, choices, (size_t)*first, i, company.all, err);
		if (first)
			continue;
		key = qc_arena_copy(arena, company.key, strlen(company.key));
		if (!key)
			return qc_no_memory(err);
		if (qc_strmap_add(seen, key, strlen(key), i, &was_there, err))
			return err->status;
	}
	return QC_OK;
}

enum qc_status qc_hf_check_fused(const struct qc_plan *plan, const struct qc_choice *choices,
				 struct qc_err *err)
{
	struct qc_strmap seen = {0};
	struct qc_arena arena = {0};
	enum qc_status s;

	if (!plan->packing || !plan->packing->fused_alike)
		return QC_OK;
	s = check_all(plan, choices, &seen, &arena, err);
	qc_strmap_clear(&seen);
	qc_arena_clear(&arena);
	return s;
}
