/* Lint: values of scales and tables, read a part at a time. */
#include <math.h>
#include <string.h>

#include "convert/lint_rules.h"

enum qc_status lint_each_part(struct lint *lint, const struct qc_tensor *tensor,
			      void (*use)(void *user, const uint8_t *bytes, size_t n), void *user)
{
	const struct qc_qtype *type = tensor->source->type;
	const size_t step = LINT_BUFFER / type->block_bytes * type->block_bytes;
	struct qc_extent extent;

	if (!tensor->source->rows ||
	    !qc_source_extent(tensor->source, 0, tensor->source->rows, &extent))
		return QC_OK;
	for (uint64_t at = 0; at < extent.bytes;) {
		const uint64_t left = extent.bytes - at;
		const size_t n = left < step ? (size_t)left : step;
		enum qc_status s;

		if (lint->options->stop && *lint->options->stop)
			return qc_fail(lint->err, QC_INTERRUPTED, "interrupted");
		s = qc_file_read(extent.file, extent.offset + at, lint->buffer, n, lint->err);
		if (s)
			return s;
		if (!extent.in_order)
			qc_qtype_swap(type, lint->buffer, n / type->block_bytes);
		use(user, lint->buffer, n);
		at += n;
	}
	return QC_OK;
}

struct scan {
	const struct qc_qtype *type;
	struct lint_counts *counts;
	float *floats;
	/* of one-byte types */
	float value[256];
	bool counted[256];
};

/* Whether the value is one of those that `first` looks for. */
static bool count_value(struct lint_counts *c, float x, uint64_t times)
{
	c->zero += x == 0 ? times : 0;
	c->negative += x < 0 ? times : 0;
	c->nan += isnan(x) ? times : 0;
	c->infinite += isinf(x) ? times : 0;
	if (isfinite(x)) {
		c->min = x < c->min ? x : c->min;
		c->max = x > c->max ? x : c->max;
	}
	return !(x > 0) || isinf(x);
}

static void scan_bytes(void *user, const uint8_t *bytes, size_t n)
{
	struct scan *scan = user;
	struct lint_counts *c = scan->counts;
	uint64_t times[256] = {0};
	bool any = false;

	for (size_t i = 0; i < n; i++)
		times[bytes[i]]++;
	for (unsigned code = 0; code < 256; code++)
		if (times[code])
			any |= count_value(c, scan->value[code], times[code]);
	for (size_t i = 0; any && c->first == UINT64_MAX && i < n; i++)
		if (scan->counted[bytes[i]]) {
			c->first = c->n + i;
			c->first_value = scan->value[bytes[i]];
		}
	c->n += n;
}

static void scan_words(void *user, const uint8_t *bytes, size_t n)
{
	struct scan *scan = user;
	struct lint_counts *c = scan->counts;

	n /= scan->type->block_bytes;
	scan->type->dequantize(bytes, scan->floats, n);
	for (size_t i = 0; i < n; i++)
		if (count_value(c, scan->floats[i], 1) && c->first == UINT64_MAX) {
			c->first = c->n + i;
			c->first_value = scan->floats[i];
		}
	c->n += n;
}

enum qc_status lint_scan(struct lint *lint, const struct qc_tensor *tensor,
			 const struct qc_qtype *as, struct lint_counts *counts)
{
	struct scan scan = {
		.type = as ? as : tensor->source->type, .counts = counts, .floats = lint->floats};
	enum qc_status s;

	*counts = (struct lint_counts){.first = UINT64_MAX, .min = INFINITY, .max = -INFINITY};
	if (!scan.type->dequantize || scan.type->block_elems != 1 || scan.type->block_bytes > 8)
		return QC_OK;
	if (scan.type->block_bytes == 1) {
		uint8_t codes[256];

		for (unsigned code = 0; code < 256; code++)
			codes[code] = (uint8_t)code;
		scan.type->dequantize(codes, scan.value, 256);
		for (unsigned code = 0; code < 256; code++)
			scan.counted[code] = !(scan.value[code] > 0) || isinf(scan.value[code]);
	}
	s = lint_each_part(lint, tensor, scan.type->block_bytes == 1 ? scan_bytes : scan_words,
			   &scan);
	if (counts->first == UINT64_MAX)
		counts->first = counts->n;
	return s;
}

enum qc_status lint_first(struct lint *lint, const struct qc_tensor *tensor, bool *has,
			  float *value)
{
	const struct qc_qtype *type = tensor->source->type;
	struct qc_extent extent;
	uint8_t bytes[8];
	enum qc_status s;

	*has = tensor->source->rows && type->dequantize && type->block_elems == 1 &&
	       type->block_bytes <= sizeof(bytes) &&
	       qc_source_extent(tensor->source, 0, tensor->source->rows, &extent) &&
	       extent.bytes >= type->block_bytes;
	if (!*has)
		return QC_OK;
	s = qc_file_read(extent.file, extent.offset, bytes, type->block_bytes, lint->err);
	if (s)
		return s;
	if (!extent.in_order)
		qc_qtype_swap(type, bytes, 1);
	type->dequantize(bytes, value, 1);
	return QC_OK;
}
