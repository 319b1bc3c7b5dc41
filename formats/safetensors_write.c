/*
 * safetensors: planning a file. The format is in formats/safetensors.c; order, spacing and padding
 * are the reference writer's (safetensors/src/tensor.rs: prepare), so that the same tensors give
 * the same bytes.
 */
#include "formats/safetensors.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/checked.h"
#include "base/json.h"
#include "base/strmap.h"
#include "base/utf8.h"

#define ALIGNMENT 8

/* The type's place in the reference's list, and its name; -1 when it has none. */
static int dtype_rank(const struct qc_qtype *type, const char **name)
{
	const struct qc_qtype *other;

	for (unsigned i = 0; (*name = qc_safetensors_dtype(i, &other)); i++)
		if (other == type)
			return (int)i;
	return -1;
}

bool qc_safetensors_can_hold(const struct qc_qtype *type)
{
	const char *name;

	return dtype_rank(type, &name) >= 0;
}

static int by_rank_and_name(const void *a, const void *b)
{
	const struct qc_out_tensor *x = *(struct qc_out_tensor *const *)a;
	const struct qc_out_tensor *y = *(struct qc_out_tensor *const *)b;
	const char *name;
	int rank_x = dtype_rank(x->type, &name), rank_y = dtype_rank(y->type, &name);

	return rank_x != rank_y ? rank_y - rank_x : strcmp(x->name, y->name);
}

static enum qc_status check(const struct qc_out_tensor *tensor, struct qc_err *err)
{
	if (!qc_safetensors_can_hold(tensor->type))
		return qc_fail(err, QC_UNSUPPORTED, "tensor '%.160s': safetensors has no type %s",
			       tensor->name, tensor->type->name);
	if (!qc_utf8_valid(tensor->name, strlen(tensor->name)))
		return qc_fail(err, QC_UNSUPPORTED, "tensor '%.160s': the name is not UTF-8",
			       tensor->name);
	return QC_OK;
}

/* Offsets inside the data. */
static enum qc_status place(struct qc_out_tensor *const *tensors, size_t n, uint64_t *data_bytes,
			    struct qc_err *err)
{
	*data_bytes = 0;
	for (size_t i = 0; i < n; i++) {
		if (check(tensors[i], err))
			return err->status;
		tensors[i]->offset = *data_bytes;
		if (!qc_add(*data_bytes, tensors[i]->bytes, data_bytes) || *data_bytes > INT64_MAX)
			return qc_fail(err, QC_UNSUPPORTED,
				       "the output would be larger than 2^63 bytes");
	}
	return QC_OK;
}

static void put_tensor(FILE *out, const struct qc_out_tensor *tensor)
{
	const char *dtype = NULL;

	(void)dtype_rank(tensor->type, &dtype);
	qc_json_print_string(out, tensor->name, strlen(tensor->name));
	fprintf(out, ":{\"dtype\":\"%s\",\"shape\":[", dtype);
	for (uint32_t d = tensor->n_dims; d > 0; d--)
		fprintf(out, "%llu%s", (unsigned long long)tensor->dims[d - 1], d > 1 ? "," : "");
	fprintf(out, "],\"data_offsets\":[%llu,%llu]}", (unsigned long long)tensor->offset,
		(unsigned long long)(tensor->offset + tensor->bytes));
}

/* The length, the JSON and its padding (malloc). */
static enum qc_status build_header(struct qc_out_tensor *const *tensors, size_t n,
				   struct qc_out_file *file, struct qc_err *err)
{
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);
	bool failed;

	if (!out)
		return qc_no_memory(err);
	fwrite("12345678", 1, 8, out); /* the length goes here */
	fputs("{\"__metadata__\":{\"format\":\"pt\"}", out);
	for (size_t i = 0; i < n; i++) {
		fputc(',', out);
		put_tensor(out, tensors[i]);
	}
	fputc('}', out);
	while (!fflush(out) && size % ALIGNMENT)
		fputc(' ', out);
	failed = ferror(out);
	if (fclose(out) || failed || !text) {
		free(text);
		return qc_no_memory(err);
	}
	file->header = (uint8_t *)text;
	file->header_bytes = size;
	qc_put_le64(file->header, size - 8);
	if (size - 8 > QC_SAFETENSORS_MAX_HEADER)
		return qc_fail(err, QC_UNSUPPORTED,
			       "%zu tensors make a header of %zu bytes, safetensors allows %u: "
			       "smaller shards need smaller headers",
			       n, size - 8, QC_SAFETENSORS_MAX_HEADER);
	return QC_OK;
}

enum qc_status qc_safetensors_layout(struct qc_out_tensor **tensors, size_t n,
				     struct qc_out_file *out, struct qc_err *err)
{
	uint64_t data_bytes;
	enum qc_status s;

	if (n)
		qsort(tensors, n, sizeof(*tensors), by_rank_and_name);
	s = place(tensors, n, &data_bytes, err);
	if (!s)
		s = build_header(tensors, n, out, err);
	if (s)
		return s;
	for (size_t i = 0; i < n; i++)
		tensors[i]->offset += out->header_bytes;
	out->total_bytes = out->header_bytes + data_bytes;
	return QC_OK;
}

enum qc_status qc_safetensors_check_names(const struct qc_out_tensor *tensors, size_t n,
					  struct qc_err *err)
{
	struct qc_strmap names = {0};
	enum qc_status s = QC_OK;

	for (size_t i = 0; !s && i < n; i++) {
		const char *name = tensors[i].name;
		bool was_there;

		s = qc_strmap_add(&names, name, strlen(name), i, &was_there, err);
		if (!s && (was_there || !strcmp(name, "__metadata__")))
			s = qc_fail(err, QC_UNSUPPORTED,
				    "two tensors of the output would be called '%.160s'", name);
	}
	qc_strmap_clear(&names);
	return s;
}

enum qc_status qc_safetensors_layout_out(struct qc_out_tensor *tensors, size_t n,
					 const struct qc_layout_wish *wish, struct qc_out *out,
					 struct qc_err *err)
{
	struct qc_out_tensor **list = malloc((n + 1) * sizeof(*list));
	struct qc_out_file *file = list ? qc_out_add(out) : NULL;
	enum qc_status s = file ? QC_OK : qc_no_memory(err);

	(void)wish;
	for (size_t i = 0; list && i < n; i++) {
		list[i] = &tensors[i];
		tensors[i].file = 0;
	}
	if (!s)
		s = qc_safetensors_check_names(tensors, n, err);
	if (!s)
		s = qc_safetensors_layout(list, n, file, err);
	if (!s)
		out->total_bytes = file->total_bytes;
	free(list);
	return s;
}
