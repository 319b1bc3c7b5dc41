/* Several importance matrices become one. */
#include <float.h>
#include <string.h>

#include "calib/stats.h"

/* An entry that only the other has. */
static enum qc_status copy_entry(struct qc_imatrix *to, const struct qc_imatrix_entry *from,
				 float tokens, struct qc_err *err)
{
	struct qc_imatrix_entry *e;
	enum qc_status s =
		qc_imatrix_add(to, from->name, from->cols, from->n, from->amax != NULL, &e, err);

	if (s)
		return s;
	for (uint64_t i = 0; i < e->n * e->cols; i++)
		e->sums[i] = from->sums[i] * tokens;
	for (uint64_t i = 0; i < e->n; i++)
		e->counts[i] = from->counts[i] * tokens;
	if (e->amax)
		memcpy(e->amax, from->amax, e->n * sizeof(*e->amax));
	return QC_OK;
}

/* The largest magnitude is known only where both know it. */
static void add_entry(struct qc_imatrix_entry *to, const struct qc_imatrix_entry *from,
		      float tokens)
{
	for (uint64_t i = 0; i < to->n * to->cols; i++)
		to->sums[i] += from->sums[i] * tokens;
	for (uint64_t i = 0; i < to->n; i++)
		to->counts[i] += from->counts[i] * tokens;
	for (uint64_t i = 0; to->amax && from->amax && i < to->n; i++)
		to->amax[i] = to->amax[i] > from->amax[i] ? to->amax[i] : from->amax[i];
	if (!from->amax)
		to->amax = NULL;
}

static enum qc_status check_sums(const struct qc_imatrix_entry *e, struct qc_err *err)
{
	for (uint64_t i = 0; i < e->n * e->cols; i++)
		if (!(e->sums[i] <= FLT_MAX))
			return qc_fail(err, QC_UNSUPPORTED,
				       "imatrix entry '%s': the sums are too large to be added",
				       e->name);
	return QC_OK;
}

static enum qc_status merge_entry(struct qc_imatrix *to, struct qc_imatrix *im,
				  struct qc_imatrix_entry *from, float tokens, struct qc_err *err)
{
	struct qc_imatrix_entry *e = qc_imatrix_find(to, from->name);
	enum qc_status s;

	if (!e) {
		s = copy_entry(to, from, tokens, err);
		return s ? s : check_sums(qc_imatrix_find(to, from->name), err);
	}
	/* whichever of the two does not say how many matrices there are */
	s = e->n < from->n ? qc_imatrix_fit(to, e, from->cols, from->n, err)
			   : qc_imatrix_fit(im, from, e->cols, e->n, err);
	if (s)
		return s;
	add_entry(e, from, tokens);
	return check_sums(e, err);
}

enum qc_status qc_imatrix_merge(struct qc_imatrix *to, struct qc_imatrix *im, uint32_t chunk_size,
				struct qc_err *err)
{
	const float tokens = im->chunk_size ? 1 : (float)chunk_size;
	enum qc_status s = QC_OK;

	for (size_t i = 0; !s && i < im->n_entries; i++)
		s = merge_entry(to, im, &im->entries[i], tokens, err);
	for (size_t i = 0; !s && i < im->n_datasets; i++)
		s = qc_imatrix_add_dataset(to, im->datasets[i], strlen(im->datasets[i]), err);
	to->n_chunks =
		to->n_chunks < UINT32_MAX - im->n_chunks ? to->n_chunks + im->n_chunks : UINT32_MAX;
	if (!to->chunk_size)
		to->chunk_size = im->chunk_size ? im->chunk_size : chunk_size;
	return s;
}
