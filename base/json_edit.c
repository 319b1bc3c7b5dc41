/*
 * Edits are splices: stretches of the text and what stands in their place. The document's nodes
 * know where keys and values lie, so nothing is printed anew but what changes.
 */
#include "base/json_edit.h"

#include <stdlib.h>
#include <string.h>

#include "base/json_node.h"

/* text[begin, end) becomes `text`. */
struct qc_json_splice {
	size_t begin, end, order;
	char *text; /* malloc */
};

static enum qc_status add_splice(struct qc_json_edit *edit, size_t begin, size_t end, char *text,
				 struct qc_err *err)
{
	if (text && edit->n == edit->cap) {
		size_t cap = edit->cap ? edit->cap * 2 : 8;
		struct qc_json_splice *bigger = realloc(edit->splices, cap * sizeof(*bigger));

		if (bigger) {
			edit->splices = bigger;
			edit->cap = cap;
		}
	}
	if (!text || edit->n == edit->cap) {
		free(text);
		return qc_no_memory(err);
	}
	edit->splices[edit->n] = (struct qc_json_splice){begin, end, edit->n, text};
	edit->n++;
	return QC_OK;
}

/* Pieces of text that become one. */
struct pieces {
	const char *at[8];
	size_t len[8], n;
};

static void put(struct pieces *pieces, const char *text, size_t len)
{
	pieces->at[pieces->n] = text;
	pieces->len[pieces->n++] = len;
}

/* All of them in one string (malloc); NULL when memory is out. */
static char *join(const struct pieces *pieces)
{
	size_t size = 0, at = 0;
	char *text;

	for (size_t i = 0; i < pieces->n; i++)
		size += pieces->len[i];
	text = malloc(size + 1);
	for (size_t i = 0; text && i < pieces->n; i++) {
		memcpy(text + at, pieces->at[i], pieces->len[i]);
		at += pieces->len[i];
	}
	if (text)
		text[at] = 0;
	return text;
}

static size_t value_end(const struct qc_json *json, qc_json_value value)
{
	size_t len;

	(void)qc_json_raw(json, value, &len);
	return json->nodes[value].at + len;
}

/* Whether the member's key, between its quotes, comes behind `key`. */
static bool key_is_larger(const struct qc_json *json, qc_json_value member, const char *key)
{
	const char *own = json->text + json->nodes[member].key + 1;
	size_t len = (size_t)(qc_json_closing(own, json->nodes[member].key_escape) - own);
	size_t n = strlen(key), common = n < len ? n : len;
	int order = memcmp(own, key, common);

	return order > 0 || (!order && len > n);
}

/* The white space before a member: what a new one begins with too. */
static size_t space_before(const struct qc_json *json, size_t at)
{
	size_t begin = at;

	while (begin && memchr(" \t\r\n", json->text[begin - 1], 4))
		begin--;
	return begin;
}

static enum qc_status insert(struct qc_json_edit *edit, qc_json_value object, const char *key,
			     const char *value, struct qc_err *err)
{
	const struct qc_json *json = edit->json;
	qc_json_value first = qc_json_first(json, object), before = first, last = 0;
	struct pieces text = {0};
	size_t at, begin, space;

	while (before && !key_is_larger(json, before, key)) {
		last = before;
		before = qc_json_next(json, before);
	}
	begin = first ? space_before(json, json->nodes[first].key) : 0;
	space = first ? json->nodes[first].key - begin : 0;
	if (before)
		at = json->nodes[before].key;
	else
		at = last ? value_end(json, last) : (size_t)json->nodes[object].at + 1;
	if (!before && last) {
		put(&text, ",", 1);
		put(&text, json->text + begin, space);
	}
	put(&text, "\"", 1);
	put(&text, key, strlen(key));
	put(&text, "\": ", 3);
	put(&text, value, strlen(value));
	if (before) {
		put(&text, ",", 1);
		put(&text, json->text + begin, space);
	}
	return add_splice(edit, at, at, join(&text), err);
}

enum qc_status qc_json_edit_set(struct qc_json_edit *edit, qc_json_value object, const char *key,
				const char *value, struct qc_err *err)
{
	qc_json_value old = qc_json_get(edit->json, object, key);

	if (old)
		return add_splice(edit, edit->json->nodes[old].at, value_end(edit->json, old),
				  strdup(value), err);
	return insert(edit, object, key, value, err);
}

enum qc_status qc_json_edit_remove(struct qc_json_edit *edit, qc_json_value object, const char *key,
				   struct qc_err *err)
{
	const struct qc_json *json = edit->json;
	qc_json_value old = qc_json_get(json, object, key), next, before = 0;

	if (!old)
		return QC_OK;
	next = qc_json_next(json, old);
	if (next) /* up to the next key, whose place it takes */
		return add_splice(edit, json->nodes[old].key, json->nodes[next].key, strdup(""),
				  err);
	for (qc_json_value v = qc_json_first(json, object); v != old; v = qc_json_next(json, v))
		before = v;
	return add_splice(
		edit, before ? value_end(json, before) : space_before(json, json->nodes[old].key),
		value_end(json, old), strdup(""), err);
}

static int by_position(const void *a, const void *b)
{
	const struct qc_json_splice *x = a, *y = b;

	if (x->begin != y->begin)
		return x->begin < y->begin ? -1 : 1;
	/* what is put in comes before what is taken away there */
	if (x->end != y->end)
		return x->end < y->end ? -1 : 1;
	return x->order < y->order ? -1 : x->order > y->order;
}

enum qc_status qc_json_edit_apply(const struct qc_json_edit *edit, char **text, size_t *size,
				  struct qc_err *err)
{
	size_t total = edit->json->size, from = 0;
	char *out;

	if (edit->n)
		qsort(edit->splices, edit->n, sizeof(*edit->splices), by_position);
	for (size_t i = 0; i < edit->n; i++)
		total += strlen(edit->splices[i].text);
	out = *text = malloc(total + 1);
	if (!out)
		return qc_no_memory(err);
	for (size_t i = 0; i < edit->n; i++) {
		const struct qc_json_splice *s = &edit->splices[i];
		size_t len = strlen(s->text);

		if (s->begin > from) {
			memcpy(out, edit->json->text + from, s->begin - from);
			out += s->begin - from;
		}
		memcpy(out, s->text, len);
		out += len;
		from = s->end > from ? s->end : from;
	}
	memcpy(out, edit->json->text + from, edit->json->size - from);
	out += edit->json->size - from;
	*out = 0;
	*size = (size_t)(out - *text);
	return QC_OK;
}

void qc_json_edit_clear(struct qc_json_edit *edit)
{
	for (size_t i = 0; i < edit->n; i++)
		free(edit->splices[i].text);
	free(edit->splices);
	*edit = (struct qc_json_edit){0};
}
