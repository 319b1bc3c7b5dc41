/* Lint: stored tensors sorted into modules by the ends of their names, modules into groups. */
#include <stdlib.h>
#include <string.h>

#include "convert/lint_rules.h"

/* The first that a name ends in counts: no earlier one is the end of a later one. */
static const struct {
	const char *suffix;
	enum lint_part part;
} suffixes[] = {
	{".weight.quant_state.bitsandbytes__nf4", PART_STATE_NF4},
	{".weight.quant_state.bitsandbytes__fp4", PART_STATE_FP4},
	{".weight.nested_quant_map", PART_NESTED_QUANT_MAP},
	{".weight.nested_absmax", PART_NESTED_ABSMAX},
	{".weight.quant_map", PART_QUANT_MAP},
	{".weight.absmax", PART_ABSMAX},
	{".quant_state.bitsandbytes__nf4", PART_STATE_NF4},
	{".quant_state.bitsandbytes__fp4", PART_STATE_FP4},
	{".nested_quant_map", PART_NESTED_QUANT_MAP},
	{".nested_absmax", PART_NESTED_ABSMAX},
	{".quant_map", PART_QUANT_MAP},
	{".absmax", PART_ABSMAX},
	{".weight_packed", PART_WEIGHT_PACKED},
	{".weight_scale_inv", PART_WEIGHT_SCALE_INV},
	{".weight_scale_2", PART_WEIGHT_SCALE_2},
	{".weight_scale", PART_WEIGHT_SCALE},
	{".weight_global_scale", PART_WEIGHT_GLOBAL_SCALE},
	{".weight_zero_point", PART_WEIGHT_ZERO_POINT},
	{".weight_shape", PART_WEIGHT_SHAPE},
	{".weight_format", PART_WEIGHT_FORMAT},
	{".weight", PART_WEIGHT},
	{".input_global_scale", PART_INPUT_GLOBAL_SCALE},
	{".input_scale", PART_INPUT_SCALE},
	{".pre_quant_scale", PART_PRE_QUANT_SCALE},
	{".k_scale", PART_K_SCALE},
	{".v_scale", PART_V_SCALE},
	{".qweight", PART_QWEIGHT},
	{".qzeros", PART_QZEROS},
	{".scales", PART_SCALES},
	{".g_idx", PART_G_IDX},
	{".SCB", PART_SCB},
	{".scale", PART_SCALE},
	{"_blocks", PART_BLOCKS},
	{"_scales", PART_BLOCK_SCALES},
	{"_weight_scale_2", PART_WEIGHT_SCALE_2},
	{"_weight_scale", PART_WEIGHT_SCALE},
	{"_input_scale", PART_INPUT_SCALE},
};
#define N_SUFFIXES (sizeof(suffixes) / sizeof(*suffixes))

const char *lint_part_suffix(enum lint_part part)
{
	for (size_t i = 0; i < N_SUFFIXES; i++)
		if (suffixes[i].part == part)
			return suffixes[i].suffix;
	return "";
}

const char *lint_leaf(const char *name)
{
	const char *dot = strrchr(name, '.');

	return dot ? dot + 1 : name;
}

const struct qc_tensor *lint_part(const struct lint *lint, const struct lint_module *module,
				  enum lint_part part)
{
	if (part >= LINT_PARTS || !module->part[part])
		return NULL;
	return &lint->model.tensors[module->part[part] - 1];
}

const char *lint_module_subject(const struct lint *lint, const struct lint_module *module)
{
	const struct qc_tensor *tensor =
		module->scheme ? lint_part(lint, module, module->scheme->codes) : NULL;

	for (int part = 0; !tensor && part < LINT_PARTS; part++)
		tensor = lint_part(lint, module, (enum lint_part)part);
	return tensor ? tensor->stored_name : module->name;
}

/* Where the name of the module ends; *part gets what follows. */
static size_t module_length(const char *name, enum lint_part *part)
{
	const size_t len = strlen(name);

	for (size_t i = 0; i < N_SUFFIXES; i++) {
		const size_t n = strlen(suffixes[i].suffix);

		if (len > n && !memcmp(name + len - n, suffixes[i].suffix, n)) {
			*part = suffixes[i].part;
			return len - n;
		}
	}
	*part = PART_BARE;
	return len;
}

static enum qc_status add_module(struct lint *lint, const char *name, size_t len, uint64_t *index)
{
	bool was_there;
	char *copy;

	if (lint->n_modules == lint->cap_modules) {
		const size_t cap = lint->cap_modules ? 2 * lint->cap_modules : 256;
		struct lint_module *list = realloc(lint->modules, cap * sizeof(*list));

		if (!list)
			return qc_no_memory(lint->err);
		lint->modules = list;
		lint->cap_modules = cap;
	}
	copy = qc_arena_copy(&lint->model.arena, name, len);
	if (!copy)
		return qc_no_memory(lint->err);
	*index = lint->n_modules;
	lint->modules[lint->n_modules++] = (struct lint_module){.name = copy};
	return qc_strmap_add(&lint->by_name, copy, len, *index, &was_there, lint->err);
}

