/*
 * tokenizer.model: SentencePiece's ModelProto, a protobuf message.
 *
 *   1 pieces, repeated   { 1 piece: string   2 score: f32   3 type: enum, absent means NORMAL }
 *   2 trainer_spec       { 3 model_type: 1 unigram (also when absent), 2 BPE   ... }
 *   3 normalizer_spec    { 2 precompiled_charsmap: u32 trie size, trie, strings   3
 * add_dummy_prefix, absent means true   ... }
 *
 * A field is a varint (number << 3 | wire type), then a varint, 8 bytes, a varint length and bytes,
 * or 4 bytes. Groups (wire types 3 and 4) are long deprecated and SentencePiece writes none: they
 * are refused, so that nothing nests without a length.
 */
#include "formats/tokenizer.h"

#include <math.h>
#include <string.h>

#include "base/bytes.h"

#define MAX_PIECE_BYTES 65536u

enum { WIRE_VARINT = 0, WIRE_8_BYTES = 1, WIRE_BYTES = 2, WIRE_4_BYTES = 5 };

struct span {
	const uint8_t *at, *end;
};

struct field {
	uint64_t number;
	unsigned wire;
	uint64_t value;	   /* of a varint */
	struct span bytes; /* of the others */
};

static enum qc_status read_varint(struct span *in, uint64_t *out, struct qc_err *err)
{
	uint64_t value = 0;

	for (unsigned shift = 0; shift < 70; shift += 7) {
		if (in->at == in->end)
			return qc_fail(err, QC_BAD_INPUT, "truncated: a number has no end");
		if (shift < 64)
			value |= (uint64_t)(*in->at & 127) << shift;
		if (*in->at++ < 128) {
			*out = value;
			return QC_OK;
		}
	}
	return qc_fail(err, QC_BAD_INPUT, "a number takes more than 10 bytes");
}

static enum qc_status read_field(struct span *in, struct field *field, struct qc_err *err)
{
	uint64_t tag = 0, size = 0;
	enum qc_status s = read_varint(in, &tag, err);

	if (s)
		return s;
	*field = (struct field){.number = tag >> 3, .wire = tag & 7};
	if (!field->number)
		return qc_fail(err, QC_BAD_INPUT, "field number 0");
	switch (field->wire) {
	case WIRE_VARINT:
		return read_varint(in, &field->value, err);
	case WIRE_8_BYTES:
		size = 8;
		break;
	case WIRE_4_BYTES:
		size = 4;
		break;
	case WIRE_BYTES:
		s = read_varint(in, &size, err);
		break;
	default:
		return qc_fail(err, QC_BAD_INPUT,
			       "field %llu has wire type %u, known are 0, 1, 2 and 5",
			       (unsigned long long)field->number, field->wire);
	}
	if (s)
		return s;
	if (size > (uint64_t)(in->end - in->at))
		return qc_fail(err, QC_BAD_INPUT,
			       "truncated: field %llu needs %llu bytes, %td are left",
			       (unsigned long long)field->number, (unsigned long long)size,
			       in->end - in->at);
	field->bytes = (struct span){in->at, in->at + size};
	in->at += size;
	return QC_OK;
}

static enum qc_status check_piece(const struct qc_token *token, uint64_t type, uint32_t id,
				  struct qc_err *err)
{
	if (!token->len || token->len > MAX_PIECE_BYTES)
		return qc_fail(err, QC_BAD_INPUT, "piece %u has %zu bytes, allowed is 1 to %u", id,
			       token->len, MAX_PIECE_BYTES);
	if (!isfinite(token->score))
		return qc_fail(err, QC_BAD_INPUT, "piece %u has the score %g", id, token->score);
	if (type < QC_TOKEN_NORMAL || type > QC_TOKEN_BYTE)
		return qc_fail(err, QC_BAD_INPUT, "piece %u has type %llu, known are 1 to 6", id,
			       (unsigned long long)type);
	if (type == QC_TOKEN_BYTE && !qc_token_is_byte(token->text, token->len))
		return qc_fail(err, QC_BAD_INPUT,
			       "piece %u is a byte, but its text is not <0x00> to <0xFF>", id);
	return QC_OK;
}

