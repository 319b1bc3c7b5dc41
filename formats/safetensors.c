/*
 * safetensors: reading one file.
 *
 *	u64 n   n bytes of JSON (safetensors_header.c)   tensor data to the end of the file
 *
 * Tensors may begin at any byte: nothing is aligned.
 */
#include "formats/safetensors.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/bytes.h"
#include "formats/hf.h"

/* A header length that cannot be: another kind of file, or the beginning of a good one. */
static enum qc_status bad_length(const struct qc_file *file, const uint8_t *head, size_t head_size,
				 struct qc_err *err)
{
	const char *looks_like;

	if (head_size > 8 && qc_le64(head) <= QC_SAFETENSORS_MAX_HEADER && head[8] == '{')
		return qc_fail(err, QC_BAD_INPUT,
			       "the file has %llu bytes, its header alone should have %llu: the "
			       "download is incomplete",
			       (unsigned long long)file->size, (unsigned long long)qc_le64(head));
	looks_like = qc_file_looks_like(head, head_size);
	if (looks_like)
		return qc_fail(err, QC_BAD_INPUT, "not a safetensors file: it is %s", looks_like);
	if (head_size < 8)
		return qc_fail(err, QC_BAD_INPUT, "not a safetensors file: it has %zu bytes",
			       head_size);
	return qc_fail(err, QC_BAD_INPUT,
		       "not a safetensors file: its header would have %llu bytes, the file has "
		       "%llu and at most %u are allowed",
		       (unsigned long long)qc_le64(head), (unsigned long long)file->size,
		       QC_SAFETENSORS_MAX_HEADER);
}

/* The header's text in memory (malloc). */
static enum qc_status load_header(const struct qc_file *file, char **text, size_t *size,
				  struct qc_err *err)
{
	uint8_t head[512] = {0};
	size_t head_size = file->size < sizeof(head) ? (size_t)file->size : sizeof(head);
	enum qc_status s = head_size ? qc_file_read(file, 0, head, head_size, err) : QC_OK;
	uint64_t n = qc_le64(head);

	if (s)
		return s;
	if (head_size < 8 || n > QC_SAFETENSORS_MAX_HEADER || n > file->size - 8)
		return bad_length(file, head, head_size, err);
	*text = malloc((size_t)n + 1);
	if (!*text)
		return qc_no_memory(err);
	*size = (size_t)n;
	return n ? qc_file_read(file, 8, *text, (size_t)n, err) : QC_OK;
}

static enum qc_status add_entry(struct qc_model *model, uint32_t file, uint64_t data_start,
				const struct qc_safetensors_entry *e, struct qc_err *err)
{
	struct qc_tensor tensor = {.name = e->name,
				   .stored_name = e->name,
				   .n_dims = e->n_dims,
				   .dims = e->dims,
				   .layer = -1,
				   .file = file};
	uint64_t rows, cols;

	qc_source_shape(e->type, e->n_dims, e->dims, &rows, &cols);
	tensor.source = qc_source_file(&model->arena, model->files[file], data_start + e->begin,
				       e->type, rows, cols, false);
	if (!tensor.source)
		return qc_no_memory(err);
	return qc_model_add_tensor(model, &tensor, err);
}

enum qc_status qc_safetensors_append(struct qc_model *model, uint32_t file, struct qc_err *err)
{
	const struct qc_file *f = model->files[file];
	struct qc_safetensors_header header;
	char *text = NULL;
	size_t size = 0;
	enum qc_status s = load_header(f, &text, &size, err);

	if (!s)
		s = qc_safetensors_parse(&header, text, size, f->size - 8 - size, &model->arena,
					 err);
	free(text);
	qc_model_note_reading(model, 3 * (uint64_t)size); /* the header and its nodes */
	for (size_t i = 0; !s && i < header.n; i++)
		s = add_entry(model, file, 8 + size, &header.entries[i], err);
	return s ? qc_fail_in(err, "reading '%s'", f->path) : QC_OK;
}

/* The file's name claims the format; the length and the first byte of JSON behind it are better
 * evidence. A name that claims it wins over any content, so that a misnamed file is told from a
 * damaged one by our reader, not converted by another. */
static unsigned safetensors_sniff(const struct qc_probe *probe)
{
	size_t len = strlen(probe->path), ext = strlen(".safetensors");

	if (probe->is_dir)
		return 0;
	if (len > ext && !strcasecmp(probe->path + len - ext, ".safetensors"))
		return 64;
	if (probe->head_size > 8 && qc_le64(probe->head) <= QC_SAFETENSORS_MAX_HEADER &&
	    qc_le64(probe->head) <= probe->file_size - 8 && probe->head[8] == '{')
		return 40;
	return 0;
}

static enum qc_status safetensors_read(struct qc_model *model, const char *path, struct qc_err *err)
{
	uint32_t file;
	enum qc_status s;

	model->format_detail = "safetensors";
	s = qc_hf_load_config(model, path, err);
	if (!s)
		s = qc_model_add_file(model, -1, NULL, path, &file, err);
	if (!s)
		s = qc_safetensors_append(model, file, err);
	if (!s)
		s = qc_hf_finish(model, err);
	return s;
}

const struct qc_format qc_format_safetensors = {
	.name = "safetensors",
	.extension = ".safetensors",
	.sniff = safetensors_sniff,
	.read = safetensors_read,
	.layout_kind = QC_LAYOUT_HF,
	.can_hold = qc_safetensors_can_hold,
	.layout = qc_safetensors_layout_out,
};
