#include "systems/object/encryption.h"
#include "systems/object/key_ring.h"

// What lies in the store and what headers say: a stored run that was not sealed never opens, whatever its pieces; rows
// of keys come back as they were; wishes are read or refused.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  using namespace polis::object;
  std::string_view text(reinterpret_cast<const char*>(bytes), size);
  if (auto key = decode_kms_key(text)) POLIS_ASSERT(encode(*key) == text);

  SecretKey outer(std::array<std::byte, 32>{std::byte{1}});
  size_t half = size / 2;
  POLIS_ASSERT(!open_run_key(outer, {std::string(text.substr(0, half)), std::string(text.substr(half))}, ""));
  if (size >= kPacketTagBytes && size <= kPacketBytes) {
    PacketCipher cipher(PacketCipher::Way::kOpen, outer, "12345678");
    polis::Bytes out(size - kPacketTagBytes);
    POLIS_ASSERT(!cipher.open(0, true, polis::as_bytes(text), out));
  }

  // Seven fields, cut at line ends; an empty line is an absent field.
  EncryptionFields fields;
  EncryptionFields::Field* all[] = {&fields.method,          &fields.kms_key_id,         &fields.kms_context,
                                    &fields.bucket_key,      &fields.customer_algorithm, &fields.customer_key,
                                    &fields.customer_key_md5};
  for (EncryptionFields::Field* field : all) {
    size_t end = std::min(text.find('\n'), text.size());
    if (end > 0) *field = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  if (auto wish = encryption_wish(fields)) {
    POLIS_ASSERT(wish->customer_key.has_value() == (wish->encryption.kind == EncryptionKind::kCustomer));
    (void)encryption_headers(wish->encryption, true);
  }
  return 0;
}
