/* bitsandbytes encodings equal what bitsandbytes wrote: the golden vectors, and every tensor of a
 * checkpoint quantized with double quantization. */
#include "tests/test.h"

#include <inttypes.h>
#include <math.h>

#include "base/bytes.h"
#include "quant/bnb.h"
#include "quant/half.h"

#define GOLDEN "tests/data/golden/"

static const struct {
	const char *name;
	size_t elems;
} inputs[] = {{"normal", 4096}, {"heavy", 4096}, {"llm", 4096},	  {"tiny", 1024},
	      {"large", 1024},	{"zeros", 256},	 {"const", 1024}, {"onehot", 768},
	      {"ties", 2048},	{"signs", 512},	 {"grid", 512}};

enum { N_INPUTS = sizeof(inputs) / sizeof(inputs[0]), MAX_ELEMS = 4096 };

static float float_at(const char *bytes, size_t i)
{
	return qc_bits_f32(qc_le32(bytes + 4 * i));
}

static void load_input(size_t k, bool bf16, float *x)
{
	char path[96], *data;
	size_t size;

	snprintf(path, sizeof(path), GOLDEN "inputs/%s.f32", inputs[k].name);
	data = test_load(path, &size);
	NEED(size == 4 * inputs[k].elems, "%s: %zu bytes", path, size);
	for (size_t i = 0; i < inputs[k].elems; i++) {
		x[i] = float_at(data, i);
		if (bf16)
			x[i] = qc_bf16_to_f32(qc_f32_to_bf16(x[i]));
	}
	free(data);
}

/* Everything that one file family says of one kind, block size and dtype. */
struct family {
	char *packed, *absmax, *offset, *nested_absmax, *codes_cpp, *codes_python;
};

static char *load_part(const char *kind, size_t block, bool bf16, const char *end)
{
	char path[96];

	snprintf(path, sizeof(path), GOLDEN "bnb/%s.b%zu.%s.%s", kind, block, bf16 ? "bf16" : "f32",
		 end);
	return test_load(path, NULL);
}

static void family_free(struct family *f)
{
	free(f->packed);
	free(f->absmax);
	free(f->offset);
	free(f->nested_absmax);
	free(f->codes_cpp);
	free(f->codes_python);
}

static void check_floats(const char *what, const float *got, const char *want, size_t first,
			 size_t n)
{
	for (size_t i = 0; i < n; i++)
		CHECK(qc_f32_bits(got[i]) == qc_f32_bits(float_at(want, first + i)),
		      "%s[%zu]: %.9g, not %.9g", what, i, got[i], float_at(want, first + i));
}

static void check_bytes(const char *what, const uint8_t *got, const char *want, size_t n)
{
	size_t at = 0;

	while (at < n && got[at] == (uint8_t)want[at])
		at++;
	CHECK(at == n, "%s: byte %zu is %02x, not %02x", what, at, got[at < n ? at : 0],
	      (uint8_t)want[at < n ? at : 0]);
}

static float mean_of(const float *x, size_t n)
{
	struct qc_bnb_mean mean;

	qc_bnb_mean_init(&mean, n);
	for (size_t i = 0; i < n; i += 7) /* portions do not matter */
		qc_bnb_mean_add(&mean, x + i, n - i < 7 ? n - i : 7);
	return qc_bnb_mean_value(&mean);
}

static void compare_family(const struct qc_bnb4_kind *kind, size_t block, bool bf16,
			   const struct family *f)
{
	static float x[MAX_ELEMS], absmax[MAX_ELEMS / 64];
	static uint8_t packed[MAX_ELEMS / 2], codes[MAX_ELEMS / 64];
	size_t at = 0, blocks_at = 0;

	for (size_t k = 0; k < N_INPUTS; k++) {
		size_t n = inputs[k].elems, blocks = n / block;
		float nested, offset;
		char what[96];

		snprintf(what, sizeof(what), "%s %s blocks of %zu, %s", kind->name,
			 bf16 ? "bf16" : "f32", block, inputs[k].name);
		load_input(k, bf16, x);
		qc_bnb4_encode(kind, x, n, block, packed, absmax);
		check_bytes(what, packed, f->packed + at / 2, n / 2);
		check_floats(what, absmax, f->absmax, blocks_at, blocks);
		offset = mean_of(absmax, blocks);
		check_floats(what, &offset, f->offset, k, 1);
		qc_bnb8_encode_python(absmax, blocks, offset, codes, &nested);
		check_bytes(what, codes, f->codes_python + blocks_at, blocks);
		qc_bnb8_encode_cpp(absmax, blocks, offset, codes, &nested);
		check_bytes(what, codes, f->codes_cpp + blocks_at, blocks);
		check_floats(what, &nested, f->nested_absmax, k, 1);
		at += n;
		blocks_at += blocks;
	}
}

