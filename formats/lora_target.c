/* Which tensor of the model an adapted module is, and whether the adapter fits it. */
#include "formats/lora.h"

#include <math.h>
#include <string.h>

#include "formats/arch/arch.h"

#define AMBIGUOUS UINT64_MAX /* two tensors have this key */

static enum qc_status add_key(struct qc_lora_names *names, struct qc_arena *arena, const char *name,
			      uint64_t index, struct qc_err *err)
{
	const char *key = qc_lora_key(arena, name);
	bool was_there;
	enum qc_status s =
		key ? qc_strmap_add(&names->keys, key, strlen(key), index, &was_there, err)
		    : qc_no_memory(err);

	if (!s && was_there)
		*qc_strmap_find(&names->keys, key, strlen(key)) = AMBIGUOUS;
	return s;
}

enum qc_status qc_lora_names_init(struct qc_lora_names *names, struct qc_model *model,
				  struct qc_err *err)
{
	enum qc_status s = QC_OK;

	*names = (struct qc_lora_names){.n_tensors = model->n_tensors};
	for (size_t i = 0; !s && i < model->n_tensors; i++)
		s = add_key(names, &model->arena, model->tensors[i].stored_name, i, err);
	for (size_t i = 0; !s && i < model->n_drops; i++) {
		const char *key = qc_lora_key(&model->arena, model->drops[i].name);

		if (!key)
			s = qc_no_memory(err);
		else if (!qc_strmap_find(&names->keys, key, strlen(key)))
			s = add_key(names, &model->arena, model->drops[i].name,
				    names->n_tensors + i, err);
	}
	return s;
}

void qc_lora_names_clear(struct qc_lora_names *names)
{
	qc_strmap_clear(&names->keys);
}

size_t qc_lora_tied_embedding(const struct qc_model *model)
{
	size_t embedding = SIZE_MAX;

	if (!model->arch)
		return SIZE_MAX;
	for (size_t i = 0; i < model->n_tensors; i++) {
		if (!strcmp(model->tensors[i].name, "output.weight"))
			return SIZE_MAX;
		if (!strcmp(model->tensors[i].name, "token_embd.weight"))
			embedding = i;
	}
	return embedding;
}

enum qc_status qc_lora_find_tensor(struct qc_lora_target *target, const struct qc_model *model,
				   const struct qc_lora_names *names, const char *key,
				   const struct qc_tensor *part, struct qc_err *err)
{
	const uint64_t *found = qc_strmap_find(&names->keys, key, strlen(key));

	target->tensor = SIZE_MAX;
	target->drop = NULL;
	if (!found)
		return qc_fail(err, QC_BAD_INPUT,
			       "tensor '%.200s' of the adapter: the base model has no '%.160s'",
			       part->stored_name, key);
	if (*found == AMBIGUOUS)
		return qc_fail(err, QC_BAD_INPUT,
			       "tensor '%.200s' of the adapter: the base model has more than one "
			       "'%.160s'",
			       part->stored_name, key);
	if (*found >= names->n_tensors)
		target->drop = &model->drops[*found - names->n_tensors];
	else
		target->tensor = (size_t)*found;
	return QC_OK;
}

enum qc_status qc_lora_check_shape(const struct qc_tensor *part, uint32_t n_dims,
				   const uint64_t *dims, const char *of, struct qc_err *err)
{
	const struct qc_tensor wanted = {.n_dims = n_dims, .dims = dims};
	char have[96], want[96];

	if (part->n_dims == n_dims && !memcmp(part->dims, dims, n_dims * sizeof(*dims)))
		return QC_OK;
	qc_tensor_shape_text(part, have, sizeof(have));
	qc_tensor_shape_text(&wanted, want, sizeof(want));
	return qc_fail(err, QC_BAD_INPUT,
		       "tensor '%.200s' of the adapter is %s; for '%.160s' it must be %s",
		       part->stored_name, have, of, want);
}

static enum qc_status misfit(const struct qc_lora_target *target, const struct qc_tensor *base,
			     struct qc_err *err)
{
	char a[96], b[96], shape[96];

	qc_tensor_shape_text(target->a, a, sizeof(a));
	qc_tensor_shape_text(target->b, b, sizeof(b));
	qc_tensor_shape_text(base, shape, sizeof(shape));
	return qc_fail(
		err, QC_BAD_INPUT,
		"tensors '%.160s' (%s) and '%.160s' (%s) of the adapter do not fit '%.160s' (%s)",
		target->a->stored_name, a, target->b->stored_name, b, base->stored_name, shape);
}

/* A square matrix does not say which way round it is: what the architecture says of the tensor
 * does.
 */
