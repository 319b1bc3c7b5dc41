/* The model IR's own housekeeping: opening through a format, growing lists, closing. */
#include "formats/model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "formats/format.h"

/* The folder of `path` itself when it is one, else the one it lies in. */
static const char *model_dir(struct qc_arena *arena, const char *path)
{
	const char *slash = strrchr(path, '/');
	struct stat st;

	if (!stat(path, &st) && S_ISDIR(st.st_mode))
		return path;
	if (!slash)
		return ".";
	return qc_arena_copy(arena, path, slash == path ? 1 : (size_t)(slash - path));
}

enum qc_status qc_model_open_as(struct qc_model *model, const struct qc_format *format,
				const char *path, struct qc_err *err)
{
	enum qc_status status;

	*model = (struct qc_model){.format = format};
	model->meta.arena = &model->arena;
	model->path = qc_arena_copy(&model->arena, path, strlen(path));
	model->dir = model->path ? model_dir(&model->arena, model->path) : NULL;
	status = model->dir ? format->read(model, model->path, err) : qc_no_memory(err);
	if (status)
		qc_model_close(model);
	return status;
}

enum qc_status qc_model_open(struct qc_model *model, const char *path, struct qc_err *err)
{
	const struct qc_format *format;
	enum qc_status status = qc_format_detect(path, &format, err);

	if (status) {
		*model = (struct qc_model){0};
		return status;
	}
	return qc_model_open_as(model, format, path, err);
}

void qc_model_close(struct qc_model *model)
{
	for (size_t i = 0; i < model->n_files; i++) {
		qc_file_close(model->files[i]);
		free(model->files[i]);
	}
	free(model->files);
	free(model->tensors);
	free(model->drops);
	qc_json_clear(&model->config);
	free(model->config_text);
	qc_meta_clear(&model->meta);
	qc_arena_clear(&model->arena);
	*model = (struct qc_model){0};
}

/* Make room for one more element in `list`, whose elements have `size` bytes; NULL when memory is
 * out. */
static void *list_grow(void *list, size_t n, size_t *cap, size_t size)
{
	size_t more = *cap ? *cap * 2 : 16;
	void *bigger;

	if (n < *cap)
		return list;
	bigger = realloc(list, more * size);
	if (bigger)
		*cap = more;
	return bigger;
}

enum qc_status qc_model_add_tensor(struct qc_model *model, const struct qc_tensor *tensor,
				   struct qc_err *err)
{
	struct qc_tensor *list =
		list_grow(model->tensors, model->n_tensors, &model->cap_tensors, sizeof(*list));

	if (!list)
		return qc_no_memory(err);
	model->tensors = list;
	list[model->n_tensors++] = *tensor;
	return QC_OK;
}

enum qc_status qc_model_add_drop(struct qc_model *model, const char *name, uint64_t bytes,
				 const char *reason, struct qc_err *err)
{
	struct qc_drop *list =
		list_grow(model->drops, model->n_drops, &model->cap_drops, sizeof(*list));
	struct qc_drop drop = {.bytes = bytes};

	if (!list)
		return qc_no_memory(err);
	model->drops = list;
	drop.name = qc_arena_copy(&model->arena, name, strlen(name));
	drop.reason = qc_arena_copy(&model->arena, reason, strlen(reason));
	if (!drop.name || !drop.reason)
		return qc_no_memory(err);
	list[model->n_drops++] = drop;
	return QC_OK;
}

enum qc_status qc_model_add_file(struct qc_model *model, int dir_fd, const char *name,
				 const char *path, uint32_t *index, struct qc_err *err)
{
	struct qc_file **list =
		list_grow(model->files, model->n_files, &model->cap_files, sizeof(*list));
	struct qc_file *file;
	enum qc_status status;

	if (!list)
		return qc_no_memory(err);
	model->files = list;
	file = calloc(
		1, sizeof(*file)); /* on its own: sources keep its address while the list moves */
	if (!file)
		return qc_no_memory(err);
	status = dir_fd >= 0 ? qc_file_open_at(file, dir_fd, name, path, err)
			     : qc_file_open(file, path, err);
	if (status) {
		free(file);
		return status;
	}
	*index = (uint32_t)model->n_files;
	list[model->n_files++] = file;
	return QC_OK;
}

void qc_model_note_reading(struct qc_model *model, uint64_t bytes)
{
	if (bytes > model->reading_bytes)
		model->reading_bytes = bytes;
}

const struct qc_tensor *qc_model_find(const struct qc_model *model, const char *name)
{
	for (size_t i = 0; i < model->n_tensors; i++)
		if (!strcmp(model->tensors[i].name, name))
			return &model->tensors[i];
	return NULL;
}

enum qc_status qc_model_unchanged(const struct qc_model *model, struct qc_err *err)
{
	for (size_t i = 0; i < model->n_files; i++) {
		enum qc_status status = qc_file_unchanged(model->files[i], err);

		if (status)
			return status;
	}
	return QC_OK;
}

uint64_t qc_tensor_elems(const struct qc_tensor *tensor)
{
	uint64_t n = 1;

	for (uint32_t i = 0; i < tensor->n_dims; i++)
		n *= tensor->dims[i];
	return n;
}

uint64_t qc_tensor_stored_bytes(const struct qc_tensor *tensor)
{
	const uint64_t elems = qc_tensor_elems(tensor);
	uint64_t bytes = 0;

	/* a part of a folded weight, or several that were stacked, in proportion */
	if (tensor->folded_elems)
		return (uint64_t)((double)tensor->folded_bytes *
				  ((double)elems / (double)tensor->folded_elems));
	return qc_qtype_bytes(tensor->source->type, elems, &bytes) ? bytes : 0;
}

bool qc_tensor_has_raw(const struct qc_tensor *tensor)
{
	return tensor->source->ops->read_raw && !tensor->scale;
}

const char *qc_tensor_stored_as(const struct qc_tensor *tensor)
{
	return tensor->encoding ? tensor->encoding : tensor->source->type->name;
}

void qc_tensor_shape_text(const struct qc_tensor *tensor, char *buf, size_t size)
{
	size_t at = 0;

	if (!tensor->n_dims)
		snprintf(buf, size, "scalar");
	for (uint32_t i = tensor->n_dims; i-- > 0;) {
		int n = snprintf(buf + at, size - at, "%llu%s", (unsigned long long)tensor->dims[i],
				 i ? "x" : "");

		if (n < 0 ||
		    (size_t)n >= size - at) { /* rank 32 is legal: show that some are left out */
			if (size >= 4)
				memcpy(buf + size - 4, "...", 4);
			return;
		}
		at += (size_t)n;
	}
}
