/* Reading a checkpoint without understanding it: the files, and the tensors that they list. */
#include "formats/hf_stored.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "formats/hf.h"
#include "formats/safetensors.h"

static enum qc_status append_shards(struct qc_model *model, const struct qc_hf_shards *shards,
				    int dir_fd, struct qc_err *err)
{
	enum qc_status s = QC_OK;

	for (size_t i = 0; !s && i < shards->n; i++) {
		const char *name = shards->list[i].name;
		char *path = qc_arena_printf(&model->arena, "%s/%s", model->dir, name);
		uint32_t file;

		s = path ? qc_model_add_file(model, dir_fd, name, path, &file, err)
			 : qc_no_memory(err);
		if (!s)
			s = qc_safetensors_append(model, file, err);
	}
	return s;
}

static enum qc_status dir_read(struct qc_model *model, const char *path, struct qc_err *err)
{
	int dir_fd = open(model->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct qc_hf_shards shards = {0};
	enum qc_status s;

	if (dir_fd < 0)
		return qc_fail_errno(err, errno, "cannot open '%s'", model->dir);
	s = qc_hf_shards_find(&shards, model, dir_fd, path, err);
	if (!s)
		s = append_shards(model, &shards, dir_fd, err);
	close(dir_fd);
	qc_hf_shards_clear(&shards);
	return s;
}

static enum qc_status file_read(struct qc_model *model, const char *path, struct qc_err *err)
{
	uint32_t file;
	enum qc_status s = qc_model_add_file(model, -1, NULL, path, &file, err);

	return s ? s : qc_safetensors_append(model, file, err);
}

/* In no list of formats: nothing is ever recognised as one of these. */
static const struct qc_format stored_dir = {.name = "stored tensors", .read = dir_read};
static const struct qc_format stored_file = {.name = "stored tensors", .read = file_read};

enum qc_status qc_hf_open_stored(struct qc_model *model, const char *path, struct qc_err *err)
{
	const struct qc_format *format;
	enum qc_status s;

	*model = (struct qc_model){0};
	s = qc_format_detect(path, &format, err);
	if (s)
		return s;
	if (format != &qc_format_hf && format != &qc_format_safetensors)
		return qc_fail(err, QC_UNSUPPORTED, "'%s' is %s, not safetensors", path,
			       format->name);
	return qc_model_open_as(model, format == &qc_format_hf ? &stored_dir : &stored_file, path,
				err);
}
