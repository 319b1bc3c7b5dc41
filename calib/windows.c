/* Texts cut into windows. */
#include "calib/eval.h"

#include <stdlib.h>
#include <string.h>

#include "base/checked.h"

void qc_windows_clear(struct qc_windows *windows)
{
	free(windows->ids);
	memset(windows, 0, sizeof(*windows));
}

/* Room for `n` windows, at most `most` where that is not 0. */
static enum qc_status make(struct qc_windows *windows, size_t n, size_t most, size_t n_tokens,
			   size_t length, size_t first, struct qc_err *err)
{
	uint64_t bytes;

	memset(windows, 0, sizeof(*windows));
	if (!n)
		return qc_fail(err, QC_BAD_INPUT,
			       "the text has %zu tokens, one window needs %zu: give more text or a "
			       "smaller --ctx",
			       n_tokens, length);
	windows->n = most && most < n ? most : n;
	windows->length = length;
	windows->first = first;
	if (!qc_mul(windows->n, length, &bytes) || !qc_mul(bytes, sizeof(uint32_t), &bytes) ||
	    !(windows->ids = malloc(bytes)))
		return qc_no_memory(err);
	return QC_OK;
}

enum qc_status qc_windows_full(struct qc_windows *windows, const uint32_t *tokens, size_t n,
			       struct qc_bos bos, size_t length, size_t most, struct qc_err *err)
{
	const size_t step = bos.has ? length - 1 : length;
	enum qc_status s;

	if (length < 2)
		return qc_fail(err, QC_USAGE, "windows of %zu tokens, at least 2 are needed",
			       length);
	s = make(windows, n / step, most, n, length, 0, err);
	for (size_t w = 0; !s && w < windows->n; w++) {
		uint32_t *ids = windows->ids + w * length;

		if (bos.has)
			ids[0] = bos.id;
		memcpy(ids + (length - step), tokens + w * step, step * sizeof(*ids));
	}
	return s;
}

enum qc_status qc_windows_halves(struct qc_windows *windows, const uint32_t *tokens, size_t n,
				 struct qc_bos bos, size_t length, size_t most, struct qc_err *err)
{
	enum qc_status s;

	if (length < 4)
		return qc_fail(err, QC_USAGE, "windows of %zu tokens, at least 4 are needed",
			       length);
	s = make(windows, n / length, most, n, length, length / 2, err);
	for (size_t w = 0; !s && w < windows->n; w++) {
		uint32_t *ids = windows->ids + w * length;

		memcpy(ids, tokens + w * length, length * sizeof(*ids));
		if (bos.has)
			ids[0] = bos.id;
	}
	return s;
}
