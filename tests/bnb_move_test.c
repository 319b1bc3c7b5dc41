/* bitsandbytes weights that become bitsandbytes weights: what can be moved is, byte for byte. */
#include <math.h>

#include "convert/qconv.h"
#include "quant/half.h"
#include "tests/st_files.h"

#define MODEL "tests/data/models/tiny-gemma3-bnb-nf4"
#define NAME  "m.q_proj.weight"

static bool converts(const char *input, const char *output, const struct qconv_options *options,
		     const char *refusal)
{
	struct qconv_options forced = *options;
	struct qconv_error error = {0};
	int code;

	forced.force = true;
	code = qconv_convert(input, output, &forced, NULL, &error);
	if (refusal)
		CHECK(code == QCONV_FAILED && strstr(error.text, refusal), "%d '%s', not '%s'",
		      code, error.text, refusal);
	else
		NEED(code == QCONV_DONE, "%s to %s: %d '%s'", input, output, code, error.text);
	return code == QCONV_DONE;
}

static bool same(const char *a, const char *b)
{
	size_t n, m;
	char *x = test_load(a, &n), *y = test_load(b, &m);
	const bool equal = n == m && !memcmp(x, y, n);

	free(x);
	free(y);
	return equal;
}

/* rows x cols of about normal numbers, in some blocks none but zeros. */
static const char *matrix(const char *name, size_t rows, size_t cols)
{
	const size_t n = rows * cols;
	uint8_t *bytes = malloc(n * 4);
	uint64_t state = n;
	char header[200];
	const char *path;

	NEED(bytes, "no memory");
	for (size_t i = 0; i < n; i++) {
		float sum = 0;

		for (int k = 0; k < 4; k++) {
			state = state * 6364136223846793005u + 1442695040888963407u;
			sum += (float)(state >> 40) / 0x1p24f - 0.5f;
		}
		qc_put_le32(bytes + 4 * i, i / 8192 % 5 == 4 ? 0 : qc_f32_bits(sum * 0.05f));
	}
	snprintf(header, sizeof(header),
		 "{\"" NAME "\":{\"dtype\":\"F32\",\"shape\":[%zu,%zu],\"data_offsets\":[0,%zu]}}",
		 rows, cols, n * 4);
	path = st_file(name, header, bytes, n * 4);
	free(bytes);
	return path;
}

static void a_checkpoint_is_moved(void)
{
	const struct qconv_options nested = {.quant = "nf4", .double_quant = true},
				   plain = {.quant = "nf4"}, values = {.quant = "f32"};
	char model[4700];

	converts(MODEL, st_path("nested"), &nested, NULL);
	snprintf(model, sizeof(model), "%s/model.safetensors", st_path("nested"));
	CHECK(same(model, MODEL "/model.safetensors"), "other bytes");
	converts(MODEL, st_path("plain"), &plain, NULL);
	converts(MODEL, st_path("a.safetensors"), &values, NULL);
	converts(st_path("plain"), st_path("b.safetensors"), &values, NULL);
	CHECK(same(st_path("a.safetensors"), st_path("b.safetensors")), "other values");
}

/* Blocks within rows and across their ends, the last one short, an odd number of elements. */
static const struct {
	size_t rows, cols;
} shapes[] = {{16, 4096}, {7, 100}, {3, 33}, {1, 1}, {601, 1000}};

