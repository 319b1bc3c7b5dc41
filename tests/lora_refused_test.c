/* PEFT adapters that are not merged, and why. */
#include "tests/lora_build.h"

/*
 * What is refused.
 */

/* The adapter in the folder, into a base of one matrix 11 x 37 and its bias. */
static void refused(const char *fields, struct st_build *b, const char *part)
{
	struct st_build base = {0};
	struct qc_model model;
	struct qc_err err = {0};
	const char *path;
	enum qc_status s;

	add(&base, "model.fc.weight", 1, 0, OUT, IN);
	add(&base, "model.fc.ids", 1, 0, OUT, 0);
	add(&base, "model.experts.up", 1, 2, 6, 6);
	path = st_save(&base, "base.safetensors");
	save_adapter(b, fields);
	NEED(!qc_model_open(&model, path, &err), "%s", err.text);
	s = qc_model_apply_lora(&model, st_dir, 1, &err);
	CHECK(s && strstr(err.text, part), "'%s' expected, not '%s'", part,
	      s ? err.text : "accepted");
	qc_model_close(&model);
}

static void tensors_without_a_place_are_refused(void)
{
	static const struct {
		const char *name, *part;
		size_t e, r, c;
	} strays[] = {
		{PEFT "model.fd.lora_A.weight", "module 'model.fd' of the adapter has no B", 0,
		 RANK, IN},
		{PEFT "model.fd.lora_B.weight", "module 'model.fd' of the adapter has no A", 0, OUT,
		 RANK},
		{PEFT "model.fd.weight", "'" PEFT "model.fd.weight' of the adapter: the base model",
		 0, OUT, IN},
		{PEFT "model.fc.lora_B.bias", "no 'fc.bias'", 0, OUT, 0},
		{PEFT "model.fc.lora_C.weight", "lora_C.weight' is a part that qconv does not know",
		 0, OUT, IN},
		{PEFT "model.fc.lora_embedding_A", "is a matrix and an embedding", 0, RANK, OUT},
		{PEFT "model.fc.token_adapter.trainable_tokens_delta", "newly trained rows", 0, 2,
		 IN},
		{PEFT "model.fc.lora_magnitude_vector", "use_dora is false", 0, OUT, 0},
		{PEFT "model.fc.weight", "must be 11x37", 0, OUT + 1, IN},
		{PEFT "model.fc.lora_A.default.weight", "are the same part", 0, RANK, IN},
	};

	for (size_t i = 0; i < sizeof(strays) / sizeof(strays[0]); i++) {
		struct st_build b = {0};

		add_pair(&b, PEFT "model.fc", OUT, IN, RANK);
		add(&b, strays[i].name, 9, strays[i].e, strays[i].r, strays[i].c);
		refused("\"r\": 4", &b, strays[i].part);
	}
}