static void golden_blocks_are_bitsandbytes_bytes(void)
{
	const struct qc_bnb4_kind *kinds[] = {&qc_bnb_nf4, &qc_bnb_fp4};

	for (size_t k = 0; k < 2; k++) {
		for (size_t block = 64; block <= 256; block *= 2) {
			for (int bf16 = 0; bf16 < 2; bf16++) {
				const char *name = kinds[k]->name;
				struct family f = {
					load_part(name, block, bf16, "packed"),
					load_part(name, block, bf16, "absmax.f32"),
					load_part(name, block, bf16, "offset.f32"),
					load_part(name, block, bf16, "nested_absmax.f32"),
					load_part(name, block, bf16, "qabsmax"),
					load_part(name, block, bf16, "qabsmax_py"),
				};

				compare_family(kinds[k], block, bf16, &f);
				family_free(&f);
			}
		}
	}
}

static void the_maps_are_bitsandbytes_own(void)
{
	char *nf4 = test_load(GOLDEN "bnb/nf4_map.f32", NULL);
	char *fp4 = test_load(GOLDEN "bnb/fp4_map.f32", NULL);
	char *dynamic = test_load(GOLDEN "bnb/dynamic_map.f32", NULL);

	check_floats("nf4", qc_bnb_nf4.map, nf4, 0, 16);
	check_floats("fp4", qc_bnb_fp4.map, fp4, 0, 16);
	check_floats("dynamic map", qc_bnb_dynamic_map, dynamic, 0, 256);
	for (int i = 0; i < 15; i++) {
		CHECK(qc_bnb_nf4.map[qc_bnb_nf4.order[i]] < qc_bnb_nf4.map[qc_bnb_nf4.order[i + 1]],
		      "nf4 order, place %d", i);
		CHECK(qc_bnb_fp4.map[qc_bnb_fp4.order[i]] <=
			      qc_bnb_fp4.map[qc_bnb_fp4.order[i + 1]],
		      "fp4 order, place %d", i);
	}
	free(nf4);
	free(fp4);
	free(dynamic);
}

/* A safetensors file in memory: just enough to find one tensor's bytes. */
struct file {
	char *data, *header; /* header: NUL-terminated copy */
	size_t size, start;  /* of the data section */
};

static struct file file_load(const char *path)
{
	struct file f;
	size_t length;

	f.data = test_load(path, &f.size);
	length = (size_t)qc_le64(f.data);
	NEED(length < f.size, "%s: a header of %zu bytes", path, length);
	f.start = 8 + length;
	f.header = malloc(length + 1);
	NEED(f.header, "out of memory");
	memcpy(f.header, f.data + 8, length);
	f.header[length] = 0;
	return f;
}

/* NULL when there is no tensor `base` + `end`. */
static const char *file_find(const struct file *f, const char *base, const char *end, size_t *bytes)
{
	char key[256];
	const char *at;
	size_t from, to;

	snprintf(key, sizeof(key), "\"%s%s\":", base, end);
	at = strstr(f->header, key);
	if (!at)
		return NULL;
	at = strstr(at, "\"data_offsets\":[");
	NEED(at && sscanf(at, "\"data_offsets\":[%zu,%zu]", &from, &to) == 2 && from <= to &&
		     f->start + to <= f->size,
	     "%s%s: no offsets", base, end);
	*bytes = to - from;
	return f->data + f->start + from;
}

