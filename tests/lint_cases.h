/* Models built small, good or with one thing wrong, and what lint says of them; for tests. */
#ifndef QC_TESTS_LINT_CASES_H
#define QC_TESTS_LINT_CASES_H

#include <math.h>
#include <stdarg.h>

#include "convert/lint_rules.h"
#include "tests/st_build.h"

/* What is wrong with the model that is being built; NULL: nothing. */
static const char *lint_wrong;

static inline bool wrong(const char *what)
{
	return lint_wrong && !strcmp(lint_wrong, what);
}

/* Rules that have been seen at work. */
static const char *lint_seen[128];
static size_t lint_n_seen;

static inline void lint_saw(const char *rule)
{
	for (size_t i = 0; i < lint_n_seen; i++)
		if (!strcmp(lint_seen[i], rule))
			return;
	NEED(lint_n_seen < 128, "more rules than the test has room for");
	lint_seen[lint_n_seen++] = rule;
}

static inline void rule_has_a_case(const char *name)
{
	bool seen = false;

	for (size_t i = 0; i < lint_n_seen; i++)
		seen |= !strcmp(lint_seen[i], name);
	CHECK(seen, "no case for the rule '%s'", name);
}

/* A table's rules, but for one that another program has a case for (NULL: all). */
static inline void every_rule_but(const char *elsewhere, const struct lint_rule *table)
{
	for (; table->name; table++)
		if (!elsewhere || strcmp(table->name, elsewhere))
			rule_has_a_case(table->name);
}

static inline void every_rule_has_a_case(const struct lint_rule *table)
{
	every_rule_but(NULL, table);
}

/* One thing that can be wrong, and the finding that it must give. */
struct lint_case {
	const char *what;
	const char *rule;
	enum qc_severity severity;
	const char *subject; /* a part of it */
	const char *text;    /* a part of what was found or expected */
};

static inline void lint_run(struct qc_findings *findings, const char *path)
{
	struct qconv_options options = {0};
	struct qc_err err = {0};
	enum qc_status s = qc_lint(findings, path, &options, &err);

	CHECK(!s, "%s: %s: %s", path, lint_wrong ? lint_wrong : "good", err.text);
}

static inline void lint_print(const struct qc_findings *findings)
{
	for (size_t i = 0; i < findings->n; i++) {
		const struct qc_finding *f = &findings->list[i];

		fprintf(stderr, "  %s %s: %s: %s; expected %s; %s\n",
			f->severity == QC_LINT_ERROR ? "error" : "warning", f->rule, f->subject,
			f->found, f->expected, f->loader);
	}
}

/* A good model has no finding at all. */
static inline void lint_is_clean(const char *path)
{
	struct qc_findings findings = {0};

	lint_run(&findings, path);
	CHECK(!findings.n, "%s: %zu findings in a good model", path, findings.n);
	lint_print(&findings);
	qc_findings_clear(&findings);
}

/* The case's finding is there; no error is of another rule than those in `also` (with commas). */
static inline void lint_finds(const char *path, const struct lint_case *c, const char *also)
{
	struct qc_findings findings = {0};
	bool found = false, other = false;

	lint_run(&findings, path);
	for (size_t i = 0; i < findings.n; i++) {
		const struct qc_finding *f = &findings.list[i];

		found |= !strcmp(f->rule, c->rule) && f->severity == c->severity &&
			 strstr(f->subject, c->subject) &&
			 (strstr(f->found, c->text) || strstr(f->expected, c->text));
		other |= strcmp(f->rule, c->rule) != 0 && f->severity == QC_LINT_ERROR &&
			 !(also && strstr(also, f->rule));
		CHECK(f->loader && *f->loader, "%s: names no loader", f->rule);
	}
	CHECK(found, "'%s': no %s of %s at '%s' with '%s'", c->what,
	      c->severity == QC_LINT_ERROR ? "error" : "warning", c->rule, c->subject, c->text);
	CHECK(!other, "'%s': errors of other rules than %s", c->what, c->rule);
	if (!found || other)
		lint_print(&findings);
	if (found)
		lint_saw(c->rule);
	qc_findings_clear(&findings);
}

/* Remove everything in the test's folder. */
static inline void lint_empty_dir(void)
{
	st_end();
	NEED(!mkdir(st_dir, 0700), "cannot make %s", st_dir);
}

/* Build the directory good, then with each thing wrong. */
static inline void lint_each(void (*build)(void), const struct lint_case *cases, const char *also)
{
	lint_wrong = NULL;
	lint_empty_dir();
	build();
	lint_is_clean(st_dir);
	for (; cases->what; cases++) {
		lint_wrong = cases->what;
		lint_empty_dir();
		build();
		lint_finds(st_dir, cases, also);
	}
	lint_wrong = NULL;
}

