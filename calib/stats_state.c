/* The state of a calibration: a GGUF with arrays NAME.sums, NAME.tokens and NAME.amax of f64. */
#include <math.h>
#include <string.h>

#include "calib/arrays.h"
#include "calib/stats_parts.h"
#include "formats/gguf.h"
#include "formats/model.h"

#define STATE_TYPE "qconv calibration"
#define IDENTITY   "qconv.calibration.identity"
#define WINDOWS	   "qconv.calibration.windows"
#define GROUP	   "qconv.calibration.group"

static enum qc_status put_keys(const struct qc_stats_state *state, struct qc_meta *meta,
			       struct qc_err *err)
{
	enum qc_status s =
		qc_meta_set_string(meta, "general.type", STATE_TYPE, strlen(STATE_TYPE), err);

	if (!s)
		s = qc_meta_set_string(meta, IDENTITY, state->identity, strlen(state->identity),
				       err);
	if (!s)
		s = qc_meta_set_u32(meta, WINDOWS, state->n_windows, err);
	return s ? s : qc_meta_set_u32(meta, GROUP, state->group, err);
}

enum qc_status qc_stats_save(const struct qc_stats *stats, const struct qc_stats_state *state,
			     uint8_t **bytes, size_t *size, struct qc_err *err)
{
	struct qc_arrays arrays;
	enum qc_status s;

	qc_arrays_init(&arrays);
	s = put_keys(state, &arrays.meta, err);
	for (size_t i = 0; !s && i < stats->n; i++) {
		const struct qc_stat *stat = &stats->list[i];

		s = qc_arrays_add_f64(&arrays, stat->name, ".sums", stat->sums, stat->cols, stat->n,
				      err);
		if (!s)
			s = qc_arrays_add_f64(&arrays, stat->name, ".tokens", stat->counts, 1,
					      stat->n, err);
		if (!s)
			s = qc_arrays_add_f64(&arrays, stat->name, ".amax", stat->amax, 1, stat->n,
					      err);
	}
	if (!s)
		s = qc_arrays_bytes(&arrays, bytes, size, err);
	qc_arrays_clear(&arrays);
	return s;
}

static bool is_text(const struct qc_meta *meta, const char *key, const char **text, size_t len)
{
	size_t n;

	return qc_meta_string(meta, key, text, &n) && n == len;
}

static enum qc_status get_keys(const struct qc_meta *meta, struct qc_stats_state *state,
			       struct qc_err *err)
{
	const size_t len = sizeof(state->identity) - 1;
	const char *type, *identity;

	if (!is_text(meta, "general.type", &type, strlen(STATE_TYPE)) ||
	    memcmp(type, STATE_TYPE, strlen(STATE_TYPE)) ||
	    !is_text(meta, IDENTITY, &identity, len) ||
	    !qc_meta_u32(meta, WINDOWS, &state->n_windows) ||
	    !qc_meta_u32(meta, GROUP, &state->group) || !state->group)
		return qc_fail(err, QC_BAD_INPUT, "not the state of a calibration");
	memcpy(state->identity, identity, len);
	state->identity[len] = 0;
	return QC_OK;
}

static enum qc_status read_array(const struct qc_tensor *tensor, double *dst, struct qc_err *err)
{
	enum qc_status s = qc_array_read_f64(tensor, dst, err);

	for (uint64_t i = 0; !s && i < qc_tensor_elems(tensor); i++)
		if (!isfinite(dst[i]) || dst[i] < 0)
			s = qc_fail(err, QC_BAD_INPUT, "'%s' has a value of %g",
				    tensor->stored_name, dst[i]);
	return s;
}

/* Three tensors, as they are written. */
static enum qc_status read_stat(struct qc_stats *stats, const struct qc_tensor *t,
				struct qc_err *err)
{
	const char *end = strrchr(t->stored_name, '.');
	const size_t len = end ? (size_t)(end - t->stored_name) : 0;
	const uint64_t cols = t->n_dims ? t->dims[0] : 1;
	char name[QC_GGUF_MAX_NAME + 1];
	struct qc_stat *stat;
	enum qc_status s;

	memcpy(name, t->stored_name, len);
	name[len] = 0;
	if (!len || strcmp(end, ".sums") || !qc_tensor_elems(t) ||
	    qc_tensor_elems(t) / cols != qc_tensor_elems(&t[1]) ||
	    qc_tensor_elems(t) / cols != qc_tensor_elems(&t[2]))
		return qc_fail(err, QC_BAD_INPUT, "'%s' does not belong here", t->stored_name);
	s = qc_stats_add(stats, name, cols, qc_tensor_elems(t) / cols, &stat, err);
	if (!s)
		s = read_array(t, stat->sums, err);
	if (!s)
		s = read_array(t + 1, stat->counts, err);
	return s ? s : read_array(t + 2, stat->amax, err);
}

enum qc_status qc_stats_load(struct qc_stats *stats, struct qc_stats_state *state, const char *path,
			     struct qc_err *err)
{
	struct qc_model model = {0};
	enum qc_status s = qc_gguf_open_stored(&model, path, err);

	if (s)
		return s;
	s = get_keys(&model.meta, state, err);
	if (!s && model.n_tensors % 3)
		s = qc_fail(err, QC_BAD_INPUT, "%zu arrays, three for each weight are needed",
			    model.n_tensors);
	for (size_t i = 0; !s && i < model.n_tensors; i += 3)
		s = read_stat(stats, &model.tensors[i], err);
	qc_model_close(&model);
	return s && s != QC_IO && s != QC_NO_MEMORY ? qc_fail_in(err, "'%s'", path) : s;
}