static void check_moves(size_t shape, int block, const char *kind, const char *method)
{
	const struct qconv_options nested = {.quant = kind,
					     .method = method,
					     .blocksize = block,
					     .double_quant = true},
				   plain = {.quant = kind, .method = method, .blocksize = block},
				   values = {.quant = "f32"};
	char text[100], input[4700];

	snprintf(input, sizeof(input), "%s",
		 matrix("x.safetensors", shapes[shape].rows, shapes[shape].cols));
	snprintf(text, sizeof(text), "%s, %s, blocks of %d, %zux%zu", kind, method, block,
		 shapes[shape].rows, shapes[shape].cols);
	converts(input, st_path("n.safetensors"), &nested, NULL);
	converts(st_path("n.safetensors"), st_path("n2.safetensors"), &nested, NULL);
	CHECK(same(st_path("n.safetensors"), st_path("n2.safetensors")), "%s: nested moved", text);
	converts(st_path("n.safetensors"), st_path("np.safetensors"), &plain, NULL);
	converts(st_path("n.safetensors"), st_path("nv.safetensors"), &values, NULL);
	converts(st_path("np.safetensors"), st_path("npv.safetensors"), &values, NULL);
	CHECK(same(st_path("nv.safetensors"), st_path("npv.safetensors")),
	      "%s: absmax decoded: other values", text);
	converts(input, st_path("p.safetensors"), &plain, NULL);
	converts(st_path("p.safetensors"), st_path("p2.safetensors"), &plain, NULL);
	CHECK(same(st_path("p.safetensors"), st_path("p2.safetensors")), "%s: plain moved", text);
	if (strcmp(method, "reference") != 0 || strcmp(kind, "nf4") != 0)
		return;
	/* The largest of a block has code 0 or 15, -1 or 1, so that the reference finds the same
	 * absmax and codes; of fp4's two zeros it has one only. */
	converts(st_path("p.safetensors"), st_path("pn.safetensors"), &nested, NULL);
	CHECK(same(st_path("n.safetensors"), st_path("pn.safetensors")), "%s: quantized twice",
	      text);
}

static void every_shape_and_block_is_moved(void)
{
	static const int blocks[] = {32, 64, 128, 4096};
	static const char *const kinds[] = {"nf4", "fp4"};

	for (size_t s = 0; s < sizeof(shapes) / sizeof(shapes[0]); s++)
		for (size_t b = 0; b < 4; b++)
			for (size_t k = 0; k < 2; k++)
				check_moves(s, blocks[b], kinds[k],
					    b == s % 4 ? "search" : "reference");
}

/* The file with `old` (once in its header) replaced; both are as long. */
static const char *edited(const char *name, const char *input, const char *old, const char *new)
{
	size_t size, n;
	char *data = test_load(input, &size), *at = NULL;
	const char *path;

	n = (size_t)qc_le64(data);
	for (size_t i = 8; i + strlen(old) <= 8 + n && !at; i++)
		if (!memcmp(data + i, old, strlen(old)))
			at = data + i;
	NEED(at && strlen(old) == strlen(new), "'%s' is not in %s", old, input);
	memcpy(at, new, strlen(new));
	path = st_write(name, data, size);
	free(data);
	return path;
}

/* Codes in another element type (quant_storage) are the same bytes. */
static void other_storage_is_moved(void)
{
	const struct qconv_options nested = {.quant = "nf4", .double_quant = true};

	converts(matrix("x.safetensors", 16, 64), st_path("n.safetensors"), &nested, NULL);
	edited("s.safetensors", st_path("n.safetensors"),
	       "\"" NAME "\":{\"dtype\":\"U8\",\"shape\":[512,1]",
	       "\"" NAME "\":{\"dtype\":\"BF16\",\"shape\":[256]");
	converts(st_path("s.safetensors"), st_path("n2.safetensors"), &nested, NULL);
	CHECK(same(st_path("n.safetensors"), st_path("n2.safetensors")), "other bytes");
}

/* All of `old` in the header as `new`. */
static const char *renamed(const char *name, const char *input, const char *old, const char *new)
{
	size_t size, n;
	char *data = test_load(input, &size);
	const char *path;

	n = (size_t)qc_le64(data);
	for (size_t i = 8; i + strlen(old) <= 8 + n; i++)
		if (!memcmp(data + i, old, strlen(old)))
			memcpy(data + i, new, strlen(new));
	path = st_write(name, data, size);
	free(data);
	return path;
}

