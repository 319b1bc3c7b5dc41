#include "convert/recipe_site.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/text.h"
#include "formats/arch/arch.h"

/* A number of the model, or of its first layer when there is one per layer. */
static int64_t model_number(const struct qc_model *model, const char *arch, const char *key,
			    int64_t absent)
{
	char full[256];
	const struct qc_kv *kv;
	uint32_t value;
	int len = snprintf(full, sizeof(full), "%s.%s", arch, key);

	if (len < 0 || (size_t)len >= sizeof(full))
		return absent;
	if (qc_meta_u32(&model->meta, full, &value))
		return value;
	kv = qc_meta_find(&model->meta, full);
	if (kv && kv->type == QC_KV_ARRAY && kv->n && kv->bytes >= 4 &&
	    (kv->elem == QC_KV_I32 || kv->elem == QC_KV_U32))
		return qc_le32(kv->data);
	return absent;
}

static const struct qc_recipe_category *find_category(const char *name)
{
	const struct qc_recipe_category *row;

	for (row = qc_recipe_categories; row->text; row++)
		if (row->whole ? !strcmp(name, row->text) : strstr(name, row->text) != NULL)
			return row;
	return NULL;
}

enum qc_category qc_recipe_category(const char *name)
{
	const struct qc_recipe_category *row = find_category(name);

	return row ? row->category : QC_CAT_OTHER;
}

static enum qc_category category_of(const struct qc_survey *survey, const char *name)
{
	enum qc_category category = qc_recipe_category(name);

	return survey->tied && category == QC_CAT_TOKEN_EMBD ? QC_CAT_HEAD : category;
}

static bool is_ffn_bias(const char *name)
{
	static const char *const ends[] = {".ffn_gate.bias", ".ffn_up.bias", ".ffn_down.bias"};

	for (size_t i = 0; i < sizeof(ends) / sizeof(*ends); i++)
		if (qc_text_ends(name, ends[i]))
			return true;
	return false;
}

enum qc_status qc_survey_model(struct qc_survey *survey, const struct qc_model *model,
			       const struct qc_qtype *normal, struct qc_arena *arena,
			       struct qc_err *err)
{
	struct qc_recipe_site *site = &survey->site;
	const char *arch = "";
	size_t len = 0;

	if (model->arch) {
		arch = model->arch->name;
	} else if (qc_meta_string(&model->meta, "general.architecture", &arch, &len)) {
		arch = qc_arena_copy(arena, arch, len);
		if (!arch)
			return qc_no_memory(err);
	}
	memset(survey, 0, sizeof(*survey));
	site->arch = arch;
	site->n_layers = model_number(model, arch, "block_count", 0);
	site->n_experts = model_number(model, arch, "expert_count", 0);
	site->n_heads = model_number(model, arch, "attention.head_count", 0);
	site->n_heads_kv = model_number(model, arch, "attention.head_count_kv", site->n_heads);
	site->normal = normal;
	survey->tied = true;
	for (size_t i = 0; i < model->n_tensors; i++) {
		const struct qc_recipe_category *row = find_category(model->tensors[i].name);

		site->has_ffn_bias = site->has_ffn_bias || is_ffn_bias(model->tensors[i].name);
		if (!row)
			continue;
		if (row->category == QC_CAT_HEAD)
			survey->tied = false;
		if (row->category & QC_CAT_V_LIKE)
			site->n_v_like++;
	}
	return QC_OK;
}

/* "blk.N..." -> N, else -1. */
static int64_t block_number(const char *name)
{
	int64_t n = 0;

	if (strncmp(name, "blk.", 4) || name[4] < '0' || name[4] > '9')
		return -1;
	for (const char *p = name + 4; *p >= '0' && *p <= '9'; p++) {
		if (n > INT32_MAX / 10)
			return -1;
		n = n * 10 + (*p - '0');
	}
	return n;
}

int qc_visit_order(const char *a, const char *b)
{
	int64_t x = block_number(a), y = block_number(b);

	return x != y ? (x < y ? -1 : 1) : strcmp(a, b);
}

static int compare_visits(const void *a, const void *b)
{
	return qc_visit_order(((const struct qc_visit *)a)->name,
			      ((const struct qc_visit *)b)->name);
}

struct qc_visit *qc_visiting_order(const struct qc_model *model)
{
	struct qc_visit *visits = calloc(model->n_tensors + 1, sizeof(*visits));

	if (!visits)
		return NULL;
	for (size_t i = 0; i < model->n_tensors; i++) {
		visits[i].name = model->tensors[i].name;
		visits[i].index = i;
	}
	qsort(visits, model->n_tensors, sizeof(*visits), compare_visits);
	return visits;
}

/* Which of its kind an FFN matrix is. */
static int64_t count_ffn(struct qc_survey *survey, enum qc_category category)
{
	int64_t *counter = category == QC_CAT_FFN_DOWN	 ? &survey->i_ffn[0]
			   : category == QC_CAT_FFN_GATE ? &survey->i_ffn[1]
			   : category == QC_CAT_FFN_UP	 ? &survey->i_ffn[2]
							 : NULL;

	return counter ? (*counter)++ : 0;
}

/* Experts of one layer may be several tensors: then the block number counts. */
static int64_t ffn_layer(const struct qc_recipe_site *site)
{
	int64_t block = site->n_experts > 1 ? block_number(site->name) : -1;

	return block >= 0 ? block : site->i_ffn;
}

void qc_survey_enter(struct qc_survey *survey, const struct qc_tensor *tensor)
{
	struct qc_recipe_site *site = &survey->site;

	site->name = tensor->name;
	site->category = category_of(survey, tensor->name);
	site->cols = tensor->dims[0];
	site->slices = tensor->n_dims > 2 ? tensor->dims[2] : 1;
	site->i_ffn = count_ffn(survey, site->category);
	site->layer = ffn_layer(site);
}

void qc_survey_leave(struct qc_survey *survey)
{
	if (survey->site.category & QC_CAT_V_LIKE)
		survey->site.i_v_like++;
}
