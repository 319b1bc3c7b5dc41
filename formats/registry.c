/* The list of container formats, and which of them a path is. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/text.h"
#include "formats/format.h"

extern const struct qc_format qc_format_gguf, qc_format_safetensors, qc_format_hf;

const struct qc_format *const qc_formats[] = {
	&qc_format_gguf,
	&qc_format_safetensors,
	&qc_format_hf,
	NULL,
};

#define PROBE_BYTES 4096

const struct qc_format *qc_format_find(const char *name)
{
	for (const struct qc_format *const *f = qc_formats; *f; f++)
		if (!strcmp((*f)->name, name))
			return *f;
	return NULL;
}

static enum qc_status unknown_format(const struct qc_probe *probe, struct qc_err *err)
{
	const char *looks_like = qc_file_looks_like(probe->head, probe->head_size);

	return qc_fail(err, QC_BAD_INPUT,
		       "'%s' is not a model that qconv reads%s%s; it reads .safetensors and .gguf "
		       "files and Hugging Face "
		       "directories",
		       probe->path, looks_like ? ": it is " : "", looks_like ? looks_like : "");
}

static enum qc_status detect(const struct qc_probe *probe, const struct qc_format **format,
			     struct qc_err *err)
{
	unsigned best = 0;

	for (const struct qc_format *const *f = qc_formats; *f; f++) {
		unsigned bits = (*f)->sniff ? (*f)->sniff(probe) : 0;

		if (bits > best) {
			best = bits;
			*format = *f;
		}
	}
	return best ? QC_OK : unknown_format(probe, err);
}

enum qc_status qc_format_detect(const char *path, const struct qc_format **format,
				struct qc_err *err)
{
	struct qc_probe probe = {.path = path};
	uint8_t head[PROBE_BYTES];
	struct qc_file file = {0};
	enum qc_status status;
	struct stat st;

	if (!stat(path, &st) && S_ISDIR(st.st_mode)) {
		probe.is_dir = true;
		return detect(&probe, format, err);
	}
	status = qc_file_open(&file, path, err);
	if (status)
		return status;
	probe.head = head;
	probe.head_size = file.size < sizeof(head) ? (size_t)file.size : sizeof(head);
	probe.file_size = file.size;
	if (probe.head_size)
		status = qc_file_read(&file, 0, head, probe.head_size, err);
	if (!status)
		status = detect(&probe, format, err);
	qc_file_close(&file);
	return status;
}

/* ".bin", ".png": a few letters. "Llama-3.1-8B" and "out.dir/" have none. */
static bool has_file_ending(const char *path)
{
	const char *dot = strrchr(path, '.');
	size_t len = dot ? strlen(dot + 1) : 0;

	for (size_t i = 0; i < len; i++)
		if (!((dot[i + 1] | 0x20) >= 'a' && (dot[i + 1] | 0x20) <= 'z'))
			return false;
	return len >= 2 && len <= 6;
}

const struct qc_format *qc_format_for_output(const char *path)
{
	const struct qc_format *dir = NULL;

	for (const struct qc_format *const *f = qc_formats; *f; f++) {
		if ((*f)->layout && (*f)->extension && qc_text_has_extension(path, (*f)->extension))
			return *f;
		if ((*f)->layout && (*f)->is_dir)
			dir = *f;
	}
	return has_file_ending(path) ? NULL : dir;
}

struct qc_out_file *qc_out_add(struct qc_out *out)
{
	struct qc_out_file *files = realloc(out->files, (out->n_files + 1) * sizeof(*files));

	if (!files)
		return NULL;
	out->files = files;
	files[out->n_files] = (struct qc_out_file){0};
	return &files[out->n_files++];
}

void qc_out_clear(struct qc_out *out)
{
	for (size_t i = 0; i < out->n_files; i++) {
		free(out->files[i].name);
		free(out->files[i].header);
	}
	free(out->files);
	*out = (struct qc_out){0};
}
