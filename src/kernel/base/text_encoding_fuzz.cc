// Decodes hostile text: strict decoders accept exactly what the encoders write.
#include "kernel/base/ordered_key.h"
#include "kernel/base/text_encoding.h"
#include "kernel/base/uuid.h"

using namespace polis;
using namespace polis::base;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view text(reinterpret_cast<const char*>(data), size);
  BytesView bytes = as_bytes(text);

  for (Base64 form : {Base64::kStandard, Base64::kUrl}) {
    if (auto decoded = base64_decode(text, form)) POLIS_ASSERT(base64_encode(*decoded, form) == text);
    POLIS_ASSERT(as_text(base64_decode(base64_encode(bytes, form), form).value()) == text);
  }
  if (auto decoded = hex_decode(text)) POLIS_ASSERT(hex_encode(*decoded).size() == text.size());
  POLIS_ASSERT(as_text(hex_decode(hex_encode(bytes)).value()) == text);
  for (Plus plus : {Plus::kLiteral, Plus::kSpace}) {
    if (auto decoded = url_decode(text, plus)) POLIS_ASSERT(url_decode(url_encode(*decoded), plus).value() == *decoded);
    POLIS_ASSERT(url_decode(url_encode(text, Slash::kKeep), plus).value() == text);
  }
  // Two well-formed texts are well-formed together; a continuation byte in front never is.
  if (utf8_valid(text)) {
    POLIS_ASSERT(utf8_valid(std::string(text) + std::string(text)));
    POLIS_ASSERT(!utf8_valid("\x80" + std::string(text)));
  }
  if (auto uuid = Uuid::parse(text)) POLIS_ASSERT(Uuid::parse(uuid->text()).value() == *uuid);

  BytesView key = bytes;
  if (auto part = take_key_bytes(key)) {
    Bytes again;
    append_key_bytes(again, *part);
    POLIS_ASSERT(as_text(again) == text.substr(0, text.size() - key.size()));
  } else {
    POLIS_ASSERT(key.size() == bytes.size());
  }
  return 0;
}