static enum qc_status add_tensor(struct lint *lint, size_t number)
{
	const char *name = lint->model.tensors[number].stored_name;
	enum lint_part part;
	const size_t len = module_length(name, &part);
	const uint64_t *found = qc_strmap_find(&lint->by_name, name, len);
	uint64_t index = found ? *found : 0;
	enum qc_status s = found ? QC_OK : add_module(lint, name, len, &index);

	/* a name that is there twice (in two files) counts once */
	if (!s && !lint->modules[index].part[part])
		lint->modules[index].part[part] = (uint32_t)number + 1;
	return s;
}

/* Layers with one input, which loaders run as one, in this order. */
static const struct fusion {
	const char *leaf;
	size_t place;
	const char *what;
} fusions[] = {
	{"q_proj", 0, "q_proj, k_proj and v_proj"},
	{"k_proj", 1, "q_proj, k_proj and v_proj"},
	{"v_proj", 2, "q_proj, k_proj and v_proj"},
	{"gate_proj", 0, "gate_proj and up_proj"},
	{"up_proj", 1, "gate_proj and up_proj"},
	{"w1", 0, "w1 and w3"},
	{"w3", 1, "w1 and w3"},
	{"q_a_proj", 0, "q_a_proj and kv_a_proj_with_mqa"},
	{"kv_a_proj_with_mqa", 1, "q_a_proj and kv_a_proj_with_mqa"},
};

static const struct fusion *fusion_of(const char *leaf)
{
	for (size_t i = 0; i < sizeof(fusions) / sizeof(*fusions); i++)
		if (!strcmp(leaf, fusions[i].leaf))
			return &fusions[i];
	return NULL;
}

static enum qc_status add_to_group(struct lint *lint, const struct lint_module *module,
				   struct qc_strmap *parents)
{
	const char *leaf = lint_leaf(module->name);
	const struct fusion *fusion = fusion_of(leaf);
	struct lint_group *group;
	bool was_there;
	char *key;
	enum qc_status s;

	if (!fusion || (!module->part[PART_WEIGHT] && !module->scheme))
		return QC_OK;
	key = qc_arena_printf(&lint->model.arena, "%.*s%s", (int)(leaf - module->name),
			      module->name, fusion->what);
	if (!key)
		return qc_no_memory(lint->err);
	s = qc_strmap_add(parents, key, strlen(key), lint->n_groups, &was_there, lint->err);
	if (s)
		return s;
	if (!was_there)
		lint->groups[lint->n_groups++] = (struct lint_group){.what = fusion->what};
	group = &lint->groups[*qc_strmap_find(parents, key, strlen(key))];
	group->members[fusion->place] = module;
	return QC_OK;
}

/* Close the gaps that absent members left. */
static void close_group(struct lint_group *group)
{
	for (size_t i = 0; i < LINT_GROUP_MEMBERS; i++)
		if (group->members[i])
			group->members[group->n++] = group->members[i];
}

static enum qc_status build_groups(struct lint *lint)
{
	struct qc_strmap parents = {0};
	enum qc_status s = QC_OK;

	lint->groups = calloc(lint->n_modules + 1, sizeof(*lint->groups));
	if (!lint->groups)
		return qc_no_memory(lint->err);
	for (size_t i = 0; !s && i < lint->n_modules; i++)
		s = add_to_group(lint, &lint->modules[i], &parents);
	for (size_t i = 0; i < lint->n_groups; i++)
		close_group(&lint->groups[i]);
	qc_strmap_clear(&parents);
	return s;
}

/* Whether all that the scheme needs is there, of the right type. */
static bool is_complete(const struct lint *lint, const struct lint_module *module)
{
	const struct lint_need *need = module->scheme->needs;

	for (size_t i = 0; need[i].part != LINT_PARTS; i++) {
		const struct qc_tensor *tensor = lint_part(lint, module, need[i].part);
		bool fits = !need[i].types;

		if (!tensor && !need[i].optional)
			return false;
		for (size_t t = 0; tensor && need[i].types && need[i].types[t]; t++)
			fits |= tensor->source->type == need[i].types[t];
		if (tensor && !fits)
			return false;
	}
	return true;
}

enum qc_status lint_modules_build(struct lint *lint)
{
	enum qc_status s = QC_OK;

	if (lint->model.n_tensors >= UINT32_MAX)
		return qc_fail(lint->err, QC_UNSUPPORTED, "'%s': too many tensors",
			       lint->model.path);
	for (size_t i = 0; !s && i < lint->model.n_tensors; i++)
		s = add_tensor(lint, i);
	for (size_t i = 0; !s && i < lint->n_modules; i++) {
		struct lint_module *module = &lint->modules[i];

		module->scheme = lint_scheme_of(lint, module);
		module->complete = module->scheme && is_complete(lint, module);
		lint->n_quantized += module->scheme != NULL;
	}
	return s ? s : build_groups(lint);
}

void lint_modules_clear(struct lint *lint)
{
	free(lint->modules);
	free(lint->groups);
	qc_strmap_clear(&lint->by_name);
}
