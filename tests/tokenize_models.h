/* The models that have tokenizers, and their ids of a text, for tests. */
#ifndef QC_TESTS_TOKENIZE_MODELS_H
#define QC_TESTS_TOKENIZE_MODELS_H

#include "calib/tokenize.h"
#include "formats/model.h"
#include "tests/test.h"

#define N_MODELS 4
static const struct {
	const char *dir, *goldens;
} models[N_MODELS] = {
	{"samples/tiny-gemma3", "tests/data/goldens/tiny-gemma3"},
	{"tests/data/models/tiny-llama", "tests/data/goldens/tiny-llama"},
	{"tests/data/models/tiny-gemma4", "tests/data/goldens/tiny-gemma4"},
	{"tests/data/models/tiny-gpt-oss", "tests/data/goldens/tiny-gpt-oss"},
};

struct opened {
	struct qc_model model;
	struct qc_tokenizer *tok;
};

static inline void open_model(struct opened *o, size_t i)
{
	struct qc_err err = {0};

	*o = (struct opened){0};
	NEED(!qc_model_open(&o->model, models[i].dir, &err), "%s: %s", models[i].dir, err.text);
	NEED(!qc_tokenizer_open(&o->tok, &o->model, &err), "%s", err.text);
}

static inline void close_model(struct opened *o)
{
	qc_tokenizer_close(o->tok);
	qc_model_close(&o->model);
}

static inline void encode(const struct qc_tokenizer *tok, const char *text, size_t len,
			  unsigned flags, struct qc_ids *ids)
{
	struct qc_err err = {0};

	ids->n = 0;
	NEED(!qc_tokenizer_encode(tok, text, len, flags, ids, &err), "%s", err.text);
}

static inline uint64_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static inline void check_round_trip(const struct qc_tokenizer *tok, const char *text, size_t len,
				    unsigned flags, const char *what)
{
	struct qc_err err = {0};
	struct qc_ids ids = {0};
	char *back;
	size_t n;

	encode(tok, text, len, flags, &ids);
	NEED(!qc_tokenizer_decode(tok, ids.ids, ids.n, 0, &back, &n, &err), "%s", err.text);
	CHECK(n == len && !memcmp(back, text, len), "%s: '%.*s' came back as '%.*s'", what,
	      (int)len, text, (int)n, back);
	free(back);
	qc_ids_clear(&ids);
}

#endif
