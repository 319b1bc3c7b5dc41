/* Folding bitsandbytes weights: what is refused, and what is said of it. */
#include <time.h>

#include "tests/bnb_weight.h"

struct wrong {
	const char *what;  /* key of the change */
	const char *value; /* what it is changed to */
	const char *part;  /* of the message */
};

/* The JSON of a sound quant_state with the member of this name replaced (value NULL: left out), or
 * the whole text ("text"). */
static char *changed_json(const struct bnb_weight *w, const char *member, const char *value,
			  char *buf, size_t size)
{
	char json[256], key[64];
	char *at, *end;

	bnb_json(w, json, sizeof(json));
	if (!strcmp(member, "text")) {
		snprintf(buf, size, "%s", value);
		return buf;
	}
	snprintf(key, sizeof(key), "\"%s\": ", member);
	at = strstr(json, key);
	if (!at) { /* another one in front */
		snprintf(buf, size, "{%s%s, %s", key, value, json + 1);
		return buf;
	}
	end = at + strlen(key);
	end += *end == '[' ? strcspn(end, "]") + 1 : strcspn(end, ",}");
	if (value)
		snprintf(buf, size, "%.*s%s%s", (int)(at - json) + (int)strlen(key), json, value,
			 end);
	else if (*end == ',')
		snprintf(buf, size, "%.*s%s", (int)(at - json), json, end + 2);
	else /* the last: the comma before it goes */
		snprintf(buf, size, "%.*s%s", (int)(at - json) - 2, json, end);
	return buf;
}

static void impossible_quant_states_are_refused(void)
{
	static const struct wrong wrongs[] = {
		{"text", "[]", "an object is needed"},
		{"text", "", "line 1"},
		{"text", "{\"quant_type\": \"nf4\"", "line 1"},
		{"quant_type", "\"fp4\"", "quant_type 'fp4'"},
		{"quant_type", "\"nf5\"", "'quant_type' is \"nf5\""},
		{"quant_type", "4", "'quant_type' is 4"},
		{"quant_type", NULL, "'quant_type' is missing"},
		{"blocksize", "16", "'blocksize' is 16"},
		{"blocksize", "96", "'blocksize' is 96"},
		{"blocksize", "8192", "'blocksize' is 8192"},
		{"blocksize", "-64", "'blocksize' is -64"},
		{"blocksize", "true", "'blocksize' is true"},
		{"blocksize", "18446744073709551680", "'blocksize' is"},
		{"blocksize", "32", "absmax' is u8 9, u8 17 is needed"},
		{"dtype", "\"torch.bfloat16\"", "'dtype' is \"torch.bfloat16\""},
		{"dtype", "\"float64\"", "'dtype' is"},
		{"dtype", NULL, "'dtype' is missing"},
		{"shape", "null", "'shape' is null"},
		{"shape", "[]", "'shape' is []"},
		{"shape", "527", "'shape' is 527"},
		{"shape", "[17, 31.5]", "'shape' is [17, 31.5]"},
		{"shape", "[17, \"31\"]", "'shape' is"},
		{"shape", "[1, 1, 1, 17, 31]", "one to four"},
		{"shape", "[4611686018427387904, 2]", "below 2^63"},
		{"shape", "[4294967296, 4294967295]", "below 2^63"},
		{"shape", "[17, 33]", "561 elements, whose codes are 281 bytes"},
		{"nested_blocksize", "0", "'nested_blocksize' is 0"},
		{"nested_blocksize", NULL, "'nested_blocksize' is missing"},
		{"nested_dtype", "\"float16\"", "'nested_dtype' is \"float16\""},
		{"nested_dtype", NULL, "'nested_dtype' is missing"},
		{"nested_offset", "1e39", "'nested_offset' is 1e39"},
		{"nested_offset", "NaN", "line 1"},
		{"nested_offset", "null", "'nested_offset' is null"},
		{"nested_offset", NULL, "'nested_offset' is missing"},
		{"zero_point", "3", "a member that bitsandbytes does not write"},
	};
	struct bnb_weight w = bnb_random("nf4", "[17, 31]", 527, 64, 32);

	for (size_t i = 0; i < sizeof(wrongs) / sizeof(wrongs[0]); i++) {
		struct st_build b = {0};
		char json[512];

		bnb_add_codes(&b, "l.weight", &w, "U8", 1);
		bnb_add_companions(
			&b, "l.weight", &w,
			changed_json(&w, wrongs[i].what, wrongs[i].value, json, sizeof(json)));
		st_refused(st_save(&b, "state.safetensors"), wrongs[i].part);
	}
	bnb_free(&w);
}

static void odd_but_legal_quant_states_are_read(void)
{
	static const char *const changes[][2] = {
		{"blocksize", "64.0"},
		{"blocksize", "6.4e1"},
		{"nested_offset", "4.210526123642921e-02"},
		{"nested_offset", "-1"},
		{"dtype", "\"float\\u00316\""},
		{"shape", "[ 17 ,31 ]"},
		{"shape", "[31, 17]"},
	};
	struct bnb_weight w = bnb_random("nf4", "[17, 31]", 527, 64, 32);

	for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
		struct st_build b = {0};
		struct qc_model model;
		char json[512];

		bnb_add_codes(&b, "l.weight", &w, "U8", 1);
		bnb_add_companions(
			&b, "l.weight", &w,
			changed_json(&w, changes[i][0], changes[i][1], json, sizeof(json)));
		if (st_opens(&model, st_save(&b, "legal.safetensors")))
			qc_model_close(&model);
	}
	bnb_free(&w);
}

