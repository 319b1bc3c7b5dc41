#include "formats/hf_sampling.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "formats/hf.h"

static const struct {
	const char *name, *key;
	enum qc_kv_type type; /* QC_KV_I32, QC_KV_F32, QC_KV_STRING */
} rows[] = {
	{"sequence", "general.sampling.sequence", QC_KV_STRING},
	{"top_k", "general.sampling.top_k", QC_KV_I32},
	{"top_p", "general.sampling.top_p", QC_KV_F32},
	{"min_p", "general.sampling.min_p", QC_KV_F32},
	{"xtc_probability", "general.sampling.xtc_probability", QC_KV_F32},
	{"xtc_threshold", "general.sampling.xtc_threshold", QC_KV_F32},
	{"temperature", "general.sampling.temp", QC_KV_F32},
	{"penalty_last_n", "general.sampling.penalty_last_n", QC_KV_I32},
	{"penalty_repeat", "general.sampling.penalty_repeat", QC_KV_F32},
	{"mirostat", "general.sampling.mirostat", QC_KV_I32},
	{"mirostat_tau", "general.sampling.mirostat_tau", QC_KV_F32},
	{"mirostat_eta", "general.sampling.mirostat_eta", QC_KV_F32},
};
#define N_ROWS (sizeof(rows) / sizeof(rows[0]))

static enum qc_status set_row(struct qc_model *model, const struct qc_json *json,
			      qc_json_value value, size_t row, struct qc_err *err)
{
	uint8_t word[4];
	const char *text;
	size_t len;
	int64_t whole;
	double number;

	switch (rows[row].type) {
	case QC_KV_STRING:
		if (qc_json_type_of(json, value) != QC_JSON_STRING)
			return QC_OK;
		text = qc_json_string(json, value, &model->arena, &len);
		return text ? qc_meta_set_string(&model->meta, rows[row].key, text, len, err)
			    : qc_no_memory(err);
	case QC_KV_I32:
		if (!qc_json_i64(json, value, &whole) || whole < INT32_MIN || whole > INT32_MAX)
			return QC_OK;
		qc_put_le32(word, (uint32_t)(int32_t)whole);
		return qc_meta_set(&model->meta, rows[row].key, QC_KV_I32, QC_KV_I32, 1, word,
				   sizeof(word), err);
	default:
		if (!qc_json_f64(json, value, &number) || !isfinite((float)number))
			return QC_OK;
		return qc_meta_set_f32(&model->meta, rows[row].key, (float)number, err);
	}
}

enum qc_status qc_hf_read_sampling(struct qc_model *model, struct qc_err *err)
{
	struct qc_json json = {0};
	char *text = NULL;
	enum qc_status s = qc_hf_load_generation(model, &json, &text, err);

	if (s || !text)
		return s;
	for (size_t i = 0; !s && i < N_ROWS; i++) {
		qc_json_value value = qc_json_get(&json, QC_JSON_ROOT, rows[i].name);

		s = set_row(model, &json, value, i, err);
	}
	qc_json_clear(&json);
	free(text);
	return s ? qc_fail_in(err, "reading '%s/generation_config.json'", model->dir) : QC_OK;
}

void qc_hf_put_sampling(const struct qc_model *model, struct qc_json_out *out)
{
	bool some = false;

	for (size_t i = 0; i < N_ROWS; i++) {
		const struct qc_kv *kv = qc_meta_find(&model->meta, rows[i].key);
		char number[32];
		const char *text;
		size_t len;
		uint32_t whole;
		float value;

		if (!kv)
			continue;
		if (qc_meta_string(&model->meta, rows[i].key, &text, &len)) {
			qc_json_out_string(out, rows[i].name, text, len);
		} else {
			if (kv->type == QC_KV_I32)
				snprintf(number, sizeof(number), "%d",
					 (int)(int32_t)qc_le32(kv->data));
			else if (qc_meta_u32(&model->meta, rows[i].key, &whole))
				snprintf(number, sizeof(number), "%u", whole);
			else if (qc_meta_f32(&model->meta, rows[i].key, &value))
				qc_json_float_text(value, number);
			else
				continue;
			qc_json_out_raw(out, rows[i].name, number);
		}
		some = true;
	}
	if (some)
		qc_json_out_bool(out, "do_sample", true);
}
