/*
 * Split GGUF sets: PREFIX-00001-of-00003.gguf and so on, each a complete GGUF file. The first
 * carries the metadata, all carry split.no (from 0), split.count and split.tensors.count (of the
 * whole set).
 */
#include "formats/gguf.h"

#include <string.h>

static enum qc_status split_number(const struct qc_meta *meta, const char *key, bool *is_there,
				   uint32_t *value, struct qc_err *err)
{
	*is_there = qc_meta_find(meta, key) != NULL;
	if (*is_there && !qc_meta_u32(meta, key, value))
		return qc_fail(err, QC_BAD_INPUT, "%s is not a small whole number", key);
	return QC_OK;
}

enum qc_status qc_gguf_split_keys(const struct qc_meta *meta, struct qc_gguf_split *split,
				  struct qc_err *err)
{
	bool has_no, has_count;
	enum qc_status s;

	*split = (struct qc_gguf_split){.count = 1};
	s = split_number(meta, "split.no", &has_no, &split->no, err);
	if (!s)
		s = split_number(meta, "split.count", &has_count, &split->count, err);
	if (!s)
		s = split_number(meta, "split.tensors.count", &split->has_total, &split->total,
				 err);
	if (s)
		return s;
	if (has_no && !has_count)
		return qc_fail(err, QC_BAD_INPUT, "split.no is there without split.count");
	if (!split->count || split->count > UINT16_MAX)
		return qc_fail(err, QC_BAD_INPUT, "split.count is %u, it must be 1 to 65535",
			       split->count);
	if (!has_no && split->count > 1)
		return qc_fail(err, QC_BAD_INPUT, "split.count is %u but split.no is missing",
			       split->count);
	if (split->no >= split->count)
		return qc_fail(err, QC_BAD_INPUT,
			       "split.no is %u, it must be below split.count, %u", split->no,
			       split->count);
	return QC_OK;
}

void qc_gguf_split_remove(struct qc_meta *meta)
{
	qc_meta_remove(meta, "split.no");
	qc_meta_remove(meta, "split.count");
	qc_meta_remove(meta, "split.tensors.count");
}

/* The decimal number of 5 digits (split.count is a u16) that ends just before `end`; returns where
 * it starts, NULL when there is none. */
static const char *number_before(const char *start, const char *end, uint32_t *value)
{
	const char *p = end;

	while (p > start && p[-1] >= '0' && p[-1] <= '9' && end - p < 5)
		p--;
	if (end - p != 5)
		return NULL;
	*value = 0;
	for (const char *digit = p; digit < end; digit++)
		*value = *value * 10 + (uint32_t)(*digit - '0');
	return p;
}

bool qc_gguf_split_name(const char *path, size_t *prefix_len, uint32_t *no, uint32_t *count)
{
	const char *end = path + strlen(path), *p;

	if (end - path < 5 || strcmp(end - 5, ".gguf"))
		return false;
	p = number_before(path, end - 5, count);
	if (!p || p - path < 4 || memcmp(p - 4, "-of-", 4))
		return false;
	p = number_before(path, p - 4, no);
	if (!p || p == path || p[-1] != '-' || !*no || *no > *count)
		return false;
	--*no;
	*prefix_len = (size_t)(p - 1 - path);
	return true;
}
