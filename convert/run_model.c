/* The engine's public face: qconv_open() and what goes with it. */
#include <stdlib.h>
#include <string.h>

#include "calib/forward.h"
#include "calib/session.h"
#include "calib/tokenize.h"
#include "convert/convert.h"

struct qconv_model {
	struct qc_model model;
	struct qc_tokenizer *tokenizer;
	struct qc_forward *forward;
	uint64_t mem_limit;
};

struct qconv_session {
	struct qc_session *session;
};

static enum qc_status open_model(struct qconv_model *m, const char *path,
				 const struct qconv_run_options *options, struct qc_err *err)
{
	struct qc_forward_options forward = {
		.threads = options->threads,
		.mem_limit = options->mem_limit,
		.stop = options->stop,
	};
	enum qc_status s = QC_OK;

	m->mem_limit = options->mem_limit;
	if (options->act && !qc_inputs_find(options->act, &forward.inputs))
		return qc_fail(err, QC_USAGE, "'%s' is no kind of activations: nvfp4, fp8",
			       options->act);
	s = qc_model_open(&m->model, path, err);
	if (!s)
		s = qc_tokenizer_open(&m->tokenizer, &m->model, err);
	if (!s)
		s = qc_forward_open(&m->forward, &m->model, &forward, err);
	if (!s && qc_tokenizer_size(m->tokenizer) > qc_forward_graph(m->forward)->vocab)
		return qc_fail(
			err, QC_BAD_INPUT, "'%s': the tokenizer has %u tokens, the embedding %u",
			path, qc_tokenizer_size(m->tokenizer), qc_forward_graph(m->forward)->vocab);
	return s;
}

int qconv_open(struct qconv_model **model, const char *path,
	       const struct qconv_run_options *options, struct qconv_error *error)
{
	static const struct qconv_run_options defaults;
	struct qconv_model *m = calloc(1, sizeof(*m));
	struct qc_err err = {0};
	enum qc_status s =
		m ? open_model(m, path, options ? options : &defaults, &err) : qc_no_memory(&err);

	*model = m;
	if (s) {
		qconv_close(m);
		*model = NULL;
	}
	return qc_public_result(&err, s, error);
}

void qconv_close(struct qconv_model *model)
{
	if (!model)
		return;
	qc_forward_close(model->forward);
	qc_tokenizer_close(model->tokenizer);
	qc_model_close(&model->model);
	free(model);
}

size_t qconv_vocab_size(const struct qconv_model *model)
{
	return qc_forward_graph(model->forward)->vocab;
}

bool qconv_is_end(const struct qconv_model *model, uint32_t id)
{
	return qc_tokenizer_is_end(model->tokenizer, id);
}

int qconv_tokenize(const struct qconv_model *model, const char *text, size_t len, uint32_t **ids,
		   size_t *n, struct qconv_error *error)
{
	const struct qc_tokenizer *tok = model->tokenizer;
	struct qc_err err = {0};
	struct qc_ids list = {0};
	enum qc_status s = qc_tokenizer_encode(
		tok, text, len, QC_ENCODE_ADD_SPECIAL | QC_ENCODE_PARSE_SPECIAL, &list, &err);

	/* a text that is to be continued has no end but one that is spelled */
	if (!s && qc_tokenizer_adds_eos(tok))
		list.n--;
	*ids = list.ids;
	*n = list.n;
	return qc_public_result(&err, s, error);
}

int qconv_detokenize(const struct qconv_model *model, const uint32_t *ids, size_t n, char **text,
		     size_t *len, struct qconv_error *error)
{
	struct qc_err err = {0};
	enum qc_status s;

	*text = NULL;
	*len = 0;
	s = qc_tokenizer_decode(model->tokenizer, ids, n, 0, text, len, &err);
	return qc_public_result(&err, s, error);
}

int qconv_forward(struct qconv_model *model, const uint32_t *ids, size_t n, size_t first,
		  float *logits, struct qconv_error *error)
{
	struct qc_err err = {0};
	const size_t vocab = qconv_vocab_size(model);
	const size_t step = qc_forward_logit_rows(model->forward, n);
	enum qc_status s;

	if (first >= n)
		s = qc_fail(&err, QC_USAGE, "logits from position %zu of %zu on", first, n);
	else
		s = qc_forward_windows(model->forward, ids, 1, n, &err);
	for (size_t at = first; !s && at < n; at += step)
		s = qc_forward_logits(model->forward, at, n - at < step ? n - at : step,
				      logits + (at - first) * vocab, &err);
	return qc_public_result(&err, s, error);
}

uint64_t qconv_run_bytes(const struct qconv_model *model, size_t n)
{
	struct qc_forward_plan plan;

	if (!n)
		return 0;
	qc_forward_plan(model->forward, 1, n, &plan);
	return plan.peak;
}

void qconv_session_memory(const struct qconv_model *model, size_t most,
			  struct qconv_session_memory *memory)
{
	struct qc_session_plan plan;

	qc_session_plan(model->forward, most, model->mem_limit, &plan);
	*memory = (struct qconv_session_memory){plan.cache, plan.kept, plan.weights, plan.work,
						plan.peak};
}

int qconv_session_open(struct qconv_session **session, struct qconv_model *model, size_t most,
		       struct qconv_error *error)
{
	struct qconv_session *made = calloc(1, sizeof(*made));
	struct qc_err err = {0};
	enum qc_status s =
		made ? qc_session_open(&made->session, model->forward, most, model->mem_limit, &err)
		     : qc_no_memory(&err);

	if (s) {
		free(made);
		made = NULL;
	}
	*session = made;
	return qc_public_result(&err, s, error);
}

void qconv_session_close(struct qconv_session *session)
{
	if (session)
		qc_session_close(session->session);
	free(session);
}

size_t qconv_session_length(const struct qconv_session *session)
{
	return qc_session_length(session->session);
}

int qconv_session_append(struct qconv_session *session, const uint32_t *ids, size_t n, size_t first,
			 float *logits, struct qconv_error *error)
{
	struct qc_err err = {0};
	enum qc_status s = qc_session_append(session->session, ids, n, first, logits, &err);

	return qc_public_result(&err, s, error);
}
