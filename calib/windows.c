#include "calib/windows.h"

#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/utf8.h"
#include "calib/text_file.h"
#include "calib/tokenize.h"

enum { SHORTEST = 16 };

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

static enum qc_status check_utf8(const char *path, const char *text, size_t len, struct qc_err *err)
{
	size_t at = 0, n;

	if (qc_utf8_valid(text, len))
		return QC_OK;
	while (at < len && (n = qc_utf8_length(text + at, len - at)))
		at += n;
	return qc_fail(err, QC_BAD_INPUT, "'%s' is not UTF-8: byte %zu is 0x%02x", path, at,
		       (unsigned char)text[at]);
}

/* The window i * n / most of all `n` becomes window i. */
static void spread(struct qc_windows *windows, size_t most)
{
	const size_t n = windows->n, length = windows->length;

	for (size_t i = 0; n > most && i < most; i++)
		memmove(windows->ids + i * length, windows->ids + i * n / most * length,
			length * sizeof(*windows->ids));
	windows->n = n > most ? most : n;
}

static enum qc_status cut(struct qc_windows *windows, const struct qc_tokenizer *tok,
			  const char *text, size_t len, const struct qc_window_options *options,
			  struct qc_err *err)
{
	const size_t most = options->spread ? 0 : options->most;
	size_t length = options->length;
	struct qc_bos bos = {0};
	struct qc_ids ids = {0};
	enum qc_status s;

	bos.has = qc_tokenizer_adds_bos(tok) && qc_tokenizer_bos(tok, &bos.id);
	s = qc_tokenizer_encode(tok, text, len, options->full ? 0 : QC_ENCODE_ADD_SPECIAL, &ids,
				err);
	while (length > SHORTEST && ids.n / length < options->fewest)
		length /= 2;
	if (!s && options->full)
		s = qc_windows_full(windows, ids.ids, ids.n, bos, length, most, err);
	else if (!s)
		s = qc_windows_halves(windows, ids.ids, ids.n, bos, length, most, err);
	qc_ids_clear(&ids);
	if (!s && options->spread && options->most)
		spread(windows, options->most);
	return s;
}

enum qc_status qc_windows_of_text(struct qc_windows *windows, const struct qc_model *model,
				  const char *path, const struct qc_window_options *options,
				  struct qc_err *err)
{
	struct qc_tokenizer *tok = NULL;
	char *text = NULL;
	size_t len = 0;
	enum qc_status s = qc_text_read(path, &text, &len, err);

	if (!s)
		s = check_utf8(path, text, len, err);
	if (!s)
		s = qc_tokenizer_open(&tok, model, err);
	if (!s)
		s = cut(windows, tok, text, len, options, err);
	qc_tokenizer_close(tok);
	free(text);
	return s;
}

enum qc_status qc_windows_check(const struct qc_windows *windows, const struct qc_model *model,
				const struct qc_model *other, struct qc_err *err)
{
	const struct qc_kv *a = qc_meta_find(&model->meta, "tokenizer.ggml.tokens");
	const struct qc_kv *b = qc_meta_find(&other->meta, "tokenizer.ggml.tokens");
	const size_t n_ids = windows->n * windows->length;
	size_t at = 0, other_at = 0, len, other_len;
	const char *text, *other_text;
	uint64_t n;
	bool *used;
	enum qc_status s = QC_OK;

	if (!a || !b || a->elem != QC_KV_STRING || b->elem != QC_KV_STRING)
		return QC_OK;
	n = a->n < b->n ? a->n : b->n;
	used = calloc(n + 1, sizeof(*used));
	if (!used)
		return qc_no_memory(err);
	for (size_t i = 0; i < n_ids; i++)
		used[windows->ids[i] < n ? windows->ids[i] : n] = true;
	for (uint64_t id = 0; !s && id < n && qc_kv_next_string(a, &at, &text, &len) &&
			      qc_kv_next_string(b, &other_at, &other_text, &other_len);
	     id++)
		if (used[id] && (len != other_len || memcmp(text, other_text, len) != 0))
			s = qc_fail(err, QC_USAGE,
				    "token %llu of the text is '%.*s' in '%s' and '%.*s' in '%s': "
				    "only models with the same vocabulary can be compared",
				    (unsigned long long)id, len < 64 ? (int)len : 64, text,
				    model->path, other_len < 64 ? (int)other_len : 64, other_text,
				    other->path);
	free(used);
	return s;
}

enum qc_status qc_windows_hold_out(struct qc_windows *windows, size_t one_in, struct qc_err *err)
{
	const size_t n = windows->n, length = windows->length, n_held = n / one_in;
	uint32_t *ids = malloc((n * length + 1) * sizeof(*ids));
	size_t learnt = 0, held = 0;

	if (!ids)
		return qc_no_memory(err);
	for (size_t i = 0; i < n; i++) {
		const bool is_held = i % one_in == one_in / 2 && held < n_held;
		const size_t to = is_held ? n - n_held + held++ : learnt++;

		memcpy(ids + to * length, windows->ids + i * length, length * sizeof(*ids));
	}
	free(windows->ids);
	windows->ids = ids;
	return QC_OK;
}