/* A vision tower is not packed by us; one that is packed moves, and is decoded where it cannot. */
static void a_packed_tower_stays_packed(void)
{
	const struct qconv_options nested = {.quant = "nf4", .double_quant = true},
				   plain = {.quant = "nf4"}, fp4 = {.quant = "fp4"},
				   wide = {.quant = "nf4", .blocksize = 128},
				   skip = {.quant = "nf4",
					   .skips = (const char *const[]){"vision"},
					   .n_skips = 1};
	static const char none[] = "nothing in this model can be packed";
	const char *tower;

	converts(renamed("x2.safetensors", matrix("x.safetensors", 7, 100), "m.q_proj", "vision.q"),
		 st_path("o.safetensors"), &nested, none);
	converts(st_path("x.safetensors"), st_path("n.safetensors"), &nested, NULL);
	tower = renamed("t.safetensors", st_path("n.safetensors"), "m.q_proj", "vision.q");
	converts(tower, st_path("t2.safetensors"), &nested, NULL);
	CHECK(same(tower, st_path("t2.safetensors")), "a tower that is packed has other bytes");
	converts(tower, st_path("t3.safetensors"), &plain, NULL);
	converts(st_path("t3.safetensors"), st_path("o.safetensors"), &nested, none);
	converts(st_path("t.safetensors"), st_path("o.safetensors"), &wide, none);
	converts(st_path("t.safetensors"), st_path("o.safetensors"), &fp4, none);
	converts(st_path("t.safetensors"), st_path("o.safetensors"), &skip, none);
}

/* Other blocks, or other kinds, are encoded anew, and not far from what they were. */
static void what_differs_is_encoded(void)
{
	const struct qconv_options nested = {.quant = "nf4", .double_quant = true},
				   wide = {.quant = "nf4", .blocksize = 128, .double_quant = true},
				   fp4 = {.quant = "fp4", .double_quant = true};

	converts(matrix("x.safetensors", 16, 256), st_path("n.safetensors"), &nested, NULL);
	converts(st_path("n.safetensors"), st_path("w.safetensors"), &wide, NULL);
	converts(st_path("w.safetensors"), st_path("w2.safetensors"), &wide, NULL);
	CHECK(same(st_path("w.safetensors"), st_path("w2.safetensors")), "blocks of 128");
	converts(st_path("n.safetensors"), st_path("f.safetensors"), &fp4, NULL);
	converts(st_path("f.safetensors"), st_path("f2.safetensors"), &fp4, NULL);
	CHECK(same(st_path("f.safetensors"), st_path("f2.safetensors")), "fp4");
}

/* A float of the file, by the name of its tensor's end and its index. */
static const char *with_float(const char *name, const char *input, const char *suffix, size_t index,
			      uint32_t bits)
{
	size_t size;
	char *data = test_load(input, &size), *at = strstr(data + 8, suffix);
	const char *path;
	size_t offset;

	at = at ? strstr(at, "data_offsets\":[") : NULL;
	NEED(at, "there is no '%s' in %s", suffix, input);
	offset = (size_t)strtoull(at + strlen("data_offsets\":["), NULL, 10);
	qc_put_le32((uint8_t *)data + 8 + qc_le64(data) + offset + 4 * index, bits);
	path = st_write(name, data, size);
	free(data);
	return path;
}

static void scales_that_are_no_numbers_are_refused(void)
{
	const struct qconv_options nested = {.quant = "nf4", .double_quant = true},
				   plain = {.quant = "nf4"};
	const char *bad;
	char input[4700];

	snprintf(input, sizeof(input), "%s", matrix("x.safetensors", 100, 600));
	converts(input, st_path("n.safetensors"), &nested, NULL);
	converts(input, st_path("p.safetensors"), &plain, NULL);
	bad = with_float("bad.safetensors", st_path("n.safetensors"), NAME ".nested_absmax", 2,
			 0x7fc00000);
	converts(bad, st_path("o.safetensors"), &nested, "row 54, column 368: the scale");
	converts(bad, st_path("o.safetensors"), &plain, "row 54, column 368: the scale");
	bad = with_float("bad.safetensors", st_path("p.safetensors"), NAME ".absmax", 10,
			 0xff800000);
	converts(bad, st_path("o.safetensors"), &plain, "row 1, column 40: the scale");
}

int main(void)
{
	st_begin();
	a_checkpoint_is_moved();
	every_shape_and_block_is_moved();
	other_storage_is_moved();
	a_packed_tower_stays_packed();
	what_differs_is_encoded();
	scales_that_are_no_numbers_are_refused();
	st_end();
	return test_end();
}
