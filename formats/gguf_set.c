/*
 * Writing a split GGUF set: which file each tensor goes into, and the files' headers. The rules are
 * llama-gguf-split's: tensors stay in their order; a new file begins when the next tensor, padded
 * to 32 bytes, would bring the file's tensors above the limit, or when the file has its number of
 * tensors. A first tensor above the limit, which llama-gguf-split refuses, gets a file like any
 * other.
 */
#include "formats/gguf.h"

#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/checked.h"

#define MAX_FILES UINT16_MAX /* split.count is a u16 */

/* The end of the run of tensors that begins at `first` and goes into one file. */
static size_t run_end(const struct qc_out_tensor *tensors, size_t n, size_t first,
		      const struct qc_split *split)
{
	uint64_t bytes = 0;
	size_t i;

	for (i = first; i < n; i++) {
		uint64_t padded, sum;

		if (!qc_align_up(tensors[i].bytes, QC_GGUF_DEFAULT_ALIGNMENT, &padded) ||
		    !qc_add(bytes, padded, &sum))
			sum = UINT64_MAX;
		if (i > first && ((split->max_bytes && sum > split->max_bytes) ||
				  (split->max_tensors && i - first == split->max_tensors)))
			break;
		bytes = sum;
	}
	return i;
}

static enum qc_status count_files(const struct qc_out_tensor *tensors, size_t n,
				  const struct qc_split *split, size_t *count, struct qc_err *err)
{
	*count = 0;
	for (size_t first = 0; first < n || !*count; ++*count)
		first = run_end(tensors, n, first, split);
	if (*count > MAX_FILES || n > INT32_MAX)
		return qc_fail(err, QC_UNSUPPORTED,
			       "the limits would make %zu files of %zu tensors, a set has at most "
			       "%d files and 2^31-1 tensors",
			       *count, n, MAX_FILES);
	return QC_OK;
}

static enum qc_status set_u16(struct qc_meta *meta, const char *key, size_t value,
			      struct qc_err *err)
{
	uint8_t bytes[2];

	qc_put_le16(bytes, (uint16_t)value);
	return qc_meta_set(meta, key, QC_KV_U16, QC_KV_U16, 1, bytes, sizeof(bytes), err);
}

/* In llama-gguf-split's order and types. */
static enum qc_status set_split_keys(struct qc_meta *meta, size_t no, size_t count, size_t total,
				     struct qc_err *err)
{
	uint8_t bytes[4];
	enum qc_status s = set_u16(meta, "split.no", no, err);

	qc_put_le32(bytes, (uint32_t)total);
	if (!s)
		s = qc_meta_set(meta, "split.tensors.count", QC_KV_I32, QC_KV_I32, 1, bytes,
				sizeof(bytes), err);
	return s ? s : set_u16(meta, "split.count", count, err);
}

static enum qc_status copy_meta(struct qc_meta *to, const struct qc_meta *from, struct qc_err *err)
{
	enum qc_status s = QC_OK;

	for (size_t i = 0; !s && i < from->n; i++) {
		const struct qc_kv *kv = &from->kvs[i];

		s = qc_meta_set(to, kv->key, kv->type, kv->elem, kv->n, kv->data, kv->bytes, err);
	}
	qc_gguf_split_remove(to);
	return s;
}

static enum qc_status lay_out_file(struct qc_out_tensor *tensors, size_t n,
				   const struct qc_meta *meta, size_t no, size_t count,
				   size_t total, struct qc_out *out, struct qc_err *err)
{
	struct qc_arena arena = {0};
	struct qc_meta own = {.arena = &arena};
	struct qc_out_file *file = qc_out_add(out);
	enum qc_status s = file ? QC_OK : qc_no_memory(err);

	if (!s && asprintf(&file->name, "-%05zu-of-%05zu.gguf", no + 1, count) < 0) {
		file->name = NULL;
		s = qc_no_memory(err);
	}
	if (!s && !no)
		s = copy_meta(&own, meta, err);
	if (!s)
		s = set_split_keys(&own, no, count, total, err);
	if (!s)
		s = qc_gguf_layout(tensors, n, &own, file, err);
	if (!s && (!qc_add(out->total_bytes, file->total_bytes, &out->total_bytes) ||
		   out->total_bytes > INT64_MAX))
		s = qc_fail(err, QC_UNSUPPORTED, "the output would be larger than 2^63 bytes");
	for (size_t i = 0; i < n; i++)
		tensors[i].file = (uint32_t)no;
	qc_meta_clear(&own);
	qc_arena_clear(&arena);
	return s;
}

/* Names are checked one file at a time elsewhere; a set is one model. */
static enum qc_status check_names(const struct qc_out_tensor *tensors, size_t n, struct qc_err *err)
{
	struct qc_strmap names = {0};
	enum qc_status s = QC_OK;

	for (size_t i = 0; !s && i < n; i++) {
		bool was_there = false;

		s = qc_strmap_add(&names, tensors[i].name, strlen(tensors[i].name), i, &was_there,
				  err);
		if (!s && was_there)
			s = qc_fail(err, QC_UNSUPPORTED,
				    "tensor '%s': there are two tensors of this name",
				    tensors[i].name);
	}
	qc_strmap_clear(&names);
	return s;
}

enum qc_status qc_gguf_layout_set(struct qc_out_tensor *tensors, size_t n,
				  const struct qc_layout_wish *wish, struct qc_out *out,
				  struct qc_err *err)
{
	size_t count, first = 0;
	enum qc_status s = count_files(tensors, n, &wish->split, &count, err);

	if (!s)
		s = check_names(tensors, n, err);
	out->is_set = true;
	for (size_t no = 0; !s && no < count; no++) {
		size_t end = run_end(tensors, n, first, &wish->split);

		s = lay_out_file(tensors + first, end - first, wish->meta, no, count, n, out, err);
		first = end;
	}
	return s;
}