/*
 * Tensors.
 */

static inline void lint_begin_file(struct st_build *b)
{
	static const char start[] = "{\"__metadata__\":{\"format\":\"pt\"}";

	b->header = st_build_grow(b->header, &b->header_cap, sizeof(start));
	memcpy(b->header, start, sizeof(start));
	b->header_size = sizeof(start) - 1;
}

/* dtype and shape "[8,32]" (or "[]"), every element the same `width` bytes. */
static inline void lint_fill(struct st_build *b, const char *name, const char *dtype,
			     const char *shape, const void *unit, size_t width)
{
	size_t n = 1;
	uint8_t *bytes;

	for (const char *at = shape; *at; at++)
		if (*at >= '0' && *at <= '9' && (at[-1] == '[' || at[-1] == ','))
			n *= strtoul(at, NULL, 10);
	bytes = malloc(n * width + 1);
	NEED(bytes, "no memory");
	for (size_t i = 0; i < n; i++)
		memcpy(bytes + i * width, unit, width);
	st_add(b, name, dtype, shape, bytes, n * width);
	free(bytes);
}

static inline void lint_u8(struct st_build *b, const char *name, const char *dtype,
			   const char *shape, uint8_t value)
{
	lint_fill(b, name, dtype, shape, &value, 1);
}

static inline void lint_f32(struct st_build *b, const char *name, const char *shape, float value)
{
	uint8_t bytes[4];

	qc_put_le32(bytes, qc_f32_bits(value));
	lint_fill(b, name, "F32", shape, bytes, 4);
}

static inline void lint_bf16(struct st_build *b, const char *name, const char *shape, float value)
{
	uint8_t bytes[2];

	qc_put_le16(bytes, (uint16_t)(qc_f32_bits(value) >> 16));
	lint_fill(b, name, "BF16", shape, bytes, 2);
}

static inline void lint_f16(struct st_build *b, const char *name, const char *shape, uint16_t bits)
{
	uint8_t bytes[2];

	qc_put_le16(bytes, bits);
	lint_fill(b, name, "F16", shape, bytes, 2);
}

static inline void lint_i32(struct st_build *b, const char *name, const char *shape, uint32_t value)
{
	uint8_t bytes[4];

	qc_put_le32(bytes, value);
	lint_fill(b, name, "I32", shape, bytes, 4);
}

/* printf into one of a few buffers: valid until the 16th call after it. */
__attribute__((format(printf, 1, 2))) static inline const char *text(const char *format, ...)
{
	static char bufs[16][2048];
	static unsigned turn;
	char *buf = bufs[turn++ % 16];
	va_list args;

	va_start(args, format);
	vsnprintf(buf, sizeof(bufs[0]), format, args);
	va_end(args);
	return buf;
}

/* What every model has beside its linear layers: 64 columns, 16 tokens, one layer. */
static inline void lint_rest(struct st_build *b)
{
	lint_bf16(b, "model.embed_tokens.weight", wrong("vocabulary") ? "[15,64]" : "[16,64]", 1);
	lint_bf16(b, "model.norm.weight", "[64]", 1);
	lint_bf16(b, "model.layers.0.input_layernorm.weight", "[64]", 1);
	if (!wrong("no head"))
		lint_bf16(b, "lm_head.weight", "[16,64]", 1);
}

/* config.json with `more` members, and a tokenizer. */
static inline void lint_config_file(const char *more)
{
	st_text("config.json",
		text("{\"model_type\": \"tiny\", \"vocab_size\": 16, \"hidden_size\": %d, "
		     "\"num_hidden_layers\": %d, \"tie_word_embeddings\": %s%s%s}",
		     wrong("hidden size") ? 65 : 64, wrong("layer missing") ? 2 : 1,
		     wrong("tied head") ? "true" : "false", *more ? ", " : "", more));
	if (!wrong("no tokenizer"))
		st_text("tokenizer.json", "{}");
}

/* The seven linear layers of the block, outputs and inputs. */
static const struct {
	const char *name;
	unsigned out, in;
} lint_layers[] = {
	{"model.layers.0.self_attn.q_proj", 64, 64}, {"model.layers.0.self_attn.k_proj", 32, 64},
	{"model.layers.0.self_attn.v_proj", 32, 64}, {"model.layers.0.self_attn.o_proj", 64, 64},
	{"model.layers.0.mlp.gate_proj", 128, 64},   {"model.layers.0.mlp.up_proj", 128, 64},
	{"model.layers.0.mlp.down_proj", 64, 128},
};
#define LINT_LAYERS (sizeof(lint_layers) / sizeof(*lint_layers))

#endif