static void wrong_shapes_are_refused(void)
{
	static const struct {
		size_t a_rank, in, out, b_rank;
		const char *fields, *part;
	} cases[] = {
		{RANK, IN + 1, OUT, RANK, "\"r\": 4", "do not fit 'model.fc.weight' (11x37)"},
		{RANK, IN, OUT - 1, RANK, "\"r\": 4", "do not fit"},
		{RANK, IN, OUT, RANK + 1, "\"r\": 4", "do not fit"},
		{RANK, OUT, IN, RANK, "\"r\": 4", "do not fit"}, /* the other way round */
		{RANK, IN, OUT, RANK, "\"r\": 8", "has rank 4, adapter_config.json makes it 8"},
		{RANK, IN, OUT, RANK, "\"r\": 4, \"rank_pattern\": {\"fc\": 5}", "makes it 5"},
		{RANK, IN, OUT, RANK, "\"r\": 4, \"use_dora\": true", "no magnitude"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct st_build b = {0};

		add(&b, PEFT "model.fc.lora_A.weight", 2, 0, cases[i].a_rank, cases[i].in);
		add(&b, PEFT "model.fc.lora_B.weight", 3, 0, cases[i].out, cases[i].b_rank);
		refused(cases[i].fields, &b, cases[i].part);
	}
}

static void other_mathematics_is_refused(void)
{
	static const struct {
		const char *fields, *part;
	} cases[] = {
		{"\"use_qalora\": true", "'use_qalora' is set"},
		{"\"layer_replication\": [[0, 2]]", "'layer_replication' is set"},
		{"\"alora_invocation_tokens\": [1]", "'alora_invocation_tokens' is set"},
		{"\"trainable_token_indices\": [1]", "'trainable_token_indices' is set"},
		{"\"use_something_new\": true", "'use_something_new' is set"},
		{"\"init_lora_weights\": \"pissa_niter_4\"", "'pissa_niter_4'"},
		{"\"init_lora_weights\": \"olora\"", "'olora'"},
		{"\"r\": 0", "'r' is 0"},
		{"\"r\": 2.5", "'r' is 2.5"},
		{"\"r\": \"4\"", "'r' is a string"},
		{"\"lora_alpha\": NaN", "'lora_alpha'"},
		{"\"lora_alpha\": 1e300", "'lora_alpha' is 1e+300"},
		{"\"rank_pattern\": [4]", "'rank_pattern' is an array"},
		{"\"alpha_pattern\": {\"(a\": 1}", "cannot be read"},
		{"\"alpha_pattern\": {\"(?=a)\": 1}", "a group that qconv does not read"},
		{"\"alpha_pattern\": {\"(a)\\\\1\": 1}", "an escape that qconv does not read"},
		{"\"alpha_pattern\": {\"((a{100}){100}){100}\": 1}", "more repetitions"},
		{"\"target_parameters\": [1]", "'target_parameters'"},
		{"\"use_rslora\": 1", "'use_rslora' is a number"},
		{"\"peft_type\": \"LORA\"", "twice"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct st_build b = {0};

		add_pair(&b, PEFT "model.fc", OUT, IN, RANK);
		refused(cases[i].fields, &b, cases[i].part);
	}
}

static void experts_that_do_not_say_which_way_round_are_refused(void)
{
	struct st_build b = {0};

	add(&b, PEFT "model.experts.lora_A.weight", 2, 0, 2 * RANK, 6);
	add(&b, PEFT "model.experts.lora_B.weight", 3, 0, 6, 2 * RANK);
	refused("\"r\": 4, \"target_parameters\": [\"experts.up\"]", &b, "are square");
	add(&b, PEFT "model.experts.lora_A.weight", 2, 0, 2 * RANK, 6);
	add(&b, PEFT "model.experts.lora_B.weight", 3, 0, 6, 2 * RANK);
	refused("\"r\": 4", &b, "the base model has no 'experts.weight'");
}

static void other_files_are_refused(void)
{
	struct qc_model model;
	struct qc_err err = {0};
	struct st_build b = {0};
	const char *base = base_of_one_matrix("fc.weight");

	NEED(!qc_model_open(&model, base, &err), "%s", err.text);
	st_text("adapter_config.json", "{\"peft_type\": \"LOHA\"}");
	CHECK(qc_model_apply_lora(&model, st_dir, 1, &err) == QC_UNSUPPORTED &&
		      strstr(err.text, "'LOHA'"),
	      "'%s'", err.text);
	unlink(st_path("adapter_model.safetensors"));
	st_text("adapter_config.json", "{\"peft_type\": \"LORA\"}");
	st_text("adapter_model.bin", "PK");
	CHECK(qc_model_apply_lora(&model, st_dir, 1, &err) && strstr(err.text, "pickle"), "'%s'",
	      err.text);
	unlink(st_path("adapter_model.bin"));
	CHECK(qc_model_apply_lora(&model, st_dir, 1, &err) == QC_IO, "'%s'", err.text);
	add(&b, PEFT "fc.weight", 2, 0, OUT, IN);
	save_adapter(&b, "\"r\": 4");
	CHECK(qc_model_apply_lora(&model, st_dir, 0.5, &err) && strstr(err.text, "no scale but 1"),
	      "'%s'", err.text);
	qc_model_close(&model);
}

static void the_scale_stands_behind_the_last_colon(void)
{
	static const struct {
		const char *spec, *dir;
		double scale;
	} good[] = {{"a", "a", 1},	 {"a/", "a", 1},     {"a:0.5", "a", 0.5}, {"a:b", "a:b", 1},
		    {"a:b:2", "a:b", 2}, {"a/:-1", "a", -1}, {"a:", "a:", 1},	  {"/", "/", 1}};
	static const char *const bad[] = {"", ":2", "a:nan", "a:inf", "a:1e30"};
	struct qc_arena arena = {0};
	struct qc_err err = {0};
	const char *dir;
	double scale;

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		CHECK(!qc_lora_parse_spec(good[i].spec, &arena, &dir, &scale, &err), "%s",
		      err.text);
		CHECK(!strcmp(dir, good[i].dir) && scale == good[i].scale, "'%s' is '%s' and %g",
		      good[i].spec, dir, scale);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		CHECK(qc_lora_parse_spec(bad[i], &arena, &dir, &scale, &err) == QC_USAGE,
		      "'%s' is accepted", bad[i]);
	qc_arena_clear(&arena);
}

int main(void)
{
	st_begin();
	tensors_without_a_place_are_refused();
	wrong_shapes_are_refused();
	other_mathematics_is_refused();
	experts_that_do_not_say_which_way_round_are_refused();
	other_files_are_refused();
	the_scale_stands_behind_the_last_colon();
	st_end();
	return test_end();
}