static enum qc_status read_piece(struct span in, struct qc_token *token, uint32_t id,
				 struct qc_err *err)
{
	uint64_t type = QC_TOKEN_NORMAL;
	struct field field;

	while (in.at < in.end) {
		enum qc_status s = read_field(&in, &field, err);

		if (s)
			return qc_fail_in(err, "piece %u", id);
		if (field.number == 1 && field.wire == WIRE_BYTES) {
			token->text = (const char *)field.bytes.at;
			token->len = (size_t)(field.bytes.end - field.bytes.at);
		} else if (field.number == 2 && field.wire == WIRE_4_BYTES) {
			token->score = qc_bits_f32(qc_le32(field.bytes.at));
		} else if (field.number == 3 && field.wire == WIRE_VARINT) {
			type = field.value;
		}
	}
	token->type = (enum qc_token_type)type;
	return check_piece(token, type, id, err);
}

static enum qc_status read_trainer(struct span in, struct qc_vocab *vocab, struct qc_err *err)
{
	struct field field;

	vocab->unigram = true;
	while (in.at < in.end) {
		enum qc_status s = read_field(&in, &field, err);

		if (s)
			return qc_fail_in(err, "trainer_spec");
		if (field.number == 3 && field.wire == WIRE_VARINT)
			vocab->unigram = field.value == 1;
	}
	return QC_OK;
}

static enum qc_status read_normalizer(struct span in, struct qc_vocab *vocab, struct qc_err *err)
{
	struct field field;

	while (in.at < in.end) {
		enum qc_status s = read_field(&in, &field, err);
		const size_t size = s ? 0 : (size_t)(field.bytes.end - field.bytes.at);

		if (s)
			return qc_fail_in(err, "normalizer_spec");
		if (field.number == 2 && field.wire == WIRE_BYTES && size &&
		    (size < 4 || qc_le32(field.bytes.at) > size - 4))
			return qc_fail(err, QC_BAD_INPUT,
				       "normalizer_spec: precompiled_charsmap has %zu bytes, its "
				       "table needs more",
				       size);
		if (field.number == 3 && field.wire == WIRE_VARINT)
			vocab->no_space_prefix = !field.value;
	}
	return QC_OK;
}

/* Count the pieces; everything but them is read here. */
static enum qc_status read_outline(struct span in, struct qc_vocab *vocab, struct qc_err *err)
{
	struct field field;
	enum qc_status s = QC_OK;

	while (!s && in.at < in.end) {
		s = read_field(&in, &field, err);
		if (s || field.wire != WIRE_BYTES)
			continue;
		if (field.number == 1 && ++vocab->n_tokens > QC_MAX_TOKENS)
			s = qc_fail(err, QC_BAD_INPUT, "more than %u pieces", QC_MAX_TOKENS);
		else if (field.number == 2)
			s = read_trainer(field.bytes, vocab, err);
		else if (field.number == 3)
			s = read_normalizer(field.bytes, vocab, err);
	}
	return s;
}

enum qc_status qc_sentencepiece_parse(struct qc_vocab *vocab, const void *bytes, size_t size,
				      struct qc_err *err)
{
	struct span in = {bytes, (const uint8_t *)bytes + size};
	struct field field;
	uint32_t id = 0;
	enum qc_status s;

	vocab->n_tokens = 0;
	vocab->kind = QC_VOCAB_SPM;
	s = read_outline(in, vocab, err);
	if (s)
		return s;
	if (!vocab->n_tokens)
		return qc_fail(err, QC_BAD_INPUT, "no pieces: not a SentencePiece model");
	vocab->tokens = qc_arena_array(vocab->arena, vocab->n_tokens, sizeof(*vocab->tokens));
	if (!vocab->tokens)
		return qc_no_memory(err);
	while (!s && in.at < in.end) {
		s = read_field(&in, &field, err);
		if (!s && field.wire == WIRE_BYTES && field.number == 1) {
			s = read_piece(field.bytes, &vocab->tokens[id], id, err);
			id++;
		}
	}
	return s;
}
