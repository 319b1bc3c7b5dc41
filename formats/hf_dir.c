/*
 * A Hugging Face model directory: config.json, one or more .safetensors files, tokenizer files. A
 * path to an index, or to a shard with its index beside it, means the directory.
 *
 * Files are opened relative to the directory's descriptor. Symbolic links are followed: the Hugging
 * Face cache consists of them.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "formats/hf.h"
#include "formats/safetensors.h"

/* A shard's tensors against what the index says of it. */
static enum qc_status check_shard(const struct qc_hf_shards *shards, const struct qc_model *model,
				  const struct qc_hf_shard *shard, size_t first, struct qc_err *err)
{
	for (size_t i = first; i < model->n_tensors; i++) {
		const char *name = model->tensors[i].stored_name;
		const uint64_t *number = qc_strmap_find(&shards->index.tensors, name, strlen(name));

		if (!number)
			return qc_fail(
				err, QC_BAD_INPUT,
				"tensor '%.120s' lies in '%s', but the index does not list it",
				name, shard->name);
		if (*number != shard->number)
			return qc_fail(err, QC_BAD_INPUT,
				       "tensor '%.120s' lies in '%s', but the index says in '%s'",
				       name, shard->name, shards->index.shards[*number]);
	}
	return QC_OK;
}

/* No tensor in two files; every tensor of the index in one. */
static enum qc_status check_names(const struct qc_hf_shards *shards, const struct qc_model *model,
				  struct qc_err *err)
{
	struct qc_strmap names = {0};
	const char *missing = NULL;
	enum qc_status s = QC_OK;

	for (size_t i = 0; !s && i < model->n_tensors; i++) {
		const char *name = model->tensors[i].stored_name;
		bool was_there;

		s = qc_strmap_add(&names, name, strlen(name), i, &was_there, err);
		if (!s && was_there)
			s = qc_fail(err, QC_BAD_INPUT, "'%s': tensor '%.120s' is in two files",
				    model->dir, name);
	}
	for (size_t i = 0; !s && i < shards->index.tensors.n_slots; i++) {
		const struct qc_strmap_slot *slot = &shards->index.tensors.slots[i];

		/* the smallest name, as the order of slots means nothing */
		if (slot->key && !qc_strmap_find(&names, slot->key, slot->len) &&
		    (!missing || strcmp(slot->key, missing) < 0))
			missing = slot->key;
	}
	if (missing) {
		uint64_t *number = qc_strmap_find(&shards->index.tensors, missing, strlen(missing));

		s = qc_fail(err, QC_BAD_INPUT, "tensor '%.120s' is in the index, but not in '%s'",
			    missing, shards->index.shards[*number]);
	}
	qc_strmap_clear(&names);
	return s;
}

static enum qc_status read_shards(const struct qc_hf_shards *shards, struct qc_model *model,
				  int dir_fd, struct qc_err *err)
{
	for (size_t i = 0; i < shards->n; i++) {
		const struct qc_hf_shard *shard = &shards->list[i];
		char *path = qc_arena_printf(&model->arena, "%s/%s", model->dir, shard->name);
		size_t first = model->n_tensors;
		uint32_t file;
		enum qc_status s =
			path ? qc_model_add_file(model, dir_fd, shard->name, path, &file, err)
			     : qc_no_memory(err);

		if (!s)
			s = qc_safetensors_append(model, file, err);
		if (!s && shards->has_index)
			s = check_shard(shards, model, shard, first, err);
		if (s)
			return s;
	}
	return check_names(shards, model, err);
}

static enum qc_status read_dir(struct qc_hf_shards *shards, struct qc_model *model, int dir_fd,
			       const char *path, struct qc_err *err)
{
	enum qc_status s = qc_hf_shards_find(shards, model, dir_fd, path, err);

	if (!s)
		s = qc_hf_load_config(model, shards->list[0].name, err);
	if (!s)
		s = read_shards(shards, model, dir_fd, err);
	if (s)
		return s;
	model->format_detail =
		shards->n == 1
			? "safetensors"
			: qc_arena_printf(&model->arena, "safetensors, %zu shards", shards->n);
	return model->format_detail ? qc_hf_finish(model, err) : qc_no_memory(err);
}

static enum qc_status hf_read(struct qc_model *model, const char *path, struct qc_err *err)
{
	int dir_fd = open(model->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct qc_hf_shards shards = {0};
	enum qc_status s;

	if (dir_fd < 0)
		return qc_fail_errno(err, errno, "cannot open '%s'", model->dir);
	s = read_dir(&shards, model, dir_fd, path, err);
	close(dir_fd);
	qc_hf_shards_clear(&shards);
	return s;
}

static unsigned hf_sniff(const struct qc_probe *probe)
{
	char path[4096];

	if (probe->is_dir)
		return 32;
	/* more than the .safetensors reader claims for a name of its own */
	return qc_hf_index_path(probe->path, path, sizeof(path)) && !access(path, F_OK) ? 96 : 0;
}

const struct qc_format qc_format_hf = {
	.name = "hf",
	.sniff = hf_sniff,
	.read = hf_read,
	.layout_kind = QC_LAYOUT_HF,
	.can_hold = qc_safetensors_can_hold,
	.is_dir = true,
	.layout = qc_hf_layout,
};
