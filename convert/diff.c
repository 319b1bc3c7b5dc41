#include "convert/diff.h"

#include <stdlib.h>
#include <string.h>

static bool same_strings(const struct qc_kv *a, size_t *at_a, const struct qc_kv *b, size_t *at_b)
{
	const char *x, *y;
	size_t len_x, len_y;

	return qc_kv_next_string(a, at_a, &x, &len_x) && qc_kv_next_string(b, at_b, &y, &len_y) &&
	       len_x == len_y && (!len_x || !memcmp(x, y, len_x));
}

/* Where two arrays of one element type differ. */
static void compare_elements(struct qc_meta_difference *d)
{
	const uint64_t n = d->a->n < d->b->n ? d->a->n : d->b->n;
	const uint64_t most = d->a->n < d->b->n ? d->b->n : d->a->n;
	const size_t bytes = qc_kv_type_bytes(d->a->elem);
	size_t at_a = 0, at_b = 0;

	d->first = n;
	for (uint64_t i = 0; i < n; i++) {
		const bool same =
			d->a->elem == QC_KV_STRING
				? same_strings(d->a, &at_a, d->b, &at_b)
				: !memcmp(d->a->data + i * bytes, d->b->data + i * bytes, bytes);

		if (!same && !d->n_elements++)
			d->first = i;
	}
	d->n_elements += most - n;
}

static enum qc_status compare_meta(struct qc_diff *diff, struct qc_err *err)
{
	const struct qc_meta *a = &diff->a.meta, *b = &diff->b.meta;

	diff->keys = calloc(a->n + b->n + 1, sizeof(*diff->keys));
	if (!diff->keys)
		return qc_no_memory(err);
	for (size_t i = 0; i < a->n; i++) {
		struct qc_meta_difference d = {.a = &a->kvs[i]};

		d.b = qc_meta_find(b, d.a->key);
		if (d.b && qc_kv_same(d.a, d.b))
			continue;
		if (d.b && d.a->type == QC_KV_ARRAY && d.b->type == QC_KV_ARRAY &&
		    d.a->elem == d.b->elem)
			compare_elements(&d);
		diff->n_removed += !d.b;
		diff->n_changed += d.b != NULL;
		diff->keys[diff->n_keys++] = d;
	}
	for (size_t i = 0; i < b->n; i++) {
		if (qc_meta_find(a, b->kvs[i].key))
			continue;
		diff->keys[diff->n_keys++] = (struct qc_meta_difference){.b = &b->kvs[i]};
		diff->n_added++;
	}
	return QC_OK;
}

enum qc_status qc_diff_run(struct qc_diff *diff, const char *a, const char *b,
			   const struct qconv_options *options, struct qc_err *err)
{
	enum qc_status s;

	memset(diff, 0, sizeof(*diff));
	s = qc_model_open(&diff->a, a, err);
	if (!s)
		s = qc_model_open(&diff->b, b, err);
	if (!s)
		s = compare_meta(diff, err);
	if (!s)
		s = qc_check_models(&diff->tensors, &diff->b, &diff->a, options, err);
	if (s) {
		qc_diff_clear(diff);
		return s;
	}
	for (size_t i = 0; i < diff->tensors.n_errors; i++)
		diff->n_other_type += strcmp(diff->tensors.errors[i].type,
					     diff->tensors.errors[i].source_type) != 0;
	diff->equal = !diff->n_keys && !diff->tensors.n_missing && !diff->tensors.n_extra &&
		      !diff->tensors.n_mismatched && !diff->n_other_type &&
		      diff->tensors.n_exact == diff->tensors.n_errors;
	return QC_OK;
}

void qc_diff_clear(struct qc_diff *diff)
{
	free(diff->keys);
	qc_check_report_clear(&diff->tensors);
	qc_model_close(&diff->a);
	qc_model_close(&diff->b);
	memset(diff, 0, sizeof(*diff));
}