static enum qc_status square_experts(struct qc_lora_target *target, const struct qc_tensor *base,
				     struct qc_err *err)
{
	if (!base->row || base->row->op != QC_ROWS_TRANSPOSE)
		return qc_fail(err, QC_UNSUPPORTED,
			       "tensor '%.160s': its matrices are square, and qconv does not know "
			       "whether this model stores their rows as outputs or as inputs",
			       base->stored_name);
	target->transposed = base->transposed;
	return QC_OK;
}

/* Whether the tensor's rows can be had as floats at all. */
static enum qc_status check_readable(const struct qc_tensor *base, uint64_t rows, uint64_t cols,
				     struct qc_err *err)
{
	const struct qc_source *source = base->source;
	const bool floats = !source->ops->read_raw || source->type->dequantize;

	if (floats && !source->type->is_integer && source->rows == rows && source->cols == cols)
		return QC_OK;
	return qc_fail(err, QC_UNSUPPORTED,
		       "tensor '%.160s' is stored as %s: nothing can be added to it",
		       base->stored_name, source->type->name);
}

/* The factors against the matrix: rank, experts, orientation. `swapped`: an embedding, or
 * fan_in_fan_out, where a linear layer among others may still be the usual way round. */
static enum qc_status fit(struct qc_lora_target *target, const struct qc_tensor *base, bool swapped,
			  struct qc_err *err)
{
	const struct qc_tensor *a = target->a, *b = target->b;
	uint64_t rows, cols;
	bool straight, transposed;

	if (a->n_dims != 2 || b->n_dims != 2 || base->n_dims < 2 || base->n_dims > 3)
		return misfit(target, base, err);
	cols = base->dims[0];
	rows = base->dims[1];
	target->n_experts = base->n_dims == 3 ? base->dims[2] : 1;
	straight = a->dims[0] == cols && b->dims[1] == rows;
	transposed = a->dims[0] == rows && b->dims[1] == cols && (swapped || base->n_dims == 3);
	if ((!straight && !transposed) || !rows || !cols || !target->n_experts || !a->dims[1] ||
	    b->dims[0] != a->dims[1] || a->dims[1] % target->n_experts)
		return misfit(target, base, err);
	target->rank = a->dims[1] / target->n_experts;
	target->transposed = transposed;
	if (straight && transposed && base->n_dims == 3 && square_experts(target, base, err))
		return err->status;
	return check_readable(base, rows * target->n_experts, cols, err);
}

/* Whether `parameter`, as target_parameters has it, means NAME of the module at `path`; then NAME.
 */
static const char *parameter_of(const char *parameter, const char *path)
{
	const char *dot = strrchr(parameter, '.');
	const size_t n = dot ? (size_t)(dot - parameter) : 0, len = strlen(path);

	if (!n)
		return dot ? dot + 1 : parameter;
	if (len < n || memcmp(path + len - n, parameter, n) ||
	    (len > n && path[len - n - 1] != '.'))
		return NULL;
	return dot + 1;
}

/* Of a module's path without the wrappers around it. */
static int path_len(const char *path)
{
	size_t len = strlen(path);

	while (len > 11 && !memcmp(path + len - 11, ".base_layer", 11))
		len -= 11;
	return (int)len;
}

/* A module whose parameter is adapted itself (fused experts). Several of one module are wrapped
 * around each other, in an order that depends on PEFT's version: the shapes tell which is which. */
static enum qc_status find_parameter(struct qc_lora_target *target, struct qc_model *model,
				     const struct qc_lora_names *names,
				     const struct qc_lora_adapter *adapter,
				     const struct qc_lora_module *module, const char **path,
				     struct qc_err *err)
{
	struct qc_lora_target found = {.tensor = SIZE_MAX};
	const struct qc_lora_config *config = &adapter->config;
	struct qc_err misfits = {0};

	for (size_t i = 0; i < config->n_parameters; i++) {
		const char *name = parameter_of(config->parameters[i], module->key);
		const char *key =
			name ? qc_arena_printf(&model->arena, "%s.%s", module->key, name) : NULL;
		struct qc_lora_target one = *target;

		if (name && !key)
			return qc_no_memory(err);
		if (!key || !qc_strmap_find(&names->keys, key, strlen(key)))
			continue;
		if (qc_lora_find_tensor(&one, model, names, key, target->a, err))
			return err->status;
		if (one.drop) {
			*target = one;
			return QC_OK;
		}
		if (fit(&one, &model->tensors[one.tensor], false, &misfits))
			continue;
		if (found.tensor != SIZE_MAX && found.tensor != one.tensor)
			return qc_fail(err, QC_BAD_INPUT,
				       "tensor '%.160s' of the adapter fits both '%.160s' and "
				       "'%.160s'",
				       target->a->stored_name,
				       model->tensors[found.tensor].stored_name,
				       model->tensors[one.tensor].stored_name);
		found = one;
		*path = qc_arena_printf(&model->arena, "%.*s.%s", path_len(module->path),
					module->path, name);
		if (!*path)
			return qc_no_memory(err);
	}
	if (found.tensor == SIZE_MAX)
		return misfits.status
			       ? qc_fail(err, misfits.status, "%s", misfits.text)
			       : qc_fail(err, QC_BAD_INPUT,
					 "tensor '%.200s' of the adapter: the base model has "
					 "no '%.160s.weight', and target_parameters names "
					 "nothing of it",
					 target->a->stored_name, module->key);
	*target = found;
	return QC_OK;
}