static void compare_weight(const struct file *plain, const struct file *bnb, const char *base)
{
	size_t size, n, blocks, groups;
	const char *raw = file_find(plain, base, "", &size), *want, *state, *text;
	float *x, *absmax, *nested, offset, want_offset;
	uint8_t *packed, *codes;

	NEED(raw, "%s is not in the plain model", base);
	n = size / 2;
	blocks = (n + 63) / 64;
	groups = (blocks + 255) / 256;
	x = malloc(n * sizeof(*x));
	absmax = malloc(blocks * sizeof(*absmax));
	nested = malloc(groups * sizeof(*nested));
	packed = malloc(n / 2 + 1);
	codes = malloc(blocks);
	NEED(x && absmax && nested && packed && codes, "out of memory");
	for (size_t i = 0; i < n; i++)
		x[i] = qc_bf16_to_f32(qc_le16(raw + 2 * i));
	qc_bnb4_encode(&qc_bnb_nf4, x, n, 64, packed, absmax);
	want = file_find(bnb, base, "", &size);
	NEED(want && size == n / 2, "%s: %zu bytes", base, size);
	check_bytes(base, packed, want, size);
	state = file_find(bnb, base, ".quant_state.bitsandbytes__nf4", &size);
	NEED(state, "%s has no state", base);
	text = strstr(state, "\"nested_offset\": ");
	NEED(text && text < state + size, "%s has no offset", base);
	want_offset = strtof(text + 17, NULL);
	offset = mean_of(absmax, blocks);
	CHECK(offset == want_offset, "%s: offset %.9g, not %.9g", base, offset, want_offset);
	qc_bnb8_encode_python(absmax, blocks, offset, codes, nested);
	want = file_find(bnb, base, ".absmax", &size);
	NEED(want && size == blocks, "%s: %zu scales", base, size);
	check_bytes(base, codes, want, size);
	want = file_find(bnb, base, ".nested_absmax", &size);
	NEED(want && size == 4 * groups, "%s: %zu groups", base, size / 4);
	check_floats(base, nested, want, 0, groups);
	free(x);
	free(absmax);
	free(nested);
	free(packed);
	free(codes);
}

static void a_checkpoint_is_reproduced_byte_for_byte(void)
{
	static const char *const matrices[] = {
		"mlp.gate_proj",    "mlp.up_proj",	"mlp.down_proj",   "self_attn.q_proj",
		"self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj"};
	struct file plain = file_load("samples/tiny-gemma3/model.safetensors");
	struct file bnb = file_load("tests/data/models/tiny-gemma3-bnb-nf4/model.safetensors");

	for (int layer = 0; layer < 6; layer++) {
		for (size_t m = 0; m < sizeof(matrices) / sizeof(matrices[0]); m++) {
			char base[96];

			snprintf(base, sizeof(base), "model.layers.%d.%s.weight", layer,
				 matrices[m]);
			compare_weight(&plain, &bnb, base);
		}
	}
	free(plain.data);
	free(plain.header);
	free(bnb.data);
	free(bnb.header);
}

/* A short last block is divided, not multiplied; an odd end is filled with the code of zero. */
static void short_blocks_end_a_weight(void)
{
	float x[69], absmax[2], all[2];
	uint8_t packed[35], short_packed[3];

	for (int i = 0; i < 69; i++)
		x[i] = (float)(i % 13 - 6) * 0.37f;
	qc_bnb4_encode(&qc_bnb_nf4, x, 69, 64, packed, absmax);
	qc_bnb4_encode(&qc_bnb_nf4, x + 64, 5, 64, short_packed, all);
	CHECK(!memcmp(packed + 32, short_packed, 3) && absmax[1] == all[0],
	      "the tail differs from itself: absmax %g, %g", absmax[1], all[0]);
	CHECK((packed[34] & 15) == 7, "filled with code %d", packed[34] & 15);
	memset(x, 0, sizeof(x));
	qc_bnb4_encode(&qc_bnb_nf4, x, 69, 64, packed, absmax);
	CHECK(absmax[0] == 0 && absmax[1] == 1e-38f, "absmax of zeros: %g, short %g", absmax[0],
	      absmax[1]);
	for (int i = 0; i < 35; i++)
		CHECK(packed[i] == 0x77, "byte %d of zeros is %02x", i, packed[i]);
	qc_bnb4_encode(&qc_bnb_fp4, x, 69, 64, packed, absmax);
	for (int i = 0; i < 35; i++)
		CHECK(packed[i] == 0, "byte %d of zeros is %02x", i, packed[i]);
}

/* Every entry of the map is its own code by the python rule; the C++ one misses a few near zero. */
static void map_entries_are_their_own_codes(void)
{
	uint8_t codes[256];
	float nested;
	int missed = 0;

	qc_bnb8_encode_python(qc_bnb_dynamic_map, 256, 0, codes, &nested);
	CHECK(nested == 1, "the map's largest entry is %g", nested);
	for (int i = 0; i < 256; i++)
		CHECK(codes[i] == i, "entry %d has code %d", i, codes[i]);
	qc_bnb8_encode_cpp(qc_bnb_dynamic_map, 256, 0, codes, &nested);
	for (int i = 0; i < 256; i++)
		missed += codes[i] != i;
	CHECK(missed == 9, "the C++ rule misses %d entries", missed);
}

int main(void)
{
	the_maps_are_bitsandbytes_own();
	golden_blocks_are_bitsandbytes_bytes();
	short_blocks_end_a_weight();
	map_entries_are_their_own_codes();
	a_checkpoint_is_reproduced_byte_for_byte();
	return test_end();
}
