#include "formats/gguf_header.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/checked.h"
#include "formats/gguf.h"

/* The tensor table is read like any other, for its checks and its end. */
static enum qc_status read_table(struct qc_gguf_header *header, struct qc_gguf *gguf,
				 struct qc_err *err)
{
	struct qc_model model = {0};
	struct qc_strmap names = {0};
	uint32_t file;
	enum qc_status s = qc_model_add_file(&model, -1, NULL, header->file.path, &file, err);

	header->infos_start = gguf->reader.pos;
	if (!s)
		s = qc_gguf_read_tensors(gguf, &model, file, &names, err);
	header->infos_bytes = gguf->reader.pos - header->infos_start;
	qc_strmap_clear(&names);
	qc_model_close(&model);
	return s;
}

static enum qc_status read_all(struct qc_gguf_header *header, struct qc_err *err)
{
	struct qc_gguf gguf = {0};
	enum qc_status s = qc_gguf_start(&gguf, &header->file, err);

	if (!s && gguf.big_endian)
		s = qc_fail(err, QC_UNSUPPORTED,
			    "a big-endian GGUF: convert it first (qconv IN OUT.gguf)");
	if (!s)
		s = qc_gguf_read_kvs(&gguf, &header->meta, err);
	if (!s)
		s = read_table(header, &gguf, err);
	header->n_tensors = gguf.n_tensors;
	header->alignment = gguf.alignment;
	/* a file without tensors may end before the padding does */
	if (!s && !qc_align_up(gguf.reader.pos, gguf.alignment, &header->data_start))
		s = qc_fail(err, QC_BAD_INPUT, "the header is too long");
	if (!s && header->data_start > header->file.size)
		header->data_start = header->file.size;
	qc_gguf_clear(&gguf);
	return s;
}

enum qc_status qc_gguf_header_open(struct qc_gguf_header *header, const char *path,
				   struct qc_err *err)
{
	enum qc_status s;

	memset(header, 0, sizeof(*header));
	header->meta.arena = &header->arena;
	s = qc_file_open(&header->file, path, err);
	if (!s && read_all(header, err))
		s = err->status == QC_IO || err->status == QC_NO_MEMORY
			    ? err->status
			    : qc_fail_in(err, "'%s'", path);
	if (s)
		qc_gguf_header_close(header);
	return s;
}

enum qc_status qc_gguf_header_build(const struct qc_gguf_header *header, uint8_t **bytes,
				    size_t *size, struct qc_err *err)
{
	struct qc_out_file keys = {0};
	uint64_t alignment, used, total;
	enum qc_status s = qc_gguf_alignment(&header->meta, &alignment, err);

	if (!s && alignment != header->alignment)
		s = qc_fail(err, QC_REFUSED,
			    QC_GGUF_ALIGNMENT_KEY " would be %llu, the tensors lie at multiples of "
						  "%llu",
			    (unsigned long long)alignment, (unsigned long long)header->alignment);
	if (!s)
		s = qc_gguf_meta_bytes(&header->meta, &used, err);
	if (!s)
		s = qc_gguf_layout(NULL, 0, &header->meta, &keys, err);
	if (s)
		return s;
	used += QC_GGUF_HEAD_BYTES;
	*bytes = NULL;
	if (qc_add(used, header->infos_bytes, &total) && qc_align_up(total, alignment, &total))
		*bytes = calloc(1, total);
	if (!*bytes) {
		free(keys.header);
		return qc_no_memory(err);
	}
	memcpy(*bytes, keys.header, used);
	free(keys.header);
	qc_put_le64(*bytes + 8, header->n_tensors);
	*size = (size_t)total;
	s = qc_file_read(&header->file, header->infos_start, *bytes + used,
			 (size_t)header->infos_bytes, err);
	if (s)
		free(*bytes);
	return s;
}

void qc_gguf_header_close(struct qc_gguf_header *header)
{
	qc_file_close(&header->file);
	qc_meta_clear(&header->meta);
	qc_arena_clear(&header->arena);
	memset(header, 0, sizeof(*header));
}