/* A tensor list for one weight in which one companion is left out, doubled or replaced. */
struct part {
	const char *suffix, *dtype, *shape;
	size_t bytes;
};

static const struct part parts[] = {
	{"", "U8", "[264,1]", 264},	     {".absmax", "U8", "[9]", 9},
	{".nested_absmax", "F32", "[1]", 4}, {".nested_quant_map", "F32", "[256]", 1024},
	{".quant_map", "F32", "[16]", 64},   {".quant_state.bitsandbytes__nf4", "U8", NULL, 0},
};
#define N_PARTS (sizeof(parts) / sizeof(parts[0]))

/* The weight with part `at` left out (with NULL) or replaced. */
static const char *save_parts(const struct bnb_weight *w, size_t at, const struct part *instead)
{
	struct st_build b = {0};
	char json[512], shape[32];

	bnb_json(w, json, sizeof(json));
	for (size_t i = 0; i < N_PARTS; i++) {
		struct part part = i == at && instead ? *instead : parts[i];

		if (i == at && !instead)
			continue;
		snprintf(shape, sizeof(shape), "[%zu]", strlen(json));
		if (part.shape)
			st_add(&b, bnb_name("l.weight", part.suffix), part.dtype, part.shape, NULL,
			       part.bytes);
		else
			st_add(&b, bnb_name("l.weight", part.suffix), part.dtype, shape, json,
			       strlen(json));
	}
	return st_save(&b, "parts.safetensors");
}

static void every_companion_is_needed(void)
{
	struct bnb_weight w = bnb_random("nf4", "[17, 31]", 527, 64, 32);
	struct qc_model model;

	if (st_opens(&model, save_parts(&w, N_PARTS, NULL))) {
		CHECK(model.n_tensors == 1, "%zu tensors", model.n_tensors);
		CHECK(!strcmp(model.tensors[0].encoding, "bitsandbytes nf4, double quant"), "%s",
		      model.tensors[0].encoding);
		qc_model_close(&model);
	}
	for (size_t i = 0; i + 1 < N_PARTS; i++) {
		char wanted[64];

		snprintf(wanted, sizeof(wanted), "'l.weight%s' is missing", parts[i].suffix);
		st_refused(save_parts(&w, i, NULL), wanted);
	}
	/* without the quant_state the others are leftovers */
	st_refused(save_parts(&w, N_PARTS - 1, NULL),
		   "a part of a bitsandbytes 4-bit weight whose other parts");
	bnb_free(&w);
}

static void companions_of_another_shape_or_type_are_refused(void)
{
	static const struct {
		size_t at;
		struct part part;
		const char *message;
	} wrongs[] = {
		{0, {"", "U8", "[263,1]", 263}, "is u8 263x1"},
		{0, {"", "U8", "[265,1]", 265}, "is u8 265x1"},
		{0, {"", "U8", "[1,264]", 264}, "transposed"},
		{0, {"", "F32", "[264,1]", 1056}, "is f32 264x1"},
		{0, {"", "F4", "[528,1]", 264}, "is f4 528x1"},
		{1, {".absmax", "U8", "[8]", 8}, "is u8 8, u8 9 is needed"},
		{1, {".absmax", "U8", "[3,3]", 9}, "is u8 3x3, u8 9 is needed"},
		{1, {".absmax", "F32", "[9]", 36}, "is f32 9, u8 9 is needed"},
		{1, {".absmax", "I8", "[9]", 9}, "is i8 9, u8 9 is needed"},
		{2, {".nested_absmax", "F32", "[2]", 8}, "is f32 2, f32 1 is needed"},
		{2, {".nested_absmax", "F16", "[1]", 2}, "is f16 1, f32 1 is needed"},
		{3, {".nested_quant_map", "F32", "[255]", 1020}, "f32 256 is needed"},
		{3, {".nested_quant_map", "F32", "[16]", 64}, "f32 256 is needed"},
		{4, {".quant_map", "F32", "[4,4]", 64}, "is f32 4x4, f32 16 is needed"},
		{4, {".quant_map", "BF16", "[16]", 32}, "is bf16 16, f32 16 is needed"},
		{5, {".quant_state.bitsandbytes__nf4", "I8", "[2]", 2}, "JSON text in u8"},
		{5, {".quant_state.bitsandbytes__nf4", "U8", "[]", 1}, "JSON text in u8"},
		{5, {".quant_state.bitsandbytes__nf4", "U8", "[0]", 0}, "line 1"},
		{5, {".quant_state.bitsandbytes__nf4", "U8", "[5000]", 5000}, "at most 4096"},
		{5, {".quant_state.bitsandbytes__fp4", "U8", NULL, 0}, "quant_type 'nf4'"},
	};
	struct bnb_weight w = bnb_random("nf4", "[17, 31]", 527, 64, 32);

	for (size_t i = 0; i < sizeof(wrongs) / sizeof(wrongs[0]); i++)
		st_refused(save_parts(&w, wrongs[i].at, &wrongs[i].part), wrongs[i].message);
	bnb_free(&w);
}

