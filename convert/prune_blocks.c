/* --prune-layers: a model without some of its blocks. */
#include <stdlib.h>
#include <string.h>

#include "convert/gguf_options.h"

/* Where each block goes: its new number, or -1. */
struct pruning {
	int32_t *moves;
	uint32_t n, left;
};

static uint32_t count_blocks(const struct qc_model *model)
{
	int32_t last = -1;

	for (size_t i = 0; i < model->n_tensors; i++)
		last = model->tensors[i].layer > last ? model->tensors[i].layer : last;
	return (uint32_t)(last + 1);
}

/* "3,7,8" */
static enum qc_status read_list(struct pruning *p, const struct qc_model *model, const char *list,
				struct qc_err *err)
{
	for (const char *at = list; *at;) {
		char *end;
		unsigned long block = strtoul(at, &end, 10);

		if (*at < '0' || *at > '9' || (*end && (*end != ',' || !end[1])))
			return qc_fail(err, QC_USAGE,
				       "--prune-layers '%s': block numbers with commas between are "
				       "needed",
				       list);
		if (block >= p->n)
			return qc_fail(err, QC_USAGE,
				       "--prune-layers: block %lu, '%s' has blocks 0 to %u", block,
				       model->path, p->n ? p->n - 1 : 0);
		p->moves[block] = -1;
		at = *end ? end + 1 : end;
	}
	for (uint32_t i = 0; i < p->n; i++)
		if (p->moves[i] >= 0)
			p->moves[i] = (int32_t)p->left++;
	if (!p->left || p->left == p->n)
		return qc_fail(err, QC_USAGE, "--prune-layers '%s' leaves %u of %u blocks", list,
			       p->left, p->n);
	return QC_OK;
}

/* "blk.7.rest" in its new place; NULL when memory is out. */
static const char *moved_name(struct qc_arena *arena, const char *name, int32_t block)
{
	const char *rest = strchr(name + strlen("blk."), '.');

	return qc_arena_printf(arena, "blk.%d%s", (int)block, rest ? rest : "");
}

static bool in_block(const char *name, const struct pruning *p, int32_t *move)
{
	char *end;
	unsigned long block;

	if (strncmp(name, "blk.", 4))
		return false;
	block = strtoul(name + 4, &end, 10);
	if (*end != '.' || block >= p->n)
		return false;
	*move = p->moves[block];
	return true;
}

static enum qc_status prune_tensors(struct qc_model *model, const struct pruning *p,
				    struct qc_err *err)
{
	size_t kept = 0;

	for (size_t i = 0; i < model->n_tensors; i++) {
		struct qc_tensor tensor = model->tensors[i];
		int32_t move;

		if (in_block(tensor.name, p, &move)) {
			if (move < 0 && qc_model_add_drop(model, tensor.stored_name,
							  qc_tensor_stored_bytes(&tensor),
							  "--prune-layers", err))
				return err->status;
			if (move < 0)
				continue;
			tensor.name = moved_name(&model->arena, tensor.name, move);
			tensor.layer = move;
			if (!tensor.name)
				return qc_no_memory(err);
		}
		model->tensors[kept++] = tensor;
	}
	model->n_tensors = kept;
	return QC_OK;
}

static enum qc_status prune_imatrix(struct qc_imatrix *im, const struct pruning *p,
				    struct qc_err *err)
{
	size_t kept = 0;

	qc_strmap_clear(&im->index);
	for (size_t i = 0; i < im->n_entries; i++) {
		struct qc_imatrix_entry entry = im->entries[i];
		int32_t move;
		bool was_there;

		if (in_block(entry.name, p, &move)) {
			if (move < 0)
				continue;
			entry.name = moved_name(&im->arena, entry.name, move);
			if (!entry.name)
				return qc_no_memory(err);
		}
		if (qc_strmap_add(&im->index, entry.name, strlen(entry.name), kept, &was_there,
				  err))
			return err->status;
		im->entries[kept++] = entry;
	}
	im->n_entries = kept;
	return QC_OK;
}

enum qc_status qc_prune_blocks(struct qc_plan *plan, const struct qconv_options *options,
			       struct qc_err *err)
{
	struct qc_model *model = plan->model;
	struct pruning p = {.n = count_blocks(model)};
	enum qc_status s;

	if (!options->prune_layers)
		return QC_OK;
	p.moves = qc_arena_array(&plan->arena, (uint64_t)p.n + 1, sizeof(*p.moves));
	if (!p.moves)
		return qc_no_memory(err);
	s = read_list(&p, model, options->prune_layers, err);
	if (!s)
		s = prune_tensors(model, &p, err);
	if (!s)
		s = prune_imatrix(&plan->imatrix, &p, err);
	plan->block_moves = p.moves;
	plan->n_blocks = p.n;
	return s;
}

/* The elements of the `n` blocks that stay. */
static enum qc_status prune_array(struct qc_plan *plan, const struct qc_kv *kv, uint32_t n,
				  struct qc_err *err)
{
	const size_t size = qc_kv_type_bytes(kv->elem);
	uint8_t *left = qc_arena_array(&plan->arena, n, size);

	if (!left)
		return qc_no_memory(err);
	for (uint32_t i = 0; i < plan->n_blocks; i++)
		if (plan->block_moves[i] >= 0)
			memcpy(left + (size_t)plan->block_moves[i] * size, kv->data + i * size,
			       size);
	return qc_meta_set(&plan->model->meta, kv->key, kv->type, kv->elem, n, left, n * size, err);
}

enum qc_status qc_prune_metadata(struct qc_plan *plan, struct qc_err *err)
{
	struct qc_model *model = plan->model;
	uint32_t left = 0;
	const char *arch = "", *end = ".block_count";
	char key[256];
	size_t len = 0;

	for (uint32_t i = 0; i < plan->n_blocks; i++)
		left += plan->block_moves[i] >= 0;
	if (!plan->block_moves ||
	    !qc_meta_string(&model->meta, "general.architecture", &arch, &len) ||
	    len + strlen(end) >= sizeof(key))
		return QC_OK;
	memcpy(key, arch, len);
	strcpy(key + len, end);
	for (size_t i = 0; i < model->meta.n; i++) {
		const struct qc_kv kv = model->meta.kvs[i];

		if (kv.type == QC_KV_ARRAY && kv.n == plan->n_blocks && qc_kv_type_bytes(kv.elem) &&
		    !strncmp(kv.key, key, len + 1) && prune_array(plan, &kv, left, err))
			return err->status;
	}
	if (!qc_meta_find(&model->meta, key))
		return QC_OK;
	return qc_meta_set_u32(&model->meta, key, left, err);
}