/* alpha / r, from the tensors' rank, which the configuration must confirm. */
static enum qc_status set_scaling(struct qc_lora_target *target,
				  const struct qc_lora_config *config, const char *path,
				  struct qc_err *err)
{
	const double rank = qc_lora_config_rank(config, path), r = (double)target->rank;

	if (rank != r)
		return qc_fail(err, QC_BAD_INPUT,
			       "tensor '%.200s' has rank %llu, adapter_config.json makes it %g",
			       target->a->stored_name, (unsigned long long)target->rank, rank);
	target->alpha = qc_lora_config_alpha(config, path);
	target->scaling = target->alpha / (config->use_rslora ? sqrt(r) : r);
	return QC_OK;
}

static enum qc_status missing(const struct qc_lora_module *module, const char *what,
			      struct qc_err *err)
{
	return qc_fail(err, QC_BAD_INPUT, "module '%.200s' of the adapter has no %s", module->path,
		       what);
}

enum qc_status qc_lora_find_target(struct qc_lora_target *target, struct qc_model *model,
				   const struct qc_lora_names *names,
				   const struct qc_lora_adapter *adapter,
				   const struct qc_lora_module *module, struct qc_err *err)
{
	const struct qc_tensor *const *parts = module->parts;
	const bool embedding = parts[QC_LORA_EMBEDDING_A] || parts[QC_LORA_EMBEDDING_B];
	const char *key = qc_arena_printf(&model->arena, "%s.weight", module->key);
	const char *path = module->path;
	enum qc_status s = QC_OK;

	*target = (struct qc_lora_target){.tensor = SIZE_MAX};
	target->a = parts[embedding ? QC_LORA_EMBEDDING_A : QC_LORA_A];
	target->b = parts[embedding ? QC_LORA_EMBEDDING_B : QC_LORA_B];
	if (!key)
		return qc_no_memory(err);
	if (embedding && (parts[QC_LORA_A] || parts[QC_LORA_B]))
		return qc_fail(err, QC_BAD_INPUT,
			       "module '%.200s' of the adapter is a matrix and an embedding",
			       module->path);
	if (!target->a || !target->b)
		return missing(module, target->a ? "B" : "A", err);
	if (!qc_strmap_find(&names->keys, key, strlen(key)) && adapter->config.n_parameters) {
		s = find_parameter(target, model, names, adapter, module, &path, err);
	} else {
		s = qc_lora_find_tensor(target, model, names, key, target->a, err);
		/* an embedding's matrices are the transposed way round to begin with */
		if (!s && !target->drop)
			s = fit(target, &model->tensors[target->tensor],
				embedding || adapter->config.fan_in_fan_out, err);
	}
	if (s || target->drop)
		return s;
	return set_scaling(target, &adapter->config, path, err);
}

enum qc_status qc_lora_touches_ends(const struct qc_lora_adapter *adapter, struct qc_model *model,
				    size_t embedding_index, bool *head, bool *embedding,
				    struct qc_err *err)
{
	const char *key = qc_lora_key(&model->arena, model->tensors[embedding_index].stored_name);
	const size_t len = key ? strlen(key) : 0;

	*head = *embedding = false;
	if (!key)
		return qc_no_memory(err);
	for (size_t i = 0; i < adapter->n_modules; i++) {
		const struct qc_lora_module *module = &adapter->modules[i];
		const size_t n = strlen(module->key);

		/* a module's path, or a tensor's name, which goes on with ".weight" */
		*head |= !strcmp(module->key,
				 module->parts[QC_LORA_WHOLE] ? "lm_head.weight" : "lm_head");
		if (module->parts[QC_LORA_WHOLE])
			*embedding |= !strcmp(module->key, key);
		else
			*embedding |= len == n + 7 && !memcmp(key, module->key, n);
	}
	return QC_OK;
}

enum qc_status qc_lora_drop_module(struct qc_model *model, const struct qc_lora_module *module,
				   const struct qc_drop *drop, struct qc_err *err)
{
	char *reason =
		qc_arena_printf(&model->arena, "its base tensor is dropped (%s)", drop->reason);
	enum qc_status s = reason ? QC_OK : qc_no_memory(err);

	for (int part = 0; !s && part < QC_LORA_PARTS; part++) {
		const struct qc_tensor *tensor = module->parts[part];

		if (tensor)
			s = qc_model_add_drop(model, tensor->stored_name,
					      qc_tensor_stored_bytes(tensor), reason, err);
	}
	return s;
}