static void contradictory_sets_are_refused(void)
{
	struct bnb_weight w = bnb_random("nf4", "[17, 31]", 527, 64, 0);
	struct st_build b = {0};
	char json[512];

	bnb_add(&b, "l.weight", &w);
	w.type = "fp4";
	st_add_u8(&b, "l.weight.quant_state.bitsandbytes__fp4", json,
		  strlen(bnb_json(&w, json, sizeof(json))));
	w.type = "nf4";
	st_refused(st_save(&b, "two.safetensors"), "more than one quant_state");
	bnb_add(&b, "l.weight", &w);
	st_add_f32(&b, "l.weight.nested_absmax", w.absmax, 1);
	st_refused(st_save(&b, "mixed.safetensors"), "the quant_state has no nested_blocksize");
	bnb_add(&b, "l.weight", &w);
	st_add_f32(&b, "m.weight.absmax", w.absmax, 3);
	st_refused(st_save(&b, "stray.safetensors"), "'m.weight.absmax' is a part of");
	w.map[5] = qc_bits_f32(0x7fc00000);
	bnb_add(&b, "l.weight", &w);
	st_refused(st_save(&b, "nan.safetensors"), "'l.weight.quant_map': value 5 is nan");
	bnb_free(&w);
}

static void broken_int8_layers_are_refused(void)
{
	static const struct {
		const char *dtype, *shape, *scb, *format, *format_shape, *message;
		size_t bytes, n_scb;
		uint8_t value;
	} wrongs[] = {
		{"I8", "[2,3]", "p.SCB", "U8", "[]", "only 0 (rows) can be read", 6, 2, 1},
		{"I8", "[2,3]", "p.SCB", "U8", "[2]", "is not one integer", 6, 2, 0},
		{"I8", "[2,3]", "p.SCB", "F8_E4M3", "[]", "is not one integer", 6, 2, 0},
		{"I8", "[2,3]", "p.SCB", "U8", "[]", "is f32 3, f32 2 is needed", 6, 3, 0},
		{"I8", "[6]", "p.SCB", "U8", "[]", "a matrix belongs to a .SCB", 6, 2, 0},
		{"U8", "[2,3]", "p.SCB", "U8", "[]", "is u8 2x3, i8 is needed", 6, 2, 0},
		{"I8", "[2,3]", "q.SCB", "U8", "[]", "'q.weight' is missing", 6, 2, 0},
		{"I8", "[2,3]", "p.scb", "U8", "[]", "'p.weight_format' is a part of", 6, 2, 0},
	};
	static const float scb[3] = {1, 2, 3};

	for (size_t i = 0; i < sizeof(wrongs) / sizeof(wrongs[0]); i++) {
		struct st_build b = {0};

		st_add(&b, "p.weight", wrongs[i].dtype, wrongs[i].shape, NULL, wrongs[i].bytes);
		st_add_f32(&b, wrongs[i].scb, scb, wrongs[i].n_scb);
		st_add(&b, "p.weight_format", wrongs[i].format, wrongs[i].format_shape,
		       (uint8_t[]){wrongs[i].value, wrongs[i].value},
		       strcmp(wrongs[i].format_shape, "[2]") ? 1 : 2);
		st_refused(st_save(&b, "int8.safetensors"), wrongs[i].message);
	}
}

static void a_hundred_thousand_tensors_are_folded_in_linear_time(void)
{
	struct bnb_weight w = bnb_random("nf4", "[8, 8]", 64, 64, 256);
	struct st_build b = {0};
	struct qc_model model;
	const unsigned n = 17000; /* of 6 tensors each */
	clock_t start;
	double seconds;
	char name[64];

	for (unsigned i = 0; i < n; i++) {
		snprintf(name, sizeof(name), "model.layers.%u.weight", i);
		bnb_add(&b, name, &w);
	}
	start = clock();
	if (st_opens(&model, st_save(&b, "many.safetensors"))) {
		seconds = (double)(clock() - start) / CLOCKS_PER_SEC;
		CHECK(model.n_tensors == n, "%zu tensors", model.n_tensors);
		CHECK(seconds < 10, "%.1f s", seconds);
		/* equal tables are kept once: they alone would be 18 MB */
		CHECK(model.arena.bytes < 6u * n * 400, "%zu bytes", model.arena.bytes);
		qc_model_close(&model);
	}
	bnb_free(&w);
}

int main(void)
{
	st_begin();
	impossible_quant_states_are_refused();
	odd_but_legal_quant_states_are_read();
	every_companion_is_needed();
	companions_of_another_shape_or_type_are_refused();
	contradictory_sets_are_refused();
	broken_int8_layers_are_refused();
	a_hundred_thousand_tensors_are_folded_in_linear_time();
	st_end();
	return test_end();
}
